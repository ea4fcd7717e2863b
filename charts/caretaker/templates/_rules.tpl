{{/* What the operator may do wherever it looks after something: what all kinds need, and then each kind's own. */}}
{{- define "caretaker.rules" -}}
- apiGroups: [""]
  resources: [pods, persistentvolumeclaims, services, configmaps, secrets, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: ["", events.k8s.io]
  resources: [events]
  verbs: [create, patch, update]
{{ include "caretaker.rules.cluster" . }}
{{ include "caretaker.rules.databases" . }}
{{ include "caretaker.rules.backup" . }}
{{ include "caretaker.rules.dump" . }}
{{ include "caretaker.rules.applications" . }}
{{ include "caretaker.rules.webapp" . }}
{{ include "caretaker.rules.appconfig" . }}
{{ include "caretaker.rules.platform" . }}
{{- end -}}

{{/* Cluster */}}
{{- define "caretaker.rules.cluster" -}}
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
# The operator makes term records, deletes one for a recovery in place, and updates none. But it grants update to instances, and nobody may grant what
# he does not have.
- apiGroups: [postgresql.caretaker.dev]
  resources: [clusterterms]
  verbs: [get, list, watch, create, patch, update, delete]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors]
  verbs: [get, list, watch, create, patch, delete]
{{- end -}}

{{/* PostgreSQL, MySQL and Database. */}}
{{- define "caretaker.rules.databases" -}}
- apiGroups: [database.caretaker.dev]
  resources: [postgresqls, mysqls]
  verbs: [get, list, watch]
- apiGroups: [database.caretaker.dev]
  resources: [postgresqls/status, mysqls/status]
  verbs: [get, patch, update]
# Of a Database the finalizer is written.
- apiGroups: [postgresql.caretaker.dev]
  resources: [databases]
  verbs: [get, list, watch, patch]
- apiGroups: [postgresql.caretaker.dev]
  resources: [databases/status]
  verbs: [get, patch, update]
# The Clusters that PostgreSQLs and Databases are compiled to.
- apiGroups: [postgresql.caretaker.dev]
  resources: [clusters]
  verbs: [create, patch, delete]
- apiGroups: [postgresql.caretaker.dev]
  resources: [scheduledbackups]
  verbs: [get, create, patch, delete]
# The Backups that take the dumps of MySQLs.
- apiGroups: [backup.caretaker.dev]
  resources: [dumps]
  verbs: [create, patch, delete]
{{- end -}}

{{/* Backup and ScheduledBackup. A schedule makes Backups, and a Backup that is taken off the store has a finalizer. */}}
{{- define "caretaker.rules.backup" -}}
- apiGroups: [postgresql.caretaker.dev]
  resources: [backups]
  verbs: [get, list, watch, create, patch, update]
- apiGroups: [postgresql.caretaker.dev]
  resources: [backups/finalizers, scheduledbackups/finalizers]
  verbs: [update]
- apiGroups: [postgresql.caretaker.dev]
  resources: [scheduledbackups]
  verbs: [get, list, watch]
- apiGroups: [postgresql.caretaker.dev]
  resources: [backups/status, scheduledbackups/status]
  verbs: [get, patch, update]
# Of Backups by method volumeSnapshot. The kind need not be installed.
- apiGroups: [snapshot.storage.k8s.io]
  resources: [volumesnapshots]
  verbs: [get, create, patch, delete]
{{- end -}}

{{/* Backup of backup.caretaker.dev, whose plural is dumps. */}}
{{- define "caretaker.rules.dump" -}}
- apiGroups: [backup.caretaker.dev]
  resources: [dumps]
  verbs: [get, list, watch]
- apiGroups: [backup.caretaker.dev]
  resources: [dumps/status]
  verbs: [get, patch, update]
- apiGroups: [batch]
  resources: [cronjobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch]
{{- end -}}

{{/* What application kinds are made of. */}}
{{- define "caretaker.rules.applications" -}}
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies, ingresses]
  verbs: [get, list, watch, create, patch, delete]
{{- end -}}

{{/* WebApp */}}
{{- define "caretaker.rules.webapp" -}}
- apiGroups: [apps.caretaker.dev]
  resources: [webapps]
  verbs: [get, list, watch]
- apiGroups: [apps.caretaker.dev]
  resources: [webapps/status]
  verbs: [get, patch, update]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, create, patch, delete]
{{- end -}}

{{/* AppConfig. Every workload that uses the configuration is restarted, also those that others made. */}}
{{- define "caretaker.rules.appconfig" -}}
- apiGroups: [config.caretaker.dev]
  resources: [appconfigs]
  verbs: [get, list, watch]
- apiGroups: [config.caretaker.dev]
  resources: [appconfigs/status]
  verbs: [get, patch, update]
- apiGroups: [apps]
  resources: [daemonsets]
  verbs: [get, list, patch]
{{- end -}}

{{/* AppStack and EcommercePlatform, whose finalizers are written, and the kinds that they are made of. */}}
{{- define "caretaker.rules.platform" -}}
- apiGroups: [platform.caretaker.dev]
  resources: [appstacks]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [platform.caretaker.dev]
  resources: [ecommerceplatforms]
  verbs: [get, list, watch, patch]
- apiGroups: [platform.caretaker.dev]
  resources: [appstacks/status, ecommerceplatforms/status]
  verbs: [get, patch, update]
- apiGroups: [database.caretaker.dev]
  resources: [postgresqls, mysqls]
  verbs: [create, patch, delete]
- apiGroups: [apps.caretaker.dev]
  resources: [webapps]
  verbs: [create, patch, delete]
- apiGroups: [config.caretaker.dev]
  resources: [appconfigs]
  verbs: [create, patch, delete]
{{- end -}}

{{/* The kinds that users write, for the roles view and edit: plurals by group, those with a scale apart. */}}
{{- define "caretaker.kinds" -}}
postgresql.caretaker.dev: {plurals: [clusters, databases, backups, scheduledbackups], scaled: [clusters], readOnly: [clusterterms]}
backup.caretaker.dev: {plurals: [dumps]}
database.caretaker.dev: {plurals: [postgresqls, mysqls], scaled: [postgresqls, mysqls]}
apps.caretaker.dev: {plurals: [webapps], scaled: [webapps]}
config.caretaker.dev: {plurals: [appconfigs]}
platform.caretaker.dev: {plurals: [appstacks, ecommerceplatforms]}
{{- end -}}
