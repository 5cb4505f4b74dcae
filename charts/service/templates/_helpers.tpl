{{- /* Every object's name. */ -}}
{{- define "service.fullname" -}}
{{ .Values.fullnameOverride | default .Release.Name }}
{{- end }}

{{- define "service.selector" -}}
app.kubernetes.io/name: {{ .Values.nameOverride | default .Release.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* Labels of pods: those of the chart's version would roll them with every new one. */ -}}
{{- define "service.podLabels" -}}
{{ include "service.selector" . }}
app.kubernetes.io/part-of: groundwork
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* repository[:tag][@digest] */ -}}
{{- define "service.image" -}}
{{ .repository }}{{ with .tag }}:{{ . }}{{ end }}{{ with .digest }}@{{ . }}{{ end }}
{{- end }}

{{- /* Empty, where the pods run as the namespace's default one. */ -}}
{{- define "service.serviceAccount" -}}
{{- if .Values.serviceAccount.name }}{{ .Values.serviceAccount.name }}
{{- else if or .Values.serviceAccount.create (include "service.asksCluster" .) }}{{ include "service.fullname" . }}
{{- end }}
{{- end }}

{{- define "service.labels" -}}
{{ include "service.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: groundwork
{{- with .Values.image.tag }}
app.kubernetes.io/version: {{ . | quote }}
{{- end }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* A file's key in its ConfigMap or Secret. */ -}}
{{- define "service.key" -}}
{{ trimPrefix "/" . | replace "/" "_" }}
{{- end }}

{{- define "service.home" -}}
{{ .Values.network.home | default (include "service.fullname" .) }}
{{- end }}

{{- /* Labels by which network policies know a pod: where it is at home, and what it may talk to. */ -}}
{{- define "service.networks" -}}
groundwork.home: {{ include "service.home" . }}
{{- range uniq (prepend .Values.network.joins (include "service.home" .)) }}
groundwork.joins.{{ . }}: "true"
{{- end }}
{{- end }}

{{- define "service.secretName" -}}
{{ .secret.name | default (printf "%s-secret" .fullname) }}
{{- end }}

{{- define "service.hasOwnSecret" -}}
{{- if and (not .secret.name) (or .secretFiles .secretEnv) }}true{{ end }}
{{- end }}

{{- /* data: of a ConfigMap or stringData: of a Secret, from files. */ -}}
{{- define "service.contents" -}}
{{- range . }}
{{ include "service.key" .path }}: {{ .content | default "" | quote }}
{{- end }}
{{- end }}

{{- define "service.volumeMounts" -}}
{{- range .files }}
- {name: files, mountPath: {{ .path | quote }}, subPath: {{ include "service.key" .path | quote }}, readOnly: true}
{{- end }}
{{- range .secretFiles }}
- {name: secret-files, mountPath: {{ .path | quote }}, subPath: {{ include "service.key" .path | quote }}, readOnly: true}
{{- end }}
{{- end }}

{{- /* Folders in which sidecars write for their service. */ -}}
{{- define "service.sharedMounts" -}}
{{- range $index, $path := . }}
- {name: shared-{{ $index }}, mountPath: {{ $path | quote }}}
{{- end }}
{{- end }}

{{- /* Folders that a container may write to beside its volumes: {path, size}. */ -}}
{{- define "service.writableMounts" -}}
{{- range $index, $folder := . }}
- {name: writable-{{ $index }}, mountPath: {{ $folder.path | quote }}}
{{- end }}
{{- end }}

{{- define "service.writableVolumes" -}}
{{- range $index, $folder := . }}
- {name: writable-{{ $index }}, emptyDir: {sizeLimit: {{ $folder.size }}}}
{{- end }}
{{- end }}

{{- define "service.fileVolumes" -}}
{{- if .files }}
- name: files
  configMap:
    name: {{ .fullname }}
    items:
      {{- range .files }}
      - {key: {{ include "service.key" .path | quote }}, path: {{ include "service.key" .path | quote }}, mode: {{ .mode | default "0444" }}}
      {{- end }}
{{- end }}
{{- if .secretFiles }}
- name: secret-files
  secret:
    secretName: {{ include "service.secretName" . }}
    items:
      {{- range .secretFiles }}
      - {key: {{ include "service.key" .path | quote }}, path: {{ include "service.key" .path | quote }}, mode: 0440}
      {{- end }}
{{- end }}
{{- end }}

{{- define "service.env" -}}
{{- range $name, $value := .env }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- $secret := include "service.secretName" . }}
{{- range $name, $_ := .secretEnv }}
- {name: {{ $name }}, valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ $name }}}}}
{{- end }}
{{- end }}

{{- define "service.podSecurity" -}}
runAsNonRoot: {{ ne (int64 .runAsUser) 0 }}
runAsUser: {{ int64 .runAsUser }}
runAsGroup: {{ int64 .runAsGroup }}
fsGroup: {{ int64 .fsGroup }}
# A volume whose top folder has the right group already is not walked through at every start.
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "service.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: {{ .readOnlyRoot }}
capabilities: {drop: [ALL]}
{{- end }}

{{- /* Name servers are pods of kube-system, or at the addresses that the stack names. */ -}}
{{- define "service.dns" -}}
- to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
    {{- range .Values.network.nameServers }}
    - ipBlock: {cidr: {{ . }}}
    {{- end }}
  ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- end }}

{{/* Whether its pods have a token for the cluster's API; empty if not. */}}
{{- define "service.asksCluster" -}}
{{- if or .Values.nodeMetrics .Values.podNamespaces }}true{{ end }}
{{- end }}

{{- /* The pod of a job, which runs one of its scripts: {root, job, script}. */ -}}
{{- define "service.jobPod" -}}
{{- $v := .root.Values }}
{{- $scripts := list (dict "path" "/etc/groundwork/job.sh" "mode" "0555") }}
{{- if .job.upkeep }}
{{- $scripts = append $scripts (dict "path" "/etc/groundwork/upkeep.sh" "mode" "0555") }}
{{- end }}
{{- $scope := dict "fullname" .job.name "files" (concat (.job.files | default list) $scripts) "secretFiles" (.job.secretFiles | default list) "secretEnv" dict "secret" (.job.secret | default dict) "env" (.job.env | default dict) -}}
metadata:
  labels: {{- include "service.podLabels" .root | nindent 4 }}
    app.kubernetes.io/component: provision
    groundwork.joins.{{ include "service.home" .root }}: "true"
spec:
  # Each attempt is a pod of its own, so that the log of the one that failed can be read.
  restartPolicy: Never
  automountServiceAccountToken: false
  enableServiceLinks: false
  securityContext: {{- include "service.podSecurity" .job.securityContext | nindent 4 }}
  {{- with $v.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .job.name }}
      image: {{ include "service.image" $v.image | quote }}
      imagePullPolicy: {{ $v.image.pullPolicy }}
      # A name or a port that is not there yet is there two seconds later; a new pod would wait for ten.
      command: [sh, -c, "for attempt in 1 2 3; do sh -eu /etc/groundwork/{{ .script }} && exit 0; sleep 2; done; exit 1"]
      {{- with include "service.env" $scope }}
      env: {{- . | nindent 8 }}
      {{- end }}
      resources: {{- toYaml .job.resources | nindent 8 }}
      securityContext: {{- include "service.containerSecurity" (dict "readOnlyRoot" true) | nindent 8 }}
      volumeMounts:
        {{- include "service.writableMounts" .job.writable | nindent 8 }}
        {{- include "service.volumeMounts" $scope | nindent 8 }}
  volumes:
    {{- include "service.writableVolumes" .job.writable | nindent 4 }}
    {{- include "service.fileVolumes" $scope | nindent 4 }}
  {{- with $v.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
