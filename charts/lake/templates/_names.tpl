{{/* Names and labels. */}}

{{- define "lake.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride }}
{{- else -}}
{{- $chart := default .Chart.Name .Values.nameOverride -}}
{{- if contains $chart .Release.Name -}}{{ .Release.Name }}{{- else -}}{{ .Release.Name }}-{{ $chart }}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "lake.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "lake.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{/* The name of a pipeline as Kubernetes writes names. Takes {root, name}. */}}
{{- define "lake.pipelineName" -}}
{{ include "lake.fullname" .root }}-{{ .name | replace "_" "-" }}
{{- end -}}

{{/* The name of a CronJob, which has room for the eleven characters of its jobs. Takes {root, name, suffix}. */}}
{{- define "lake.cronJobName" -}}
{{- $name := printf "%s%s" (include "lake.pipelineName" .) .suffix -}}
{{- if gt (len $name) 52 -}}
{{- fail (printf "\n\npipelines.%s: the CronJob would be called %s, which has %d characters, and Kubernetes allows 52: choose a shorter name of the release, or fullnameOverride." .name $name (len $name)) -}}
{{- end -}}
{{ $name }}
{{- end -}}

{{- define "lake.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "lake.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{ include "lake.selectorLabels" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "lake.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else if .Values.image.tag -}}
{{ .Values.image.repository }}:{{ .Values.image.tag }}
{{- else -}}
{{- fail "\n\nimage.digest says no digest: name the image by --set image.digest=sha256:…, or by --set image.tag=…" -}}
{{- end -}}
{{- end -}}
