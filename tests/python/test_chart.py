"""What charts/lake renders, and what it refuses: `python -m unittest discover tests/python`.

Snapshots below tests/python/chart/snapshots are written anew with UPDATE_EXPECT=1.
"""

import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import kubernetes_validate
import yaml

sys.path.insert(0, str(Path(__file__).parent))

import chart_rendering as chart

# Snapshots by name, with the values files that they are of.
SNAPSHOTS = {
    "minimal": ["minimal.yaml"],
    "everything": ["everything.yaml"],
    "gke": ["minimal.yaml", "gke.yaml"],
    "azure": ["minimal.yaml", "azure.yaml"],
    "rollback": ["minimal.yaml", "rollback.yaml"],
}

# The oldest that the chart takes, two in between, and the newest whose schemas are there.
KUBERNETES = ["1.27", "1.30", "1.33", "1.37"]
CUSTOM = {"PrometheusRule", "ServiceMonitor"}


class SnapshotsShowWhatAChangeOfTheChartChanges(unittest.TestCase):
    maxDiff = None

    def test_what_is_rendered_is_as_in_the_snapshots(self) -> None:
        for name, values in SNAPSHOTS.items():
            with self.subTest(name):
                file = chart.VALUES / "snapshots" / f"{name}.yaml"
                rendered = chart.text(*values)
                if os.environ.get("UPDATE_EXPECT"):
                    file.write_text(rendered)
                self.assertEqual(file.read_text(), rendered)

    def test_helm_lint_has_nothing_to_say(self) -> None:
        for name, values in SNAPSHOTS.items():
            files = [part for file in values for part in ("--values", str(chart.VALUES / file))]
            command = [chart.helm(), "lint", "--strict", str(chart.CHART), *chart.IN_KUBERNETES, *files]
            ended = subprocess.run(command, capture_output=True, text=True)
            self.assertEqual(0, ended.returncode, f"{name}: {ended.stdout}{ended.stderr}")

    def test_the_readme_says_what_values_yaml_says(self) -> None:
        ended = subprocess.run([sys.executable, chart.ROOT / "scripts/chart-readme", "--check"], capture_output=True, text=True)
        self.assertEqual(0, ended.returncode, ended.stderr)

    def test_every_value_is_explained(self) -> None:
        def leaves(value: object, path: str = "") -> list[str]:
            if not isinstance(value, dict) or not value:
                return [path]
            return [leaf for key, below in value.items() for leaf in leaves(below, f"{path}.{key}" if path else key)]

        readme = (chart.CHART / "README.md").read_text()
        explained = re.findall(r"^\| `(.*?)` \|", readme, re.MULTILINE)
        for leaf in leaves(yaml.safe_load((chart.CHART / "values.yaml").read_text())):
            with self.subTest(leaf):
                # `resources`, `dnsTo` and `selector` are explained as a whole.
                self.assertTrue(any(leaf == one or leaf.startswith(f"{one}.") for one in explained if one not in ("defaults", "pod")))


class TheDocumentationIsTrue(unittest.TestCase):
    PAGE = (chart.ROOT / "docs/kubernetes.md").read_text()

    def test_its_values_render_with_the_files_that_it_names(self) -> None:
        (values,) = re.findall(r"```yaml\n(.*?)```", self.PAGE, re.DOTALL)
        given = yaml.safe_load((chart.VALUES / "minimal.yaml").read_text())
        with tempfile.TemporaryDirectory() as directory:
            texts = {
                "values-production.yaml": values,
                "pipelines.utility.file": given["pipelines"]["utility"]["file"],
                "lock": given["lock"],
                "trustedKeys.text": given["trustedKeys"]["text"],
            }
            for name, text in texts.items():
                (Path(directory) / name).write_text(text)
            files = [part for name in list(texts)[1:] for part in ("--set-file", f"{name}={directory}/{name}")]
            rendered = chart.objects(Path(directory) / "values-production.yaml", arguments=files)
        self.assertIn("limits.memory=1536MiB", chart.container(rendered, "CronJob", "lake-utility")["args"])

    def test_every_alert_has_a_section_and_a_command_in_its_text(self) -> None:
        for group in chart.objects("everything.yaml")["PrometheusRule", "lake"]["spec"]["groups"]:
            for alert in group["rules"]:
                self.assertIn(f"\n### {alert['alert']}\n", self.PAGE)
                self.assertRegex(alert["annotations"]["description"], "kubectl|lake query|lake_run_stage_seconds")

    def test_names_that_are_typed_are_names_that_are_rendered(self) -> None:
        asked = ["--set", "rollback.pipeline=utility,rollback.version=41"]
        rendered = chart.objects("minimal.yaml", arguments=asked)
        names = {f"{kind.lower()}/{name}" for kind, name in rendered}
        typed = set(re.findall(r"(?:cronjob|job)/lake-[a-z0-9-]+", self.PAGE))
        by_hand = {name for name in typed if name.endswith("-by-hand")}
        self.assertEqual({"cronjob/lake-utility", "job/lake-utility-rollback-41"}, typed - by_hand)
        self.assertLessEqual(typed - by_hand, names)


class NotesSayWhatToTypeNext(unittest.TestCase):
    def notes(self, *values: str, arguments=()) -> str:
        """`helm template` leaves NOTES.txt out, and `helm install` wants a cluster: here it is an object of a copy."""
        with tempfile.TemporaryDirectory() as directory:
            copy = Path(directory) / "lake"
            subprocess.run(["cp", "-r", chart.CHART, copy], check=True)
            text = (copy / "templates/NOTES.txt").read_text()
            (copy / "templates/notes.yaml").write_text(
                f'{{{{- define "notes" }}}}{text}{{{{ end -}}}}\n'
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: notes}\ndata: {text: {{ include \"notes\" . | quote }}}\n"
            )
            return chart.objects(*values, arguments=arguments, chart=copy)["ConfigMap", "notes"]["data"]["text"]

    def test_every_name_in_them_is_one_that_is_there(self) -> None:
        said = self.notes("everything.yaml")
        rendered = {name for kind, name in chart.objects("everything.yaml") if kind == "CronJob"}
        self.assertEqual({"lake-gas-meters", "lake-utility"}, set(re.findall(r"--from=cronjob/(\S+)", said)))
        self.assertLessEqual(set(re.findall(r"cronjob[ /](\S+)", said)), rendered)
        self.assertIn("gas_meters runs at 5 2 * * 1-5 (Europe/Berlin), but is suspended now.", said)
        self.assertIn("--set rollback.pipeline=utility,rollback.version=N", said)
        self.assertIn("A rollback of utility to run 41 was asked for.", said)
        self.assertIn("helm rollback lake REVISION -n lake", said)

    def test_without_a_pipeline_they_say_how_to_add_one(self) -> None:
        said = self.notes(arguments=["--set", "image.tag=test"])
        self.assertIn("--set-file pipelines.utility.file=pipelines/utility.yaml", said)


class KubernetesTakesWhatIsRendered(unittest.TestCase):
    def test_every_object_is_valid_for_every_version(self) -> None:
        checked = set()
        for values in SNAPSHOTS.values():
            for (kind, name), rendered in chart.objects(*values).items():
                for version in KUBERNETES if kind not in CUSTOM else []:
                    with self.subTest(kind=kind, name=name, version=version):
                        kubernetes_validate.validate(rendered, version, strict=True)
                        checked.add(kind)
        self.assertEqual({"ConfigMap", "CronJob", "Job", "NetworkPolicy", "ServiceAccount"}, checked)

    def test_a_wrong_object_would_be_noticed(self) -> None:
        cron_job = chart.objects("minimal.yaml")["CronJob", "lake-utility"]
        cron_job["spec"]["jobTemplate"]["spec"]["backofLimit"] = 3
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(cron_job, KUBERNETES[0], strict=True)

    def test_custom_resources_have_the_shape_that_their_operator_reads(self) -> None:
        """There are no offline schemas of these two: this knows the fields that the chart uses, and no others."""
        rendered = chart.objects("everything.yaml")
        rule = rendered["PrometheusRule", "lake"]
        self.assertEqual("monitoring.coreos.com/v1", rule["apiVersion"])
        self.assertEqual({"groups"}, set(rule["spec"]))
        for group in rule["spec"]["groups"]:
            self.assertEqual({"name", "rules"}, set(group))
            for alert in group["rules"]:
                self.assertLessEqual({"alert", "expr", "labels", "annotations"}, set(alert))
                self.assertLessEqual(set(alert), {"alert", "expr", "for", "labels", "annotations"})
                self.assertTrue(all(isinstance(label, str) for label in alert["labels"].values()))
        monitor = rendered["ServiceMonitor", "lake"]
        self.assertEqual("monitoring.coreos.com/v1", monitor["apiVersion"])
        self.assertEqual({"namespaceSelector", "selector", "endpoints"}, set(monitor["spec"]))
        self.assertEqual({"matchNames": ["monitoring"]}, monitor["spec"]["namespaceSelector"])
        self.assertEqual([{"port": "http", "interval": "30s", "honorLabels": True}], monitor["spec"]["endpoints"])


class PodsDoWhatTheDocumentationSays(unittest.TestCase):
    def test_exits_2_3_and_4_end_a_job_at_once_and_a_lost_node_costs_nothing(self) -> None:
        rendered = chart.objects("everything.yaml")
        for kind, name in rendered:
            if kind not in ("CronJob", "Job"):
                continue
            fail, ignore = chart.job(rendered, kind, name)["podFailurePolicy"]["rules"]
            self.assertEqual("FailJob", fail["action"])
            self.assertEqual({"containerName": "lake", "operator": "In", "values": [2, 3, 4]}, fail["onExitCodes"])
            self.assertEqual([], fail["onPodConditions"])
            self.assertEqual("Ignore", ignore["action"])
            self.assertEqual([{"type": "DisruptionTarget", "status": "True"}], ignore["onPodConditions"])

    def test_exit_codes_that_are_not_retried_are_those_that_lake_documents(self) -> None:
        documented = re.findall(r"^\| ([0-9]) \| (.*?) \|$", (chart.ROOT / "README.md").read_text(), re.MULTILINE)
        self.assertEqual(["0", "1", "2", "3", "4"], [code for code, _ in documented])
        self.assertIn("wrong usage or pipeline file", documented[2][1])
        self.assertIn("stopped by a check or limit", documented[3][1])
        self.assertIn("another run is live", documented[4][1])

    def test_two_runs_of_a_cron_job_are_never_live_at_once(self) -> None:
        for (kind, _), one in chart.objects("everything.yaml").items():
            if kind == "CronJob":
                self.assertEqual("Forbid", one["spec"]["concurrencyPolicy"])

    def test_pods_are_restricted(self) -> None:
        """What the pod security standard `restricted` asks for, and a file system that is read-only beside it."""
        rendered = chart.objects("everything.yaml")
        for kind, name in rendered:
            if kind not in ("CronJob", "Job"):
                continue
            pod = chart.job(rendered, kind, name)["template"]["spec"]
            self.assertEqual("Never", pod["restartPolicy"])
            self.assertIs(False, pod["automountServiceAccountToken"])
            self.assertIs(True, pod["securityContext"]["runAsNonRoot"])
            self.assertEqual(65532, pod["securityContext"]["runAsUser"])
            self.assertEqual({"type": "RuntimeDefault"}, pod["securityContext"]["seccompProfile"])
            security = chart.container(rendered, kind, name)["securityContext"]
            self.assertEqual({"drop": ["ALL"]}, security["capabilities"])
            self.assertIs(True, security["readOnlyRootFilesystem"])
            self.assertIs(False, security["allowPrivilegeEscalation"])

    def test_the_schedule_is_that_of_the_values_and_else_that_of_the_pipeline_file(self) -> None:
        rendered = chart.objects("everything.yaml")
        self.assertEqual("5 2 * * 1-5", rendered["CronJob", "lake-gas-meters"]["spec"]["schedule"])
        self.assertEqual("*/15 * * * *", rendered["CronJob", "lake-utility"]["spec"]["schedule"])

    def test_a_pipeline_says_what_is_another_for_it_and_leaves_the_others_alone(self) -> None:
        rendered = chart.objects("everything.yaml")
        region = {"gas-meters": "eu-west-1", "utility": "eu-central-1"}
        for name, expected in region.items():
            variables = {one["name"]: one.get("value") for one in chart.container(rendered, "CronJob", f"lake-{name}")["env"]}
            self.assertEqual(expected, variables["AWS_REGION"])
        self.assertNotIn("LAKE_INPUT_READINGS", variables)

    def test_a_pod_without_its_secret_does_not_start(self) -> None:
        gas = chart.container(chart.objects("everything.yaml"), "CronJob", "lake-gas-meters")
        secret = next(one for one in gas["env"] if one["name"] == "AWS_SECRET_ACCESS_KEY")
        self.assertEqual({"name": "gas", "key": "secret", "optional": False}, secret["valueFrom"]["secretKeyRef"])
        self.assertEqual([{"secretRef": {"name": "bucket", "optional": False}}], gas["envFrom"])

    def test_the_memory_of_lake_leaves_room_in_the_pod(self) -> None:
        for pod, lake in {"556Mi": 300, "1Gi": 768, "1.5Gi": 1152, "2Gi": 1536, "8Gi": 6144}.items():
            settings = ["--set", f"pipelines.utility.resources.limits.memory={pod}"]
            arguments = chart.container(chart.objects("minimal.yaml", arguments=settings), "CronJob", "lake-utility")["args"]
            self.assertIn(f"limits.memory={lake}MiB", arguments)

    def test_rolling_helm_back_brings_the_former_pins(self) -> None:
        """`helm rollback` renders nothing: it applies what was rendered of the former values, which is compared here."""
        def pins(version: str) -> tuple[str, str]:
            rendered = chart.objects("minimal.yaml", arguments=["--set-string", f'lock=[[pipeline]]\nname = "utility"\nversion = "{version}"\n'])
            pod = chart.job(rendered, "CronJob", "lake-utility")["template"]
            return rendered["ConfigMap", "lake"]["data"]["lake.lock"], pod["metadata"]["annotations"]["checksum/config"]

        former, later, back = pins("1.0.0"), pins("1.1.0"), pins("1.0.0")
        self.assertIn("1.1.0", later[0])
        self.assertNotEqual(former[1], later[1])
        self.assertEqual(former, back)

    def test_no_rollback_happens_until_one_is_asked_for(self) -> None:
        self.assertNotIn("Job", {kind for kind, _ in chart.objects("minimal.yaml")})
        asked = ["--set", "rollback.pipeline=utility,rollback.version=41"]
        self.assertIn(("Job", "lake-utility-rollback-41"), chart.objects("minimal.yaml", arguments=asked))
        nothing = ["--set", "rollback.pipeline=,rollback.version=null"]
        self.assertNotIn("Job", {kind for kind, _ in chart.objects("minimal.yaml", "rollback.yaml", arguments=nothing)})
        # Job names that differ are what allows a second one.
        again = ["--set", "rollback.pipeline=utility,rollback.version=41,rollback.request=second"]
        self.assertIn(("Job", "lake-utility-rollback-41-second"), chart.objects("minimal.yaml", arguments=again))
        self.assertIn(("Job", "lake-utility-rollback-0"), chart.objects("minimal.yaml", "rollback.yaml"))

    def test_a_rollback_is_never_tried_again_by_itself(self) -> None:
        rollback = chart.objects("minimal.yaml", "rollback.yaml")["Job", "lake-utility-rollback-0"]
        self.assertEqual(0, rollback["spec"]["backoffLimit"])
        # A Job that went away by itself would be made once more by the next upgrade.
        self.assertNotIn("ttlSecondsAfterFinished", rollback["spec"])

    def test_pods_reach_name_servers_object_stores_and_metrics_and_nothing_else(self) -> None:
        policy = chart.objects("everything.yaml")["NetworkPolicy", "lake"]["spec"]
        self.assertEqual([], policy["ingress"])
        self.assertEqual(["Ingress", "Egress"], policy["policyTypes"])
        ports = [[port["port"] for port in rule["ports"]] for rule in policy["egress"]]
        self.assertEqual([[53, 53], [443, 9000], [9091], [8443]], ports)
        without = chart.objects("minimal.yaml")["NetworkPolicy", "lake"]["spec"]["egress"]
        self.assertEqual([[53, 53], [443]], [[port["port"] for port in rule["ports"]] for rule in without])

    def test_the_files_may_lie_in_the_chart(self) -> None:
        given = yaml.safe_load((chart.VALUES / "minimal.yaml").read_text())
        with tempfile.TemporaryDirectory() as directory:
            copy = Path(directory) / "lake"
            subprocess.run(["cp", "-r", chart.CHART, copy], check=True)
            (copy / "files").mkdir()
            (copy / "files/lake.lock").write_text(given.pop("lock"))
            (copy / "files/trusted-keys.toml").write_text(given.pop("trustedKeys")["text"])
            (copy / "files/utility.yaml").write_text(given["pipelines"]["utility"].pop("file"))
            values = Path(directory) / "values.yaml"
            values.write_text(yaml.safe_dump(given))
            there = chart.objects(values, chart=copy)["ConfigMap", "lake"]["data"]
        self.assertEqual(chart.objects("minimal.yaml")["ConfigMap", "lake"]["data"], there)


class WrongValuesAreRefusedWithTheWordsThatHelp(unittest.TestCase):
    def refused(self, *settings: str, values=("minimal.yaml",)) -> str:
        arguments = [part for setting in settings for part in ("--set", setting)]
        ended = chart.helm_template(list(values), arguments)
        self.assertNotEqual(0, ended.returncode, "it was not refused")
        return ended.stderr

    def test_values_that_nobody_reads(self) -> None:
        for setting in ("scheduel=x", "defaults.scheduel=x", "pipelines.utility.scheduel=x", "rollback.run=41"):
            self.assertRegex(self.refused(setting), r"(?i)additional propert")

    def test_values_of_the_wrong_form(self) -> None:
        for setting, names in {
            "image.digest=latest": "digest",
            "rollback.version=last": "version",
            "pipelines.utility.schedule=hourly": "schedule",
            "pipelines.utility.resources.limits.memory=1G": "memory",
            "pipelines.utility.backoffLimit=-1": "backoffLimit",
            "webIdentity.provider=ibm": "provider",
            "metrics.target=pushgateway:9091": "target",
            "pipelines.Utility.suspend=true": "Utility",
        }.items():
            with self.subTest(setting):
                self.assertIn(names, self.refused(setting))

    def test_an_image_without_digest_and_tag(self) -> None:
        self.assertIn("--set image.digest=sha256:", self.refused("image.digest="))

    def test_a_pod_that_is_too_small(self) -> None:
        said = self.refused("pipelines.utility.resources.limits.memory=555Mi")
        self.assertIn("pipelines.utility: resources.limits.memory is 555Mi, too small", said)
        self.assertIn("556Mi", said)

    def test_a_pipeline_without_a_file(self) -> None:
        self.assertIn("--set-file pipelines.gas.file=pipelines/gas.yaml", self.refused("pipelines.gas.suspend=true"))

    def test_a_pipeline_without_a_schedule(self) -> None:
        file = "pipelines.utility.file=name: utility"
        self.assertIn("pipelines.utility has no schedule", self.refused(file))

    def test_a_schedule_that_is_a_variable(self) -> None:
        file = 'pipelines.utility.file=name: utility\nschedule: "${SCHEDULE}"'
        self.assertIn("set pipelines.utility.schedule", self.refused(file))

    def test_a_file_of_another_name(self) -> None:
        self.assertIn("call it pipelines.gas", self.refused('pipelines.utility.file=name: gas\nschedule: "0 * * * *"'))

    def test_a_file_that_is_for_developing(self) -> None:
        file = 'pipelines.utility.file=name: utility\ntransform:\n  path: ../crates\nschedule: "0 * * * *"'
        self.assertIn("transform.path", self.refused(file))

    def test_a_pipeline_that_nothing_is_pinned_for(self) -> None:
        said = self.refused("lock=version = 1")
        self.assertIn("lake plugin update pipelines/utility.yaml", said)

    def test_nobody_who_is_trusted(self) -> None:
        self.assertIn("--set-file trustedKeys.text=", self.refused("trustedKeys.text="))

    def test_a_rollback_of_a_pipeline_that_is_not_there(self) -> None:
        said = self.refused("rollback.pipeline=water", "rollback.version=3")
        self.assertIn("rollback.pipeline is water, which is no pipeline of this release: it is one of utility", said)

    def test_a_rollback_to_no_run_or_of_no_pipeline(self) -> None:
        self.assertIn("rollback.version says no run", self.refused("rollback.pipeline=utility"))
        self.assertIn("rollback.pipeline says no pipeline", self.refused("rollback.version=3"))

    def test_names_that_are_too_long(self) -> None:
        said = self.refused("fullnameOverride=" + "a" * 50)
        self.assertIn("Kubernetes allows 52", said)

    def test_pipelines_that_would_be_one_in_kubernetes(self) -> None:
        extra = Path(tempfile.mkdtemp()) / "values.yaml"
        for name in ("a_b", "a-b", "c-maintain"):
            lock = "".join(f'[[pipeline]]\nname = "{one}"\n' for one in ("utility", "a_b", "a-b", "c-maintain"))
            file = f'name: {name}\nschedule: "0 * * * *"'
            both = {"a_b": {"file": file.replace(name, "a_b")}, name: {"file": file}}
            extra.write_text(yaml.safe_dump({"lock": lock, "pipelines": both}))
            if name == "a_b":
                self.assertEqual(0, chart.helm_template(["minimal.yaml", extra], []).returncode)
            else:
                self.assertIn("rename the pipeline", self.refused(values=("minimal.yaml", extra)))

    def test_a_web_identity_of_nobody(self) -> None:
        for provider, value in {"aws": "roleArn", "gke": "googleServiceAccount", "azure": "azureClientId"}.items():
            self.assertIn(f"webIdentity.{value}", self.refused(f"webIdentity.provider={provider}"))


if __name__ == "__main__":
    unittest.main()
