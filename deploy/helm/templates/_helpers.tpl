{{- define "fleet-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "fleet-exporter.fullname" -}}
{{- $name := include "fleet-exporter.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "fleet-exporter.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "fleet-exporter.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "fleet-exporter.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "fleet-exporter.image" -}}
{{- $registry := default .Values.image.registry .Values.global.imageRegistry }}
{{- $repository := .Values.image.repository }}
{{- if $registry }}
{{- $repository = printf "%s/%s" (trimSuffix "/" $registry) $repository }}
{{- end }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* imagePullSecrets of a pod: the global ones may be names, as many parent charts write them. */}}
{{- define "fleet-exporter.imagePullSecrets" -}}
{{- with concat .Values.global.imagePullSecrets .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  {{- if kindIs "string" . }}
  - name: {{ . }}
  {{- else }}
  - {{ toYaml . | trim }}
  {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "fleet-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "fleet-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "fleet-exporter.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "fleet-exporter.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Metadata of an object that the Prometheus Operator or Grafana's sidecar selects:
     (dict "root" $ "options" .Values.prometheusRule "name" … "labels" … "annotations" …). */}}
{{- define "fleet-exporter.operatorMetadata" -}}
name: {{ .name }}
namespace: {{ default (include "fleet-exporter.namespace" .root) .options.namespace }}
labels:
  {{- include "fleet-exporter.labels" .root | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* A probe with the chart's handler, unless it has its own; only the port if the kubelet cannot authenticate. */}}
{{- define "fleet-exporter.probe" -}}
{{- if not (or .probe.httpGet .probe.tcpSocket .probe.exec .probe.grpc) }}
{{- if .root.Values.web.authenticated }}
tcpSocket:
  port: metrics
{{- else }}
httpGet:
  path: {{ .path }}
  port: metrics
  scheme: {{ upper .root.Values.web.scheme }}
{{- end }}
{{- end }}
{{ toYaml .probe }}
{{- end }}
