{{- define "guardian.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := .Values.fullnameOverride | default (ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name)) -}}
{{- $full | trunc 52 | trimSuffix "-" -}}
{{- end }}

{{- define "guardian.labels" -}}
{{- $own := dict
      "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_")
      "app.kubernetes.io/name" (default .Chart.Name .Values.nameOverride)
      "app.kubernetes.io/instance" .Release.Name
      "app.kubernetes.io/version" .Chart.AppVersion
      "app.kubernetes.io/component" "restarter"
      "app.kubernetes.io/part-of" "kafka-connect"
      "app.kubernetes.io/managed-by" .Release.Service -}}
{{- merge $own .Values.commonLabels | toYaml -}}
{{- end }}

{{- define "guardian.podLabels" -}}
{{- merge (include "guardian.labels" . | fromYaml) .Values.podLabels | toYaml -}}
{{- end }}

{{- define "guardian.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "guardian.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "guardian.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end }}

{{- define "guardian.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end -}}
{{- end -}}
{{- end }}

{{- /* A number as it was written: Go would print a million as 1e+06. */ -}}
{{- define "guardian.number" -}}
{{- if kindIs "float64" . }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end }}

{{- /*
All clusters as a JSON list, each complete: the release's values, overridden key by key by the entry of `clusters`.
Written out instead of `mergeOverwrite`, which would lose an override by `false`, `0` or "".
*/ -}}
{{- define "guardian.clusters" -}}
{{- $root := . -}}
{{- $base := include "guardian.fullname" . -}}
{{- $all := list -}}
{{- $entries := .Values.clusters | default (list dict) -}}
{{- range $entry := $entries -}}
  {{- $c := dict "object" $base "cluster" ($root.Values.clusterName | default $base) "state" $root.Values.state.configMap.name -}}
  {{- if $entry.name -}}
    {{- $_ := set $c "object" (printf "%s-%s" $base $entry.name) -}}
    {{- $_ := set $c "cluster" $entry.name -}}
    {{- if $root.Values.state.configMap.name -}}
      {{- fail "state.configMap.name cannot be used with clusters: each cluster has a ConfigMap of its own" -}}
    {{- end -}}
    {{- if $root.Values.clusterName -}}
      {{- fail "clusterName cannot be used with clusters: the entry's name is the cluster's name" -}}
    {{- end -}}
  {{- end -}}
  {{- if gt (len $c.object) 52 -}}
    {{- fail (printf "the CronJob's name %q has %d characters, Kubernetes allows 52: set fullnameOverride, or shorten the cluster's name" $c.object (len $c.object)) -}}
  {{- end -}}
  {{- if not $c.state }}{{ $_ := set $c "state" (printf "%s-state" $c.object) }}{{ end -}}
  {{- range $key := list "schedule" "suspend" "extraEnv" "extraEnvFrom" "extraArgs" -}}
    {{- $_ := set $c $key (ternary (get $entry $key) (get $root.Values $key) (hasKey $entry $key)) -}}
  {{- end -}}
  {{- range $group := list "connect" "config" "notify" "heartbeat" -}}
    {{- $merged := deepCopy (get $root.Values $group | default dict) -}}
    {{- range $key, $value := (get $entry $group | default dict) -}}
      {{- $_ := set $merged $key $value -}}
    {{- end -}}
    {{- $_ := set $c $group $merged -}}
  {{- end -}}
  {{- if ge (int $c.config.deadlineSeconds) (int $root.Values.activeDeadlineSeconds) -}}
    {{- fail (printf "config.deadlineSeconds (%d) must be less than activeDeadlineSeconds (%d): guardian would be killed before it has saved its state" (int $c.config.deadlineSeconds) (int $root.Values.activeDeadlineSeconds)) -}}
  {{- end -}}
  {{- if and $c.connect.tokenKey (not $c.connect.existingSecret) -}}
    {{- fail "connect.tokenKey is a key of connect.existingSecret: set that too" -}}
  {{- end -}}
  {{- $all = append $all $c -}}
{{- end -}}
{{- $names := list -}}
{{- range $all }}{{ $names = append $names .object }}{{ end -}}
{{- if ne (len $names) (len (uniq $names)) -}}
  {{- fail "two entries of clusters have the same name" -}}
{{- end -}}
{{- toJson $all -}}
{{- end }}

{{- define "guardian.onOpenShift" -}}
{{- if eq (toString .Values.openshift) "auto" -}}
{{- if .Capabilities.APIVersions.Has "security.openshift.io/v1" }}true{{ end -}}
{{- else if eq (toString .Values.openshift) "true" }}true{{ end -}}
{{- end }}

{{- define "guardian.podSecurityContext" -}}
{{- $context := .Values.podSecurityContext -}}
{{- if include "guardian.onOpenShift" . }}{{ $context = omit $context "runAsUser" "runAsGroup" "fsGroup" }}{{ end -}}
{{- if ne .Values.state.type "pvc" }}{{ $context = omit $context "fsGroup" }}{{ end -}}
{{- toYaml $context -}}
{{- end }}

{{- define "guardian.containerSecurityContext" -}}
{{- $context := .Values.securityContext -}}
{{- if include "guardian.onOpenShift" . }}{{ $context = omit $context "runAsUser" "runAsGroup" }}{{ end -}}
{{- toYaml $context -}}
{{- end }}

{{- /* The pod of one cluster. Takes a dict: root, cluster (an entry of guardian.clusters), args. */ -}}
{{- define "guardian.podSpec" -}}
{{- $v := .root.Values -}}
{{- $c := .cluster -}}
{{- $connect := $c.connect -}}
restartPolicy: Never
serviceAccountName: {{ include "guardian.serviceAccountName" .root | quote }}
# The token is for the state ConfigMap only.
automountServiceAccountToken: {{ eq $v.state.type "configmap" }}
# A Service called kafka-connect would put tcp://IP:PORT into KAFKA_CONNECT_PORT.
enableServiceLinks: false
terminationGracePeriodSeconds: {{ include "guardian.number" $v.terminationGracePeriodSeconds }}
securityContext:
  {{- include "guardian.podSecurityContext" .root | nindent 2 }}
{{- with $v.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
containers:
  - name: guardian
    image: {{ include "guardian.image" .root | quote }}
    imagePullPolicy: {{ $v.image.pullPolicy }}
    args:
      {{- toYaml .args | nindent 6 }}
    env:
      - name: GUARDIAN_CLUSTER
        value: {{ $c.cluster | quote }}
      - name: GUARDIAN_STATE
        value: {{ if eq $v.state.type "pvc" }}{{ printf "/var/lib/guardian/%s.json" $c.object | quote }}{{ else }}{{ printf "configmap:%s" $c.state | quote }}{{ end }}
      - name: GUARDIAN_DEADLINE
        value: "{{ include "guardian.number" $c.config.deadlineSeconds }}s"
      - name: MAX_RESTART
        value: {{ include "guardian.number" $c.config.maxRestart | quote }}
      - name: EXPONENTIAL_RATIO
        value: {{ include "guardian.number" $c.config.exponentialRatio | quote }}
      {{- /* Newer than chart 2.0.0: `helm upgrade --reuse-values` does not know it. */}}
      {{- with $c.config.keepTrying }}
      - name: GUARDIAN_KEEP_TRYING
        value: {{ include "guardian.number" . | quote }}
      {{- end }}
      - name: ENABLE_BACKOFF
        value: {{ ternary "1" "0" $c.config.enableBackoff | quote }}
      - name: LOG_LEVEL
        value: {{ $c.config.logLevel | quote }}
      {{- with $connect.url }}
      - name: KAFKA_CONNECT_URL
        value: {{ . | quote }}
      {{- end }}
      {{- if $connect.tokenKey }}
      - name: KAFKA_CONNECT_TOKEN_FILE
        value: /etc/guardian/credentials/token
      {{- else if $connect.existingSecret }}
      - name: KAFKA_CONNECT_USER_FILE
        value: /etc/guardian/credentials/username
      - name: KAFKA_CONNECT_PASS_FILE
        value: /etc/guardian/credentials/password
      {{- end }}
      {{- if $connect.headersSecret }}
      - name: KAFKA_CONNECT_HEADERS_FILE
        value: /etc/guardian/headers/headers
      {{- end }}
      {{- if ($c.notify).existingSecret }}
      - name: GUARDIAN_NOTIFY_FILE
        value: /etc/guardian/notify/notify
      {{- end }}
      {{- if ($c.heartbeat).existingSecret }}
      - name: GUARDIAN_HEARTBEAT_URL_FILE
        value: /etc/guardian/heartbeat/url
      {{- end }}
      {{- if $connect.caSecret }}
      - name: KAFKA_CONNECT_CA_FILE
        value: /etc/guardian/ca/ca.crt
      {{- end }}
      {{- if $connect.clientCertSecret }}
      - name: KAFKA_CONNECT_CERT_FILE
        value: /etc/guardian/client/tls.crt
      - name: KAFKA_CONNECT_KEY_FILE
        value: /etc/guardian/client/tls.key
      {{- end }}
      {{- with ($v.metrics).pushgateway }}
      {{- if and .url .existingSecret }}{{ fail "metrics.pushgateway: url and existingSecret exclude each other" }}{{ end }}
      {{- if .existingSecret }}
      - name: GUARDIAN_PUSHGATEWAY_URL_FILE
        value: /etc/guardian/pushgateway/url
      {{- else if .url }}
      - name: GUARDIAN_PUSHGATEWAY_URL
        value: {{ .url | quote }}
      {{- end }}
      {{- end }}
      {{- with $c.extraEnv }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- with $c.extraEnvFrom }}
    envFrom:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    resources:
      {{- toYaml $v.resources | nindent 6 }}
    securityContext:
      {{- include "guardian.containerSecurityContext" .root | nindent 6 }}
    {{- $mounts := list -}}
    {{- $volumes := list -}}
    {{- if eq $v.state.type "pvc" -}}
      {{- $mounts = append $mounts (dict "name" "state" "mountPath" "/var/lib/guardian") -}}
      {{- $volumes = append $volumes (dict "name" "state" "persistentVolumeClaim" (dict "claimName" ($v.state.pvc.existingClaim | default $c.state))) -}}
    {{- end -}}
    {{- /* 0444 (292): the user that reads is not root, and with an arbitrary one there is no group to rely on. */ -}}
    {{- if $connect.existingSecret -}}
      {{- $items := list (dict "key" $connect.usernameKey "path" "username") (dict "key" $connect.passwordKey "path" "password") -}}
      {{- if $connect.tokenKey }}{{ $items = list (dict "key" $connect.tokenKey "path" "token") }}{{ end -}}
      {{- $mounts = append $mounts (dict "name" "credentials" "mountPath" "/etc/guardian/credentials" "readOnly" true) -}}
      {{- $volumes = append $volumes (dict "name" "credentials" "secret" (dict "secretName" $connect.existingSecret "defaultMode" 292 "items" $items)) -}}
    {{- end -}}
    {{- if $connect.headersSecret -}}
      {{- $mounts = append $mounts (dict "name" "headers" "mountPath" "/etc/guardian/headers" "readOnly" true) -}}
      {{- $volumes = append $volumes (dict "name" "headers" "secret" (dict "secretName" $connect.headersSecret "defaultMode" 292 "items" (list (dict "key" $connect.headersKey "path" "headers")))) -}}
    {{- end -}}
    {{- if ($c.notify).existingSecret -}}
      {{- $mounts = append $mounts (dict "name" "notify" "mountPath" "/etc/guardian/notify" "readOnly" true) -}}
      {{- $volumes = append $volumes (dict "name" "notify" "secret" (dict "secretName" ($c.notify).existingSecret "defaultMode" 292 "items" (list (dict "key" $c.notify.key "path" "notify")))) -}}
    {{- end -}}
    {{- if ($c.heartbeat).existingSecret -}}
      {{- $mounts = append $mounts (dict "name" "heartbeat" "mountPath" "/etc/guardian/heartbeat" "readOnly" true) -}}
      {{- $volumes = append $volumes (dict "name" "heartbeat" "secret" (dict "secretName" ($c.heartbeat).existingSecret "defaultMode" 292 "items" (list (dict "key" $c.heartbeat.key "path" "url")))) -}}
    {{- end -}}
    {{- if $connect.caSecret -}}
      {{- $mounts = append $mounts (dict "name" "ca" "mountPath" "/etc/guardian/ca" "readOnly" true) -}}
      {{- $volumes = append $volumes (dict "name" "ca" "secret" (dict "secretName" $connect.caSecret "defaultMode" 292 "items" (list (dict "key" $connect.caKey "path" "ca.crt")))) -}}
    {{- end -}}
    {{- if $connect.clientCertSecret -}}
      {{- $mounts = append $mounts (dict "name" "client-cert" "mountPath" "/etc/guardian/client" "readOnly" true) -}}
      {{- $volumes = append $volumes (dict "name" "client-cert" "secret" (dict "secretName" $connect.clientCertSecret "defaultMode" 292)) -}}
    {{- end }}
    {{- with ($v.metrics).pushgateway -}}{{- if .existingSecret -}}
      {{- $mounts = append $mounts (dict "name" "pushgateway" "mountPath" "/etc/guardian/pushgateway" "readOnly" true) -}}
      {{- $volumes = append $volumes (dict "name" "pushgateway" "secret" (dict "secretName" .existingSecret "defaultMode" 292 "items" (list (dict "key" .urlKey "path" "url")))) -}}
    {{- end -}}{{- end }}
    {{- with $mounts }}
    volumeMounts:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- with $volumes }}
volumes:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
