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

{{/* What the operator may do wherever it looks after Clusters. */}}
{{- define "caretaker.rules" -}}
- apiGroups: [postgresql.caretaker.dev]
  resources: [clusters]
  verbs: [get, list, watch]
- apiGroups: [postgresql.caretaker.dev]
  resources: [clusters/status]
  verbs: [get, patch, update]
# Owner references that block the owner's deletion need this where the API server enforces it.
- apiGroups: [postgresql.caretaker.dev]
  resources: [clusters/finalizers]
  verbs: [update]
# The operator makes term records and does not update them. But it grants update to instances, and nobody may grant what
# he does not have.
- apiGroups: [postgresql.caretaker.dev]
  resources: [clusterterms]
  verbs: [get, list, watch, create, patch, update, delete]
- apiGroups: [""]
  resources: [pods, persistentvolumeclaims, services, configmaps, secrets, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors]
  verbs: [get, list, create, patch, delete]
- apiGroups: ["", events.k8s.io]
  resources: [events]
  verbs: [create, patch, update]
{{- end -}}
