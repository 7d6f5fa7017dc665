{{/* The pod of every job: it differs only in its arguments. */}}

{{/* A value as text. Helm reads every number as one with a fraction, and would write a million as 1e+06. */}}
{{- define "lake.text" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) -}}
{{ printf "%.0f" . }}
{{- else -}}
{{ toString . }}
{{- end -}}
{{- end -}}

{{/* Variables. Takes {root, name}. */}}
{{- define "lake.env" -}}
{{- $settings := include "lake.settings" . | fromYaml -}}
{{- with .root.Values.root }}
- {name: LAKE_ROOT, value: {{ . | quote }}}
{{- end }}
{{- with .root.Values.registry }}
- {name: LAKE_REGISTRY, value: {{ . | quote }}}
{{- end }}
- {name: LAKE_TRUSTED_KEYS, value: /etc/lake/trusted-keys.toml}
- {name: LAKE_CACHE, value: /var/cache/lake}
- {name: TMPDIR, value: /tmp}
{{- with .root.Values.metrics.target }}
- {name: LAKE_METRICS, value: {{ . | quote }}}
{{- end }}
{{- range $input, $path := $settings.inputs }}
- {name: LAKE_INPUT_{{ upper $input }}, value: {{ $path | quote }}}
{{- end }}
{{- range $param, $value := $settings.params }}
- {name: LAKE_PARAM_{{ upper $param }}, value: {{ include "lake.text" $value | quote }}}
{{- end }}
{{- if eq .root.Values.webIdentity.provider "aws" }}
- {name: AWS_ROLE_ARN, value: {{ .root.Values.webIdentity.roleArn | quote }}}
- {name: AWS_WEB_IDENTITY_TOKEN_FILE, value: /var/run/secrets/lake/token}
{{- end }}
{{- range $variable, $value := $settings.env }}
- {name: {{ $variable }}, value: {{ include "lake.text" $value | quote }}}
{{- end }}
{{- range $variable, $secret := $settings.secretEnv }}
- name: {{ $variable }}
  valueFrom:
    secretKeyRef: {name: {{ $secret.name }}, key: {{ $secret.key }}, optional: false}
{{- end }}
{{- end -}}

{{- define "lake.volumes" -}}
{{- $settings := include "lake.settings" . | fromYaml -}}
- name: pipelines
  configMap:
    name: {{ include "lake.fullname" .root }}
    items:
      - {key: lake.lock, path: lake.lock}
      - {key: {{ .name }}.yaml, path: {{ .name }}.yaml}
- name: trusted-keys
  configMap:
    {{- if .root.Values.trustedKeys.configMap }}
    name: {{ .root.Values.trustedKeys.configMap }}
    items:
      - {key: {{ .root.Values.trustedKeys.key }}, path: trusted-keys.toml}
    {{- else }}
    name: {{ include "lake.fullname" .root }}
    items:
      - {key: trusted-keys.toml, path: trusted-keys.toml}
    {{- end }}
- name: spill
  {{- if $settings.spill.storageClassName }}
  ephemeral:
    volumeClaimTemplate:
      spec:
        accessModes: [ReadWriteOnce]
        storageClassName: {{ $settings.spill.storageClassName }}
        resources:
          requests:
            storage: {{ $settings.spill.size }}
  {{- else }}
  emptyDir:
    sizeLimit: {{ $settings.spill.size }}
  {{- end }}
- name: cache
  {{- if $settings.cache.existingClaim }}
  persistentVolumeClaim:
    claimName: {{ $settings.cache.existingClaim }}
  {{- else }}
  emptyDir:
    sizeLimit: {{ $settings.cache.size }}
  {{- end }}
{{- if eq .root.Values.webIdentity.provider "aws" }}
- name: identity
  projected:
    sources:
      - serviceAccountToken:
          path: token
          audience: {{ .root.Values.webIdentity.audience }}
          expirationSeconds: 3600
{{- end }}
{{- with .root.Values.pod.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "lake.volumeMounts" -}}
- {name: pipelines, mountPath: /etc/lake/pipelines, readOnly: true}
- {name: trusted-keys, mountPath: /etc/lake/trusted-keys.toml, subPath: trusted-keys.toml, readOnly: true}
- {name: spill, mountPath: /tmp}
- {name: cache, mountPath: /var/cache/lake}
{{- if eq .root.Values.webIdentity.provider "aws" }}
- {name: identity, mountPath: /var/run/secrets/lake, readOnly: true}
{{- end }}
{{- with .root.Values.pod.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A job's specification. Takes {root, name, component, args, deadline, retries}. */}}
{{- define "lake.jobSpec" -}}
{{- $settings := include "lake.settings" . | fromYaml -}}
{{- $pod := .root.Values.pod -}}
activeDeadlineSeconds: {{ int64 .deadline }}
backoffLimit: {{ int64 .retries }}
# What lake has said counts first: 2 wrong usage or pipeline file, 3 stopped by a check or limit, 4 another run is
# live. None of them gets better by trying again at once. A node that goes away is nobody's failure.
podFailurePolicy:
  rules:
    - action: FailJob
      onExitCodes: {containerName: lake, operator: In, values: [2, 3, 4]}
      # Says nothing, and is there for Kubernetes up to 1.28, whose schema asks for it.
      onPodConditions: []
    - action: Ignore
      onPodConditions:
        - {type: DisruptionTarget, status: "True"}
template:
  metadata:
    labels:
      {{- include "lake.labels" .root | nindent 6 }}
      app.kubernetes.io/component: {{ .component }}
      lake/pipeline: {{ .name }}
      {{- if eq .root.Values.webIdentity.provider "azure" }}
      azure.workload.identity/use: "true"
      {{- end }}
      {{- with $pod.labels }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    annotations:
      checksum/config: {{ include "lake.checksum" .root }}
      {{- with $pod.annotations }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
  spec:
    restartPolicy: Never
    serviceAccountName: {{ include "lake.serviceAccount" .root }}
    # lake never asks the API server. Web identity has tokens of its own, with another audience.
    automountServiceAccountToken: false
    enableServiceLinks: false
    securityContext:
      runAsNonRoot: true
      runAsUser: {{ $pod.user }}
      runAsGroup: {{ $pod.user }}
      fsGroup: {{ $pod.user }}
      fsGroupChangePolicy: OnRootMismatch
      seccompProfile: {type: RuntimeDefault}
    {{- with .root.Values.image.pullSecrets }}
    imagePullSecrets:
      {{- range . }}
      - name: {{ . }}
      {{- end }}
    {{- end }}
    {{- with $pod.priorityClassName }}
    priorityClassName: {{ . }}
    {{- end }}
    {{- with $pod.nodeSelector }}
    nodeSelector: {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with $pod.tolerations }}
    tolerations: {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with $pod.affinity }}
    affinity: {{- toYaml . | nindent 6 }}
    {{- end }}
    containers:
      - name: lake
        image: {{ include "lake.image" .root }}
        imagePullPolicy: {{ .root.Values.image.pullPolicy }}
        args:
          {{- range .args }}
          - {{ . | toString | quote }}
          {{- end }}
        env:
          {{- include "lake.env" . | trim | nindent 10 }}
        {{- with $settings.secrets }}
        envFrom:
          {{- range . }}
          - secretRef: {name: {{ . }}, optional: false}
          {{- end }}
        {{- end }}
        resources: {{- toYaml $settings.resources | nindent 10 }}
        # What went wrong is in the last lines, and `kubectl describe pod` shows them.
        terminationMessagePolicy: FallbackToLogsOnError
        securityContext:
          allowPrivilegeEscalation: false
          privileged: false
          readOnlyRootFilesystem: true
          capabilities: {drop: [ALL]}
        volumeMounts:
          {{- include "lake.volumeMounts" . | nindent 10 }}
    volumes:
      {{- include "lake.volumes" . | nindent 6 }}
{{- end -}}
