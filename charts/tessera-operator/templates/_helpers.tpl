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

{{/* What the image of the operator's pods ends in, whatever mirror the registry's name was rewritten to. */}}
{{- define "tessera-operator.imageSuffix" -}}
{{- if .Values.image.digest -}}
@{{ .Values.image.digest }}
{{- else -}}
{{ include "tessera-operator.image" . }}
{{- end -}}
{{- end }}


{{/* The cluster's name. Without a namespace to manage nothing needs it. */}}
{{- define "tessera-operator.clusterName" -}}
{{- if and .Values.namespaces (not .Values.clusterName) -}}
{{- fail "clusterName is required: it stands beside every node's keys in the secret store, so that no other cluster uses them. Name this cluster, for example --set clusterName=prod-eu1; a cluster that is rebuilt keeps its name" -}}
{{- end -}}
{{ .Values.clusterName }}
{{- end }}

{{/* The collector of the operator's own log; empty: there is none. What it needs beside its URL is required with it. */}}
{{- define "tessera-operator.logsEndpoint" -}}
{{- with .Values.logging.otlp -}}
{{- if .endpoint -}}
{{- if not .caBundle.configMap -}}
{{- fail "logging.otlp.caBundle.configMap is required with logging.otlp.endpoint: name the ConfigMap whose certificates verify the collector" -}}
{{- end -}}
{{- if not .clientCertificateSecret -}}
{{- fail "logging.otlp.clientCertificateSecret is required with logging.otlp.endpoint: name the Secret of type kubernetes.io/tls that the operator shows the collector" -}}
{{- end -}}
{{- if and $.Values.networkPolicy.enabled (not .egress) -}}
{{- fail "logging.otlp.egress is required with logging.otlp.endpoint while networkPolicy.enabled: say where the collector lies, since the operator's NetworkPolicy denies everything else" -}}
{{- end -}}
{{ .endpoint }}
{{- end -}}
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

{{/* The namespaces where the operator writes, but for its own: those managed, and those of clients. */}}
{{- define "tessera-operator.written" -}}
matchExpressions:
  - key: kubernetes.io/metadata.name
    operator: In
    values: {{ concat .Values.namespaces (keys .Values.clientNamespaces | sortAlpha) | default list | toJson }}
{{- end }}

{{/* All namespaces where the operator writes. */}}
{{- define "tessera-operator.writtenAndOwn" -}}
matchExpressions:
  - key: kubernetes.io/metadata.name
    operator: In
    values: {{ concat .Values.namespaces (keys .Values.clientNamespaces | sortAlpha) (list .Release.Namespace) | toJson }}
{{- end }}

{{/* Where clients may have their certificates, as the operator takes it: ledger-a=org-a,ledger-b=org-b. */}}
{{- define "tessera-operator.clientNamespaces" -}}
{{- $pairs := list }}
{{- range $namespace, $of := .Values.clientNamespaces }}
{{- if has $namespace (append $.Values.namespaces $.Release.Namespace) }}
{{- fail (printf "clientNamespaces holds %q, which is managed or the release's own: a node's own namespace needs no entry, and another managed one would show its Secrets to the nodes' editors" $namespace) }}
{{- end }}
{{- range $of }}
{{- if not (has . $.Values.namespaces) }}
{{- fail (printf "clientNamespaces gives %q to nodes of %q, which namespaces does not hold" $namespace .) }}
{{- end }}
{{- $pairs = append $pairs (printf "%s=%s" $namespace .) }}
{{- end }}
{{- end }}
{{- $pairs | sortAlpha | join "," }}
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

{{/* Who a person is while the glass is broken: a short-lived token of this ServiceAccount (break-glass.yaml). Nobody when
that is off, and nobody has an empty name. */}}
{{- define "tessera-operator.breakGlass" -}}
{{- if .Values.admission.breakGlass }}system:serviceaccount:{{ .Release.Namespace }}:tessera-break-glass{{ end }}
{{- end }}

{{/* In CEL: the request comes from none of the operator, the controllers that clean up, and break-glass. */}}
{{- define "tessera-operator.byOthers" -}}
{{- $exempt := concat (list (include "tessera-operator.username" .) (include "tessera-operator.breakGlass" .) .Values.admission.statefulSetController) .Values.admission.controllers }}
{{- printf "!(request.userInfo.username in %s)" ($exempt | uniq | compact | toJson) }}
{{- end }}

{{/* In CEL: keys of labels that no pod of a node has, since workloads are commonly selected by them. */}}
{{- define "tessera-operator.absentLabels" -}}
{{- list "app" "name" "component" "role" "tier" "k8s-app" "job-name" "batch.kubernetes.io/job-name" "pod-template-hash" "app.kubernetes.io/instance" "app.kubernetes.io/component" "app.kubernetes.io/part-of" | toJson }}
{{- end }}

{{/* Those of the namespaces that can hold objects now: those that exist, where the cluster can be asked. */}}
{{- define "tessera-operator.existing" -}}
{{- $found := list }}
{{- /* `helm template` and GitOps tools that render without a cluster find not even this one; then nothing is known. */}}
{{- $known := lookup "v1" "Namespace" "" "kube-system" }}
{{- range . }}
{{- $namespace := lookup "v1" "Namespace" "" . }}
{{- if or (not $known) (and $namespace (not $namespace.metadata.deletionTimestamp)) }}
{{- $found = append $found . }}
{{- end }}
{{- end }}
{{- dict "names" $found | toJson }}
{{- end }}

{{- /* OpenShift assigns each namespace its groups, and refuses a pod that names another. */ -}}
{{- define "tessera-operator.nodeFsGroup" -}}
{{- if .Values.nodeFsGroup -}}
{{- .Values.nodeFsGroup -}}
{{- else if .Capabilities.APIVersions.Has "security.openshift.io/v1" -}}
platform
{{- else -}}
65532
{{- end -}}
{{- end }}
