{{/* RBAC rules of the sources that read the Kubernetes API. No source writes. */}}

{{- define "fleet-exporter.rules.rayjob" -}}
- apiGroups: [ray.io]
  resources: [rayjobs, rayclusters, rayservices, raycronjobs]
  verbs: [list, watch]
# GET /api/ray/jobs/<namespace>/<name> reads one RayJob.
- apiGroups: [ray.io]
  resources: [rayjobs]
  verbs: [get]
{{- end }}

{{- define "fleet-exporter.rules.workloads" -}}
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
# Desired and available replicas.
- apiGroups: [apps]
  resources: [deployments, statefulsets, daemonsets]
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
{cluster: [rule], namespaces: {name: [rule]}} for `config`. A source with a kubeconfig uses that account and needs no rule.
*/}}
{{- define "fleet-exporter.permissions" -}}
{{- $config := .Values.config | default dict }}
{{- $cluster := list }}
{{- $requested := list }}
{{- with $config.rayjob | default dict }}
{{- if and .in_cluster (not .kubeconfig) }}
{{- $requested = append $requested (dict "namespaces" .namespaces "rules" (include "fleet-exporter.rules.rayjob" . | fromYamlArray)) }}
{{- end }}
{{- end }}
{{- with $config.workloads | default dict }}
{{- if and .in_cluster (not .kubeconfig) }}
{{- $requested = append $requested (dict "namespaces" .namespaces "rules" (include "fleet-exporter.rules.workloads" . | fromYamlArray)) }}
{{- if .nodes }}
{{- $cluster = concat $cluster (include "fleet-exporter.rules.nodes" . | fromYamlArray) }}
{{- end }}
{{- end }}
{{- end }}
{{- with $config.vllm | default dict }}
{{- if and .service (not .kubeconfig) }}
{{- $serviceNamespaces := list }}
{{- range .service }}
{{- $serviceNamespaces = append $serviceNamespaces (splitList "/" . | first) }}
{{- end }}
{{- $requested = append $requested (dict "namespaces" $serviceNamespaces "rules" (include "fleet-exporter.rules.endpoints" . | fromYamlArray)) }}
{{- end }}
{{- end }}
{{- $namespaces := dict }}
{{- range $one := $requested }}
{{- range $one.namespaces | default list | uniq }}
{{- $_ := set $namespaces . (concat (get $namespaces . | default list) $one.rules) }}
{{- else }}
{{- $cluster = concat $cluster $one.rules }}
{{- end }}
{{- end }}
{{- toYaml (dict "cluster" $cluster "namespaces" $namespaces) }}
{{- end }}

{{/* "true" if a source uses the pod's ServiceAccount, otherwise empty. */}}
{{- define "fleet-exporter.readsKubernetes" -}}
{{- $permissions := include "fleet-exporter.permissions" . | fromYaml }}
{{- if or $permissions.cluster $permissions.namespaces }}true{{ end }}
{{- end }}
