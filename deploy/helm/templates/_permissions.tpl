{{/* Rules of the sources that read the Kubernetes API: what they ask for, and nothing else. None writes. */}}

{{- define "fleet-exporter.rules.rayjob" -}}
- apiGroups: [ray.io]
  resources: [rayjobs, rayclusters]
  verbs: [list, watch]
# /api/ray/jobs/<namespace>/<name> asks for the one RayJob as it is now.
- apiGroups: [ray.io]
  resources: [rayjobs]
  verbs: [get]
{{- end }}

{{- define "fleet-exporter.rules.workloads" -}}
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
{{- if .usage }}
- apiGroups: [metrics.k8s.io]
  resources: [pods]
  verbs: [list]
{{- end }}
{{- end }}

{{- define "fleet-exporter.rules.nodes" -}}
- apiGroups: [""]
  resources: [nodes]
  verbs: [list, watch]
{{- end }}

{{- define "fleet-exporter.rules.endpoints" -}}
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
{{- end }}

{{/*
{cluster: [rule], namespaces: {name: [rule]}} for `config`. A source with a kubeconfig brings its own account and needs none.
*/}}
{{- define "fleet-exporter.permissions" -}}
{{- $config := .Values.config | default dict }}
{{- $cluster := list }}
{{- $asked := list }}
{{- with $config.rayjob | default dict }}
{{- if and .in_cluster (not .kubeconfig) }}
{{- $asked = append $asked (dict "namespaces" .namespaces "rules" (include "fleet-exporter.rules.rayjob" . | fromYamlArray)) }}
{{- end }}
{{- end }}
{{- with $config.workloads | default dict }}
{{- if and .in_cluster (not .kubeconfig) }}
{{- $asked = append $asked (dict "namespaces" .namespaces "rules" (include "fleet-exporter.rules.workloads" . | fromYamlArray)) }}
{{- if .nodes }}
{{- $cluster = concat $cluster (include "fleet-exporter.rules.nodes" . | fromYamlArray) }}
{{- end }}
{{- end }}
{{- end }}
{{- with $config.vllm | default dict }}
{{- if and .service (not .kubeconfig) }}
{{- $of := list }}
{{- range .service }}
{{- $of = append $of (splitList "/" . | first) }}
{{- end }}
{{- $asked = append $asked (dict "namespaces" $of "rules" (include "fleet-exporter.rules.endpoints" . | fromYamlArray)) }}
{{- end }}
{{- end }}
{{- $namespaces := dict }}
{{- range $one := $asked }}
{{- range $one.namespaces | default list | uniq }}
{{- $_ := set $namespaces . (concat (get $namespaces . | default list) $one.rules) }}
{{- else }}
{{- $cluster = concat $cluster $one.rules }}
{{- end }}
{{- end }}
{{- toYaml (dict "cluster" $cluster "namespaces" $namespaces) }}
{{- end }}

{{/* Whether any source uses the pod's own account; empty when none does. */}}
{{- define "fleet-exporter.asksKubernetes" -}}
{{- $permissions := include "fleet-exporter.permissions" . | fromYaml }}
{{- if or $permissions.cluster $permissions.namespaces }}true{{ end }}
{{- end }}
