{{/* What the values say about a pipeline, and what its file says. */}}

{{/*
The settings of one pipeline: its own over `defaults`. Takes {root, name}; gives YAML.
Lists are taken as a whole, maps key by key.
*/}}
{{- define "lake.settings" -}}
{{- $own := default dict (get .root.Values.pipelines .name) -}}
{{- mergeOverwrite (deepCopy .root.Values.defaults) (deepCopy $own) | toYaml -}}
{{- end -}}

{{/* The text of a pipeline file. Takes {root, name}. */}}
{{- define "lake.file" -}}
{{- $own := default dict (get .root.Values.pipelines .name) -}}
{{- $text := default (.root.Files.Get (printf "files/%s.yaml" .name)) $own.file -}}
{{- if not $text -}}
{{- fail (printf "\n\npipelines.%s has no file: give it with --set-file pipelines.%s.file=pipelines/%s.yaml, or lay %s.yaml into files/ of the chart." .name .name .name .name) -}}
{{- end -}}
{{ $text }}
{{- end -}}

{{- define "lake.lock" -}}
{{ default (.Files.Get "files/lake.lock") .Values.lock }}
{{- end -}}

{{- define "lake.keys" -}}
{{ default (.Files.Get "files/trusted-keys.toml") .Values.trustedKeys.text }}
{{- end -}}

{{/* The cron expression of a pipeline: from values, else from its file. Takes {root, name}. */}}
{{- define "lake.schedule" -}}
{{- $settings := include "lake.settings" . | fromYaml -}}
{{- $file := include "lake.file" . | fromYaml -}}
{{- $schedule := default $file.schedule $settings.schedule -}}
{{- if not $schedule -}}
{{- fail (printf "\n\npipelines.%s has no schedule: say `schedule: \"*/15 * * * *\"` in the pipeline file, or --set 'pipelines.%s.schedule=*/15 * * * *'." .name .name) -}}
{{- end -}}
{{- if contains "${" $schedule -}}
{{- fail (printf "\n\npipelines.%s: the pipeline file's schedule is %s, and the chart knows no variables: set pipelines.%s.schedule." .name $schedule .name) -}}
{{- end -}}
{{ $schedule }}
{{- end -}}

{{/*
Refuses a pipeline that could not run, before anything is installed. Takes {root, name}.
A file that is no YAML has a schedule in values at the most, and is left to lake, which says line and column.
*/}}
{{- define "lake.checkPipeline" -}}
{{- $file := include "lake.file" . | fromYaml -}}
{{- if and $file.name (ne $file.name .name) -}}
{{- fail (printf "\n\npipelines.%s: its file says `name: %s`, and lake.lock and metrics go by that: call it pipelines.%s." .name $file.name $file.name) -}}
{{- end -}}
{{- $transform := default dict $file.transform -}}
{{- if and (kindIs "map" $transform) $transform.path -}}
{{- fail (printf "\n\npipelines.%s: its file has transform.path, which is for developing, and --locked refuses it: take the line out and run `lake plugin update`." .name) -}}
{{- end -}}
{{- if not (regexMatch (printf "(?m)^name = \"%s\"\\s*$" .name) (include "lake.lock" .root)) -}}
{{- fail (printf "\n\npipelines.%s: lake.lock pins nothing for it, so that --locked would refuse every run: run `lake plugin update pipelines/%s.yaml`, and give the file with --set-file lock=pipelines/lake.lock." .name .name) -}}
{{- end -}}
{{- if not (or .root.Values.trustedKeys.configMap (include "lake.keys" .root)) -}}
{{- fail "\n\ntrustedKeys says no keys, and without them no release is loaded: --set-file trustedKeys.text=trusted-keys.toml, or --set trustedKeys.configMap=NAME." -}}
{{- end -}}
{{- end -}}

{{/* Changes with anything that a pod reads from the config map: the pod template changes with it, and goes back with it. */}}
{{- define "lake.checksum" -}}
{{ include (print .Template.BasePath "/configmap.yaml") . | sha256sum }}
{{- end -}}

{{/* A quantity of Mi or Gi, in MiB. */}}
{{- define "lake.mebibytes" -}}
{{- if hasSuffix "Gi" . -}}
{{ trimSuffix "Gi" . | float64 | mulf 1024 | floor | int }}
{{- else -}}
{{ trimSuffix "Mi" . | float64 | floor | int }}
{{- end -}}
{{- end -}}

{{/*
limits.memory of lake, from the memory limit of the pod. Takes {root, name}.
It bounds what sorting, joining and grouping hold; reading and writing need about 200 MiB beside that, and more
with more cores. So a quarter of the pod stays free, and 256 MiB at least. Below 300 MiB lake does not keep its
limit on large loads, and the kernel would kill the pod in the middle of the night: refused here.
*/}}
{{- define "lake.memory" -}}
{{- $settings := include "lake.settings" . | fromYaml -}}
{{- $pod := include "lake.mebibytes" $settings.resources.limits.memory | int -}}
{{- $beside := max 256 (div $pod 4) -}}
{{- $lake := sub $pod $beside -}}
{{- if lt $lake 300 -}}
{{- fail (printf "\n\npipelines.%s: resources.limits.memory is %s, too small: reading and writing take %d MiB of it, and lake needs 300 MiB beside them. Give it 556Mi or more." .name $settings.resources.limits.memory $beside) -}}
{{- end -}}
{{ $lake }}MiB
{{- end -}}

{{/* A length of time (s, m, h, d) in seconds. */}}
{{- define "lake.seconds" -}}
{{- $factor := get (dict "s" 1 "m" 60 "h" 3600 "d" 86400) (regexFind "[smhd]$" .) -}}
{{ regexFind "^[0-9]+" . | int | mul $factor }}
{{- end -}}
