{{/* Labels of every object of this chart. */}}
{{- define "tessera-operator.labels" -}}
{{ include "tessera-operator.selector" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: tessera
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* What selects the operator's pods. The nodes' NetworkPolicies admit pods with this name to their admin port. */}}
{{- define "tessera-operator.selector" -}}
app.kubernetes.io/name: tessera-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The operator's image: by digest, or else by tag. */}}
{{- define "tessera-operator.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* Who the operator is to the API server. */}}
{{- define "tessera-operator.username" -}}
system:serviceaccount:{{ .Release.Namespace }}:tessera-operator
{{- end }}

{{/* The subject of every binding. */}}
{{- define "tessera-operator.subjects" -}}
- kind: ServiceAccount
  name: tessera-operator
  namespace: {{ .Release.Namespace }}
{{- end }}

{{/* The managed namespaces, by the label that the API server itself puts on every namespace. */}}
{{- define "tessera-operator.managed" -}}
matchExpressions:
  - key: kubernetes.io/metadata.name
    operator: In
    values: {{ .Values.namespaces | toJson }}
{{- end }}

{{/* The managed namespaces and the operator's own: where nobody may take a token of a ServiceAccount of ours. */}}
{{- define "tessera-operator.guarded" -}}
matchExpressions:
  - key: kubernetes.io/metadata.name
    operator: In
    values: {{ append .Values.namespaces .Release.Namespace | toJson }}
{{- end }}

{{/* How a pod reaches the cluster's DNS: an egress rule of a NetworkPolicy, in JSON. The operator's own, and every node's. */}}
{{- define "tessera-operator.dns" -}}
{{- $ports := list }}
{{- range .Values.networkPolicy.dnsPorts }}
{{- $ports = concat $ports (list (dict "protocol" "UDP" "port" .) (dict "protocol" "TCP" "port" .)) }}
{{- end }}
{{- dict "to" .Values.networkPolicy.dns "ports" $ports | toJson }}
{{- end }}
