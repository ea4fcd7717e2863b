{{- define "caretaker.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "caretaker.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "caretaker.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "caretaker.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Cluster-scoped names carry the namespace: releases in two namespaces may have the same name. */}}
{{- define "caretaker.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "caretaker.fullname" .) -}}
{{- end -}}

{{- define "caretaker.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "caretaker.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "caretaker.image" -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}

{{- define "caretaker.selectorLabels" -}}
app.kubernetes.io/name: {{ include "caretaker.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "caretaker.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "caretaker.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: caretaker
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "caretaker.metadata" -}}
name: {{ include "caretaker.fullname" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "caretaker.labels" . | nindent 2 }}
{{- end -}}

{{- define "caretaker.podSecurityContext" -}}
runAsNonRoot: true
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "caretaker.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}
