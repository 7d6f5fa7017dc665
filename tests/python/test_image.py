"""The container image of lake holds what it says, and a released transform runs in it.

With the built `target/debug/lake`, on a base of the files of this system. The containers need a Docker
engine of this machine; where none answers, or LAKE_TEST_S3=process asks for none, that is said.
"""

import csv
import io
import json
import mmap
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import unittest
from pathlib import Path

from pyarrow.fs import S3FileSystem

sys.path.insert(0, str(Path(__file__).parent))

import reference

ROOT = Path(__file__).parents[2]
LAKE = ROOT / "target" / "debug" / "lake"
SAMPLES = sorted((ROOT / "data" / "utility").glob("*.csv"))
BILL = "usr/share/doc/lake/lake.cdx.json"

USER, PASSWORD = "lake-access-key", "lake-secret-key"


def why_not() -> str | None:
    """Why no container can be started here."""
    if os.environ.get("LAKE_TEST_S3") == "process":
        return "LAKE_TEST_S3=process asks for no containers"
    if sys.platform != "linux":
        return "it is made of the files of a Linux"
    asked = ["docker", "info", "--format", "{{.ServerVersion}}"]
    try:
        answer = subprocess.run(asked, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    except FileNotFoundError:
        return "docker is missing"
    if not answer.strip():
        return "no Docker engine answers"
    asked = ["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]
    host = subprocess.run(asked, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip()
    # They mount directories of this machine and serve on its loopback.
    return None if host.startswith("unix://") or not host else f"the Docker engine at {host} is on another machine"


def docker(*arguments: str, code: int | None = 0) -> subprocess.CompletedProcess:
    ended = subprocess.run(["docker", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if code is not None and ended.returncode != code:
        raise AssertionError(f"docker {' '.join(arguments)} ended with {ended.returncode}, not {code}:\n"
                             f"{ended.stdout}{ended.stderr}")
    return ended


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class BillOfMaterials(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        said = subprocess.run([ROOT / "scripts" / "sbom"], check=True, stdout=subprocess.PIPE, text=True).stdout
        cls.bill = json.loads(said)
        cls.crates = {f"{crate['name']}@{crate['version']}": crate for crate in cls.bill["components"]}

    def test_every_crate_has_the_version_and_the_checksum_of_the_lock(self) -> None:
        locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
        locked = {f"{crate['name']}@{crate['version']}": crate.get("checksum") for crate in locked}
        for ref, crate in self.crates.items():
            self.assertIn(ref, locked)
            hashes = [{"alg": "SHA-256", "content": locked[ref]}] if locked[ref] else None
            self.assertEqual(crate.get("hashes"), hashes, ref)
            self.assertTrue(crate["licenses"], ref)

    def test_every_crate_that_the_binary_names_in_its_messages_is_in_the_bill(self) -> None:
        # A panic says where it happened: /…/registry/src/index…/bytes-1.12.1/src/bytes.rs.
        place = re.compile(rb"/registry/src/[^/]+/([A-Za-z0-9_-]+)-([0-9]+\.[0-9]+\.[0-9]+[A-Za-z0-9.+-]*)/")
        with LAKE.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as binary:
            named = {f"{name.decode()}@{version.decode()}" for name, version in place.findall(binary)}
        self.assertGreater(len(named), 100, "the binary does not say what it is made of")
        self.assertEqual(named - set(self.crates), set())

    def test_what_only_tests_and_macros_need_is_not_in_the_bill(self) -> None:
        names = {crate["name"] for crate in self.bill["components"]}
        self.assertLessEqual({"deltalake", "datafusion", "arrow", "object_store", "rustls", "lake-run"}, names)
        others = {"proptest", "testcontainers", "trybuild", "serde_derive", "syn", "lake-testing"}
        self.assertEqual(others & names, set())

    def test_it_is_lake_that_is_made_of_it(self) -> None:
        root = self.bill["metadata"]["component"]
        self.assertEqual((root["type"], root["name"]), ("application", "lake"))
        refs = set(self.crates) | {root["bom-ref"]}
        used = {used for entry in self.bill["dependencies"] for used in entry["dependsOn"]}
        self.assertEqual({entry["ref"] for entry in self.bill["dependencies"]}, refs)
        self.assertEqual(used, set(self.crates), "every crate is used by something, and lake by nothing")


class Image(unittest.TestCase):
    """One image, one MinIO and one release for all tests; each has a root of its own in the bucket."""

    @classmethod
    def setUpClass(cls) -> None:
        if reason := why_not():
            if os.environ.get("LAKE_TEST_S3") == "docker":
                raise AssertionError(f"LAKE_TEST_S3=docker, and the image cannot be tested: {reason}")
            print(f"The container image is not tested here: {reason}.", file=sys.stderr)
            raise unittest.SkipTest(reason)
        cls.image = f"lake-test:{os.getpid()}"
        cls.addClassCleanup(docker, "image", "rm", "-f", cls.image, code=None)
        built = subprocess.run([ROOT / "scripts" / "image", "build", "--binary", LAKE, "--tag", cls.image],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if built.returncode != 0:
            raise AssertionError(f"the image is not built:\n{built.stdout}")
        cls.directory = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        # The user of the image has to get in.
        cls.directory.chmod(0o755)
        cls.start_minio()
        cls.publish()

    @classmethod
    def start_minio(cls) -> None:
        subprocess.run([ROOT / "scripts" / "minio", "image"], check=True)
        name = subprocess.run([ROOT / "scripts" / "minio", "name"], check=True, stdout=subprocess.PIPE, text=True)
        port = free_port()
        container = docker("run", "-d", "--network", "host", "-e", f"MINIO_ROOT_USER={USER}",
                           "-e", f"MINIO_ROOT_PASSWORD={PASSWORD}", name.stdout.strip(), "server", "/data",
                           "--address", f"127.0.0.1:{port}", "--console-address", f"127.0.0.1:{free_port()}")
        container = container.stdout.split()[-1]
        cls.addClassCleanup(docker, "rm", "-f", "-v", container)
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise AssertionError(f"MinIO does not come up: {docker('logs', container).stderr}") from None
                time.sleep(0.1)
        cls.bucket = S3FileSystem(access_key=USER, secret_key=PASSWORD, region="us-east-1", scheme="http",
                                  endpoint_override=f"127.0.0.1:{port}", allow_bucket_creation=True)
        cls.bucket.create_dir("lake")
        for sample in SAMPLES:
            with cls.bucket.open_output_stream(f"lake/raw/{sample.name}") as file:
                file.write(sample.read_bytes())
        cls.variables = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": USER, "AWS_SECRET_ACCESS_KEY": PASSWORD,
            "LAKE_REGISTRY": "s3://lake/registry", "LAKE_INPUT_READINGS": "s3://lake/raw/*.csv",
        }
        # In a container, the store is found by a name.
        cls.there = cls.variables | {
            "AWS_ENDPOINT_URL": f"http://store.test:{port}", "LAKE_TRUSTED_KEYS": "/etc/lake/trusted-keys.toml",
        }

    @classmethod
    def publish(cls) -> None:
        """A release in the bucket, and the pipeline file and its lock as the chart mounts them."""
        cls.pipelines = cls.directory / "pipelines"
        cls.pipelines.mkdir()
        written = (ROOT / "pipelines" / "utility.yaml").read_text()
        lines = [line for line in written.splitlines(keepends=True) if "path: ../crates" not in line]
        (cls.pipelines / "utility.yaml").write_text("".join(lines))
        (cls.pipelines / "wrong.yaml").write_text("".join(lines).replace("inputs:", "inptus:"))
        cls.keys = cls.directory / "trusted-keys.toml"
        cls.here("plugin", "key", "ci", "--trust", cls.keys)
        cls.here("plugin", "publish", ROOT / "crates" / "transforms" / "utility", "--key", cls.directory / "ci.pem",
                 "--trusted-keys", cls.keys)
        cls.here("plugin", "update", cls.pipelines / "utility.yaml", LAKE_TRUSTED_KEYS=str(cls.keys))
        assert (cls.pipelines / "lake.lock").exists()

    @classmethod
    def here(cls, *arguments: object, **variables: str) -> str:
        """What the lake of this machine says."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("LAKE_")}
        # Built transforms are kept where the other tests keep them.
        cache = {"LAKE_CACHE": str(ROOT / "target" / "lake-tests" / "cache")}
        ended = subprocess.run([LAKE, *map(str, arguments)], cwd=cls.directory, text=True,
                               env=clean | cache | cls.variables | variables,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if ended.returncode != 0:
            raise AssertionError(f"lake {arguments}: {ended.stdout}{ended.stderr}")
        return ended.stdout

    def lake(self, *arguments: str, root: str = "tables", code: int = 0, cache: str = "exec",
             keys: Path | None = None) -> subprocess.CompletedProcess:
        """lake in a container that may do as little as a pod of the chart."""
        variables = self.there | {"LAKE_ROOT": f"s3://lake/{root}"}
        return docker(
            "run", "--rm", "--network", "host", "--add-host", "store.test:127.0.0.1",
            "--read-only", "--user", "65532:65532", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
            "--tmpfs", "/tmp", "--tmpfs", f"/var/cache/lake:{cache}",
            "--volume", f"{self.pipelines}:/etc/lake/pipelines:ro",
            "--volume", f"{keys or self.keys}:/etc/lake/trusted-keys.toml:ro",
            *(f"--env={name}={value}" for name, value in variables.items()),
            self.image, *arguments, code=code)

    def test_a_released_transform_runs_and_its_tables_are_in_the_bucket(self) -> None:
        run = ("run", "/etc/lake/pipelines/utility.yaml", "--locked", "--log-format", "json", "--output", "json")
        ended = self.lake(*run)
        report = json.loads(ended.stdout)
        self.assertEqual((report["status"], report["run"]), ("done", 1), report)
        self.assertEqual(report["transform"]["version"], "1.0.0")

        sql = ("SELECT customer_id, usage_date, usage_kwh, readings FROM consumption.daily_usage "
               "ORDER BY customer_id, usage_date")
        query = ("query", "/etc/lake/pipelines/utility.yaml", sql, "--output", "csv")
        rows = list(csv.reader(io.StringIO(self.lake(*query).stdout)))[1:]
        expected = sorted((row.customer_id, str(row.usage_date), f"{row.usage_kwh:.3f}", str(row.readings))
                          for row in reference.expected(SAMPLES).daily_usage)
        self.assertEqual([tuple(row) for row in rows], expected)
        # Whoever reads the bucket without the image finds the same.
        here = self.here("query", self.pipelines / "utility.yaml", sql, "--output", "csv", LAKE_ROOT="s3://lake/tables")
        self.assertEqual(list(csv.reader(io.StringIO(here)))[1:], rows)

        self.assertEqual(json.loads(self.lake(*run).stdout)["status"], "nothing_to_do")

    def test_the_exit_code_and_the_reason_come_through(self) -> None:
        run = ("run", "/etc/lake/pipelines/utility.yaml", "--locked")
        with self.subTest("a pipeline file that is wrong"):
            ended = self.lake("run", "/etc/lake/pipelines/wrong.yaml", code=2)
            self.assertRegex(ended.stderr, r"wrong\.yaml:\d+:\d+.*inptus")
        with self.subTest("a limit that is exceeded"):
            ended = self.lake(*run, "--set", "limits.rejected=0", root="strict", code=3)
            self.assertIn("limits.rejected", ended.stderr)
        with self.subTest("a release that no trusted key has signed"):
            self.here("plugin", "key", "stranger", "--trust", self.directory / "others.toml")
            ended = self.lake(*run, root="unsigned", code=1, keys=self.directory / "others.toml")
            self.assertIn("not signed by a key that is trusted", ended.stderr)

    def test_a_release_is_not_loaded_from_a_cache_that_is_mounted_without_exec(self) -> None:
        # Docker mounts a tmpfs like that, unless it is told otherwise.
        run = ("run", "/etc/lake/pipelines/utility.yaml", "--locked")
        ended = self.lake(*run, root="noexec", cache="noexec", code=1)
        self.assertIn("/var/cache/lake", ended.stderr)
        self.assertIn("failed to map segment", ended.stderr)

    def test_the_only_program_is_lake(self) -> None:
        container = docker("create", self.image).stdout.split()[-1]
        self.addCleanup(docker, "rm", container)
        exported = subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE)
        listed = subprocess.run(["tar", "-tvf", "-"], check=True, text=True, stdin=exported.stdout, stdout=subprocess.PIPE)
        exported.stdout.close()
        self.assertEqual(exported.wait(), 0)
        # Mode, owner, size, date, time, name; what the engine puts in the way of its mounts is empty.
        files = [line.split(maxsplit=5) for line in listed.stdout.splitlines() if line.startswith("-")]
        programs = {name for mode, _, size, _, _, name in files if "x" in mode and size != "0"}
        libraries = {name for name in programs if re.search(r"/(lib[^/]+|ld-linux[^/]+)\.so\.[0-9]+$", name)}
        self.assertEqual(programs - libraries, {"usr/bin/lake"})
        names = {name for *_, name in files}
        self.assertLessEqual({BILL, "usr/share/doc/lake/LICENSE", "etc/ssl/certs/ca-certificates.crt"}, names)
        docker("run", "--rm", "--entrypoint", "/bin/sh", self.image, "-c", "true", code=127)

    def test_it_is_labelled_and_has_no_root(self) -> None:
        config = json.loads(docker("image", "inspect", "--format", "{{json .Config}}", self.image).stdout)
        self.assertEqual((config["User"], config["Entrypoint"]), ("65532:65532", ["/usr/bin/lake"]))
        self.assertFalse(config.get("Cmd"))
        prefix = "org.opencontainers.image."
        labels = config["Labels"]
        version = subprocess.run([LAKE, "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()[1]
        self.assertEqual(labels[prefix + "version"], version)
        self.assertEqual(labels[prefix + "licenses"], "Apache-2.0")
        self.assertEqual(labels["lake.sbom"], f"/{BILL}")
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        if head.returncode == 0:
            self.assertEqual(labels[prefix + "revision"].removesuffix("-changed"), head.stdout.strip())
        self.assertNotIn("@", labels[prefix + "source"].removeprefix("git@"), "a clone's address may hold a token")

    def test_its_bill_of_materials_is_that_of_lake_and_of_the_system_beside_it(self) -> None:
        container = docker("create", self.image).stdout.split()[-1]
        self.addCleanup(docker, "rm", container)
        docker("cp", f"{container}:/{BILL}", str(self.directory / "bill.json"))
        bill = json.loads((self.directory / "bill.json").read_text())
        of_lake = json.loads(subprocess.run([ROOT / "scripts" / "sbom"], check=True, stdout=subprocess.PIPE).stdout)
        beside = [part for part in bill["components"] if part.get("purl", "").startswith("pkg:deb/")]
        bill["components"] = [part for part in bill["components"] if part not in beside]
        self.assertEqual(bill, of_lake)
        if Path("/etc/debian_version").exists():
            self.assertLessEqual({"libc6", "ca-certificates"}, {part["name"] for part in beside})
            for part in beside:
                asked = ["dpkg-query", "-W", "-f", "${Version}", part["name"]]
                self.assertEqual(part["version"], subprocess.run(asked, stdout=subprocess.PIPE, text=True).stdout)

    def test_a_container_that_is_told_to_stop_does_so_at_once(self) -> None:
        with socket.socket() as silent:  # a store that takes connections and says nothing
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            variables = self.variables | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}"}
            container = docker("run", "-d", "--network", "host",
                               *(f"--env={name}={value}" for name, value in variables.items()),
                               self.image, "run", "s3://lake/utility.yaml").stdout.split()[-1]
            self.addCleanup(docker, "rm", "-f", container)
            silent.settimeout(30)
            silent.accept()[0].close()  # it is at work
            started = time.monotonic()
            docker("stop", "--time", "60", container)
            self.assertLess(time.monotonic() - started, 30)


if __name__ == "__main__":
    unittest.main()
