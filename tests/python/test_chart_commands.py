"""The commands of charts/lake, run as a pod would run them: `python -m unittest discover tests/python`.

What is rendered is taken as it is, commands and variables. Only the places that a pod mounts (/etc/lake, /tmp and
/var/cache/lake) become directories of the test, and `lake` the built binary.
"""

import contextlib
import functools
import hashlib
import hmac
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from datetime import datetime, timezone
from pathlib import Path

import duckdb
import yaml
from deltalake import DeltaTable

sys.path.insert(0, str(Path(__file__).parent))

import chart_rendering as chart
import reference

LAKE = Path(os.environ.get("LAKE") or chart.ROOT / "target/debug/lake")
SAMPLES = sorted((chart.ROOT / "data/utility").glob("*.csv"))

PIPELINE = """\
name: utility
transform: {name: utility, version: "1"}
inputs:
  readings: {path: "${LAKE_INPUT_READINGS}", on_change: upsert}
limits: {rejected: 5%}
schedule: "*/15 * * * *"
"""

USER, PASSWORD = "lake-access-key", "lake-secret-key"


def target() -> str:
    """The target triple, as this Rust names it."""
    said = subprocess.run(["rustc", "-vV"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return next(line.split()[1] for line in said.splitlines() if line.startswith("host:"))


@functools.cache
def library() -> Path:
    suffix = {"darwin": "dylib"}.get(sys.platform, "so")
    return LAKE.with_name(f"libutility.{suffix}")


class Release:
    """A pipeline file, a signed release of its transform in a registry, and the lock that pins it."""

    def __init__(self, directory: Path, registry: str, variables: dict[str, str]) -> None:
        self.directory, self.registry, self.variables = directory, registry, variables
        self.keys = directory / "trusted-keys.toml"
        self.pipeline = directory / "pipelines/utility.yaml"
        self.pipeline.parent.mkdir()
        self.pipeline.write_text(PIPELINE)
        self.lake("plugin", "key", "ci", "--trust", str(self.keys))
        built = f"{target()}={library()}"
        crate = chart.ROOT / "crates/transforms/utility"
        self.lake("plugin", "publish", str(crate), "--library", built, "--no-test", "--key", "ci.pem")
        self.lake("plugin", "update", str(self.pipeline), "--set", "root=unused", "--set", "inputs.readings.path=unused")

    def lake(self, *arguments: str) -> None:
        variables = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **self.variables,
                     "LAKE_REGISTRY": self.registry, "LAKE_TRUSTED_KEYS": str(self.keys), "LAKE_CACHE": str(self.directory / "cache")}
        ended = subprocess.run([LAKE, *arguments], cwd=self.directory, env=variables, capture_output=True, text=True)
        if ended.returncode != 0:
            raise AssertionError(f"lake {' '.join(arguments)}: {ended.stderr}")


class Node:
    """Runs jobs as a node of a cluster would, with what the config map has below /etc/lake."""

    def __init__(self, directory: Path, secrets: dict[str, dict[str, str]] | None = None) -> None:
        self.directory = directory
        self.secrets = secrets or {}

    def run(self, rendered: dict, kind: str, name: str) -> subprocess.CompletedProcess:
        pod = chart.job(rendered, kind, name)["template"]["spec"]
        (container,) = pod["containers"]
        mounted = Path(tempfile.mkdtemp(dir=self.directory))
        self.mount(mounted, rendered, pod, container)

        def here(text: str) -> str:
            """The same path in the directory of this test."""
            for place in ("/etc/lake", "/var/cache/lake"):
                text = text.replace(place, f"{mounted}{place}")
            return f"{mounted}/tmp" if text == "/tmp" else text

        # A pod sees no variable of its node. PATH comes from the image.
        variables = {"PATH": "/usr/bin:/bin", "HOSTNAME": name}
        for one in container["env"]:
            if "value" in one:
                variables[one["name"]] = here(one["value"])
            else:
                variables[one["name"]] = self.secret(one["valueFrom"]["secretKeyRef"])
        for one in container.get("envFrom", []):
            variables |= self.secret(one["secretRef"])
        # The entry point of the image is lake.
        assert "command" not in container
        command = [str(LAKE), *(here(argument) for argument in container["args"])]
        return subprocess.run(command, env=variables, cwd="/", capture_output=True, text=True, timeout=120)

    def secret(self, reference: dict) -> object:
        """As the kubelet does: what is not there and not optional keeps the container from starting."""
        secret = self.secrets.get(reference["name"])
        if secret is None or reference.get("key", "") not in (*secret, ""):
            assert reference["optional"] is False
            raise CreateContainerConfigError(f'secret "{reference["name"]}" not found')
        return secret[reference["key"]] if "key" in reference else secret

    def mount(self, mounted: Path, rendered: dict, pod: dict, container: dict) -> None:
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for mount in container["volumeMounts"]:
            place = mounted / mount["mountPath"].lstrip("/")
            volume = volumes[mount["name"]]
            if "configMap" not in volume:
                place.mkdir(parents=True)
                continue
            data = rendered["ConfigMap", volume["configMap"]["name"]]["data"]
            files = {item["path"]: data[item["key"]] for item in volume["configMap"]["items"]}
            if "subPath" in mount:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(files[mount["subPath"]])
                continue
            # A kubelet puts files into a directory of their own, and links to them.
            content = place / "..2026_12_01"
            content.mkdir(parents=True)
            (place / "..data").symlink_to(content.name)
            for name, text in files.items():
                (content / name).write_text(text)
                (place / name).symlink_to(f"..data/{name}")


class CreateContainerConfigError(Exception):
    """What Kubernetes calls a container that cannot be started for want of a secret."""


class Story(unittest.TestCase):
    """What is the same for a directory and for a bucket."""

    def setUp(self) -> None:
        self.directory = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.inbox = self.directory / "inbox"
        self.inbox.mkdir()

    @classmethod
    def publish(cls, registry: str, variables: dict[str, str]) -> None:
        """One release for all tests of a class."""
        if not LAKE.exists() or not library().exists():
            raise AssertionError(f"{LAKE} or {library().name} beside it is missing: cargo build -p lake -p utility")
        directory = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.release = Release(directory, registry.format(directory), variables)

    def prepare(self, root: str) -> None:
        self.values = self.directory / "values.yaml"
        self.values.write_text(yaml.safe_dump({
            "image": {"tag": "test"},
            "root": root,
            "registry": self.release.registry,
            "lock": self.release.pipeline.with_name("lake.lock").read_text(),
            "trustedKeys": {"text": self.release.keys.read_text()},
            "pipelines": {"utility": {"file": PIPELINE, "inputs": {"readings": f"{self.inbox}/*.csv"}}},
        }))
        self.more = []
        self.node = Node(self.directory)

    def add(self, values: dict) -> None:
        """Further values, over those that are there."""
        file = self.directory / f"values-{len(self.more)}.yaml"
        file.write_text(yaml.safe_dump(values))
        self.more.append(file)

    def rendered(self, *settings: str) -> dict:
        arguments = [part for setting in settings for part in ("--set", setting)]
        return chart.objects(self.values, *self.more, arguments=arguments)

    def done(self, kind: str, name: str, *settings: str) -> dict:
        """What a command that ends well says on stdout."""
        ended = self.node.run(self.rendered(*settings), kind, name)
        self.assertEqual(0, ended.returncode, ended.stderr)
        return json.loads(ended.stdout)

    def ended(self, code: int, *settings: str) -> str:
        """What a run that ends so has said."""
        ended = self.node.run(self.rendered(*settings), "CronJob", "lake-utility")
        self.assertEqual(code, ended.returncode, ended.stderr)
        return ended.stdout + ended.stderr

    def receive(self, *files: Path) -> None:
        for file in files:
            shutil.copy2(file, self.inbox)

    def assert_consumption_is_that_of(self, files: list[Path]) -> None:
        """Compared with what plain Python computes from the raw files."""
        expected = sorted((row.customer_id, row.usage_date, row.usage_kwh) for row in reference.expected(files).daily_usage)
        table = DeltaTable(self.table("consumption/daily_usage"), storage_options=self.storage_options())
        daily = table.to_pyarrow_table(columns=["customer_id", "usage_date", "usage_kwh"])
        found = sorted(duckdb.sql("FROM daily").fetchall())
        self.assertEqual(expected, found)

    def storage_options(self) -> dict[str, str] | None:
        return None

    def a_day_and_the_way_back(self) -> None:
        self.receive(*SAMPLES[:2])
        first = self.done("CronJob", "lake-utility")
        self.assertEqual((1, "done"), (first["run"], first["status"]))
        self.assert_consumption_is_that_of(SAMPLES[:2])

        # A file that should not have been loaded, and the Job that undoes it.
        self.receive(SAMPLES[2])
        self.assertEqual(2, self.done("CronJob", "lake-utility")["run"])
        self.assert_consumption_is_that_of(SAMPLES[:3])
        back = ["rollback.pipeline=utility", "rollback.version=1"]
        rolled = self.done("Job", "lake-utility-rollback-1", *back)
        self.assertEqual([SAMPLES[2].name], [Path(file["path"]).name for file in rolled["pending"]])
        self.assert_consumption_is_that_of(SAMPLES[:2])

        maintained = self.done("CronJob", "lake-utility-maintain")
        self.assertEqual("utility", maintained["pipeline"])
        self.assert_consumption_is_that_of(SAMPLES[:2])

        # The next run on schedule loads what is pending again.
        self.done("CronJob", "lake-utility")
        self.assert_consumption_is_that_of(SAMPLES[:3])


class JobsDoTheirWorkInADirectory(Story):
    @classmethod
    def setUpClass(cls) -> None:
        cls.publish("{}/registry", {})

    def setUp(self) -> None:
        super().setUp()
        self.prepare(f"{self.directory}/tables")

    def table(self, name: str) -> str:
        return f"{self.directory}/tables/utility/{name}"

    def test_a_run_a_rollback_maintenance_and_the_next_run(self) -> None:
        self.a_day_and_the_way_back()

    def test_every_option_of_a_rollback_is_one_that_lake_has(self) -> None:
        self.receive(*SAMPLES[:1])
        self.done("CronJob", "lake-utility")
        options = ["rollback.pipeline=utility", "rollback.version=0", "rollback.keepFiles=true",
                   "rollback.keepRelease=true", "rollback.discardOutside=true"]
        rolled = self.done("Job", "lake-utility-rollback-0", *options)
        self.assertEqual(([], []), (rolled["blocked"], rolled["pending"]))

    def test_a_pipeline_file_that_is_no_yaml_ends_with_exit_2_and_says_where(self) -> None:
        self.add({"pipelines": {"utility": {"file": "name: utility\ninputs: [", "schedule": "0 * * * *"}}})
        said = self.ended(2)
        self.assertIn("/etc/lake/pipelines/utility.yaml:", said)

    def test_a_setting_that_lake_does_not_know_ends_with_exit_2_and_says_where(self) -> None:
        self.add({"pipelines": {"utility": {"file": f"{PIPELINE}surprise: 1\n"}}})
        said = self.ended(2)
        self.assertIn("surprise", said)
        self.assertIn("/etc/lake/pipelines/utility.yaml:", said)

    def test_a_release_that_nobody_trusted_has_signed_ends_with_exit_1_and_says_whom_to_trust(self) -> None:
        self.receive(*SAMPLES[:1])
        stranger = self.directory / "stranger.toml"
        self.release.lake("plugin", "key", "stranger", "--trust", str(stranger))
        self.add({"trustedKeys": {"text": stranger.read_text()}})
        said = self.ended(1)
        self.assertIn("is not among the trusted keys", said)
        self.assertFalse((self.directory / "tables/utility/consumption").exists())

    def test_a_release_that_is_not_signed_ends_with_exit_1_and_says_so(self) -> None:
        registry = self.directory / "registry"
        shutil.copytree(self.release.registry, registry)
        released = registry / "utility/1.0.0/release.json"
        document = json.loads(released.read_text())
        document["signatures"] = []
        released.unlink()
        released.write_text(json.dumps(document))
        self.add({"registry": str(registry)})
        said = self.ended(1)
        self.assertIn("utility 1.0.0, which lake.lock pins, cannot be used", said)
        self.assertIn("has no signature", said)

    def test_too_many_rejected_rows_end_with_exit_3_and_publish_nothing(self) -> None:
        self.receive(*SAMPLES[:1])
        self.done("CronJob", "lake-utility")
        bad = SAMPLES[1].read_text(errors="replace").splitlines()
        (self.inbox / "bad.csv").write_text("\n".join([bad[0], *("no,reading,at,all,in,this" for _ in range(200))]))
        said = self.ended(3)
        self.assertIn("rejected", said)
        self.assert_consumption_is_that_of(SAMPLES[:1])

    def test_another_run_that_is_live_ends_with_exit_4(self) -> None:
        self.receive(*SAMPLES[:1])
        self.done("CronJob", "lake-utility")
        self.receive(*SAMPLES[1:2])
        other = {"attempt": "other", "host": "another-pod", "process": "1/1/pid:[1]",
                 "since": datetime.now(timezone.utc).isoformat()}
        (self.directory / "tables/utility/_lake/heartbeat.json").write_text(json.dumps(other))
        self.assertIn("another-pod", self.ended(4))

    def test_a_missing_secret_keeps_the_pod_from_starting_and_is_named(self) -> None:
        wanted = "pipelines.utility.secretEnv.AWS_SECRET_ACCESS_KEY"
        with self.assertRaisesRegex(CreateContainerConfigError, 'secret "bucket" not found'):
            self.node.run(self.rendered(f"{wanted}.name=bucket", f"{wanted}.key=secret"), "CronJob", "lake-utility")
        with self.assertRaisesRegex(CreateContainerConfigError, 'secret "bucket" not found'):
            self.node.run(self.rendered("pipelines.utility.secrets={bucket}"), "CronJob", "lake-utility")


class JobsDoTheirWorkInABucket(Story):
    """The same against MinIO, with keys from a secret."""

    @classmethod
    def setUpClass(cls) -> None:
        minio = cls.minio()
        data = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.port, console = free_port(), free_port()
        command = [minio, "server", "--quiet", "--address", f"127.0.0.1:{cls.port}",
                   "--console-address", f"127.0.0.1:{console}", f"{data}/data"]
        variables = {**os.environ, "MINIO_ROOT_USER": USER, "MINIO_ROOT_PASSWORD": PASSWORD}
        server = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        cls.addClassCleanup(server.wait)
        cls.addClassCleanup(server.kill)
        deadline = time.monotonic() + 60
        # It says that it is ready a little before it makes buckets.
        while (status := ask(cls.port, "PUT", "/lake")) != 200:
            if time.monotonic() > deadline or server.poll() is not None:
                raise AssertionError(f"MinIO does not come up, or makes no bucket: it says {status}")
            time.sleep(0.05)
        cls.keys = {"AWS_ACCESS_KEY_ID": USER, "AWS_SECRET_ACCESS_KEY": PASSWORD}
        cls.place = {
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{cls.port}",
            "AWS_ALLOW_HTTP": "true",
        }
        cls.publish("s3://lake/registry", {**cls.place, **cls.keys})

    @staticmethod
    def minio() -> str:
        """A MinIO binary; one is not built where scripts/test has MinIO in containers, which takes minutes."""
        script = chart.ROOT / "scripts/minio"
        found = subprocess.run([script, "found"], stdout=subprocess.PIPE, text=True)
        if found.returncode != 0:
            if os.environ.get("LAKE_TEST_S3") == "docker" or shutil.which("go") is None:
                raise unittest.SkipTest("there is no MinIO binary: scripts/minio binary builds one, with Go")
            found = subprocess.run([script, "binary"], check=True, stdout=subprocess.PIPE, text=True)
        return found.stdout.strip()

    def setUp(self) -> None:
        super().setUp()
        self.prepare("s3://lake/tables")
        self.add({"defaults": {"env": self.place, "secrets": ["bucket"]}})
        self.node = Node(self.directory, {"bucket": self.keys})

    def table(self, name: str) -> str:
        return f"s3://lake/tables/utility/{name}"

    def storage_options(self) -> dict[str, str]:
        return {**self.place, **self.keys, "AWS_ENDPOINT_URL": self.place["AWS_ENDPOINT_URL_S3"]}

    def test_a_run_a_rollback_maintenance_and_the_next_run(self) -> None:
        self.a_day_and_the_way_back()

    def test_keys_that_are_wrong_end_with_exit_1_and_are_said_nowhere(self) -> None:
        self.node = Node(self.directory, {"bucket": {**self.keys, "AWS_SECRET_ACCESS_KEY": "canary-2f7c"}})
        said = self.ended(1)
        self.assertIn("403 Forbidden", said)
        self.assertIn("check the credentials", said)
        self.assertNotIn("canary-2f7c", said)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def ask(port: int, method: str, path: str) -> int:
    """The status of a signed request without a body, 0 where nobody answers."""
    headers = signature(port, method, path)
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        try:
            connection.request(method, path, headers=headers)
            return connection.getresponse().status
        except OSError:
            return 0


def signature(port: int, method: str, path: str) -> dict[str, str]:
    """The headers of AWS Signature Version 4, for a request without query and body."""
    now = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{now[:8]}/us-east-1/s3/aws4_request"
    empty = hashlib.sha256(b"").hexdigest()
    headers = {"host": f"127.0.0.1:{port}", "x-amz-content-sha256": empty, "x-amz-date": now}
    names = ";".join(headers)
    request = "\n".join([method, path, "", *(f"{name}:{value}" for name, value in headers.items()), "", names, empty])
    text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{PASSWORD}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signed = hmac.new(key, text.encode(), "sha256").hexdigest()
    return {**headers, "authorization": f"AWS4-HMAC-SHA256 Credential={USER}/{scope}, SignedHeaders={names}, Signature={signed}"}


if __name__ == "__main__":
    unittest.main()
