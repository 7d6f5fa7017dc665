"""The jobs of the GitLab pipeline do what docs/ci.md says of them.

They run here, by gitlab-ci-local: with its shell, in a small repository with one transform, whose server is a bare
repository and whose registry is a directory. gitlab-ci-local has GitLab's schema of pipelines, and holds every file
against it.
"""

import json
import os
import shutil
import subprocess
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
LAKE = ROOT / "target" / "debug" / "lake"

IDENTITY = "[user]\nname = A Team\nemail = team@example.com\n[init]\ndefaultBranch = main\n[advice]\ndetachedHead = false\n"

# Where the crates of the tests are built: what they depend on is compiled once for all.
SHARED = ROOT / "target" / "lake-tests" / "target"

TOOLS = ""
HOST = ""


def setUpModule() -> None:
    global TOOLS, HOST
    TOOLS = subprocess.run([ROOT / "scripts" / "ci-tools"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    said = subprocess.run(["rustc", "-vV"], check=True, stdout=subprocess.PIPE, text=True).stdout
    HOST = next(line.removeprefix("host: ") for line in said.splitlines() if line.startswith("host: "))


def environment(**more: str) -> dict[str, str]:
    """What programs get: nothing of the GitLab job that may run these tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CI", "GITLAB_", "LAKE_", "GIT_"))}
    # As the crates of the other tests are built.
    built = {"CARGO_PROFILE_DEV_DEBUG": "0", "CARGO_INCREMENTAL": "0"}
    return kept | built | {"PATH": f"{TOOLS}:{os.environ['PATH']}", "GIT_CONFIG_NOSYSTEM": "1"} | more


def gitlab(directory: Path, *arguments: str, code: int | None = 0, **variables: str) -> str:
    """What gitlab-ci-local says; variables are those of the project, and of whoever starts a job."""
    command = ["gitlab-ci-local", "--shell-isolation", "--force-shell-executor", "--no-color", "--no-artifacts-to-source"]
    predefined = ",".join(name for name in variables if name.startswith(("CI_", "GITLAB_")))
    if predefined:
        command += ["--ignore-predefined-vars", predefined]
    for name, value in variables.items():
        command += ["--variable", f"{name}={value}"]
    more = {"GIT_CONFIG_GLOBAL": str(directory.parent / "gitconfig")} if (directory.parent / "gitconfig").exists() else {}
    ended = subprocess.run([*command, *arguments], cwd=directory, env=environment(**more), text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if code is not None and ended.returncode != code:
        raise AssertionError(f"{' '.join(arguments)} ended with {ended.returncode}, not {code}:\n{ended.stdout}")
    return ended.stdout


def jobs(directory: Path, **variables: str) -> dict[str, str]:
    """The jobs of a pipeline that are not left out, and when they run."""
    said = gitlab(directory, "--list-csv", **variables)
    rows = [line.split(";") for line in said.splitlines() if line.count(";") >= 5]
    name, when = rows[0].index("name"), rows[0].index("when")
    return {row[name]: row[when] for row in rows[1:]}


class Repository:
    """A repository of a team, with all that its jobs need: a server, a registry, a key.

    What is not as with GitLab: no runner, no image, no network, and `build` has no optimisation.
    """

    PIPELINE = """\
include:
  - local: /ci/transform.gitlab-ci.yml
    inputs:
      name: orders
      targets: [HOST]
  - local: /ci/deploy.gitlab-ci.yml
    inputs:
      environment: production
      tier: production
      namespace: lake-production
      pipelines: pipelines
      values: values.yaml
"""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.server, self.registry = directory / "server.git", directory / "registry"
        self.key, self.trusted = directory / "team.pem", directory / "trusted-keys.toml"
        (directory / "gitconfig").write_text(IDENTITY)
        self.run("git", "init", "--quiet", "--bare", str(self.server), cwd=directory)
        self.run(LAKE, "plugin", "key", "team", "--trust", str(self.trusted), cwd=directory)
        first = directory / "first"
        self.run(LAKE, "plugin", "new", "orders", "--path", str(first), cwd=directory)
        self.crate(first)
        for command in (["init"], ["remote", "add", "origin", str(self.server)], ["add", "--all"],
                        ["commit", "--message", "Begin"], ["push", "--set-upstream", "origin", "main"]):
            self.run("git", *command, cwd=first)
        self.work = self.clone("work")

    def crate(self, directory: Path) -> None:
        """The new crate, with the SDK of this checkout, which is built already, and the templates."""
        shutil.rmtree(directory / "lake-plugin")
        manifest = directory / "Cargo.toml"
        sdk = json.dumps(str(ROOT / "crates" / "lake-plugin"))
        manifest.write_text(manifest.read_text().replace('path = "lake-plugin"', f"path = {sdk}"))
        # The versions that the workspace uses, which have been downloaded for it.
        shutil.copy(ROOT / "Cargo.lock", directory)
        self.run("cargo", "metadata", "--offline", "--filter-platform", HOST, "--format-version", "1", cwd=directory)
        shutil.copytree(ROOT / "ci", directory / "ci")
        (directory / ".gitlab-ci.yml").write_text(self.PIPELINE.replace("HOST", HOST))
        with (directory / ".gitignore").open("a") as ignored:
            print(".gitlab-ci-local/", file=ignored)

    def clone(self, name: str, tag: str | None = None) -> Path:
        """A fresh checkout, as every job gets one."""
        shutil.rmtree(self.directory / name, ignore_errors=True)
        branch = ["--branch", tag] if tag else []
        self.run("git", "clone", "--quiet", *branch, str(self.server), name, cwd=self.directory)
        return self.directory / name

    def run(self, *command: object, cwd: Path | None = None, code: int = 0) -> str:
        variables = {"LAKE_REGISTRY": str(self.registry), "LAKE_TRUSTED_KEYS": str(self.trusted),
                     "CARGO_TARGET_DIR": str(SHARED), "GIT_CONFIG_GLOBAL": str(self.directory / "gitconfig")}
        ended = subprocess.run([str(word) for word in command], cwd=cwd or self.work, env=environment(**variables),
                               text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if ended.returncode != code:
            raise AssertionError(f"{command} ended with {ended.returncode}, not {code}:\n{ended.stdout}")
        return ended.stdout

    def variables(self) -> dict[str, str]:
        """Those of the project."""
        return {
            "LAKE": str(LAKE), "LAKE_CI": str(ROOT / "ci"), "LAKE_PROFILE": "dev",
            "CARGO_HOME": os.environ.get("CARGO_HOME", str(Path.home() / ".cargo")), "CARGO_TARGET_DIR": str(SHARED),
            "LAKE_REGISTRY": str(self.registry), "LAKE_TRUSTED_KEYS": str(self.trusted),
            "LAKE_PUSH_URL": str(self.server), "CI_PIPELINE_URL": "https://gitlab.example.com/team/orders/-/pipelines/7",
            "GITLAB_USER_LOGIN": "ada", "GITLAB_USER_NAME": "Ada Byron", "GITLAB_USER_EMAIL": "ada@example.com",
        }

    def job(self, *names: str, code: int | None = 0, directory: Path | None = None, **variables: str) -> str:
        return gitlab(directory or self.work, *names, code=code, **self.variables() | variables)

    def refused(self, name: str, directory: Path | None = None, **variables: str) -> str:
        """What a button says that fails. The pipeline goes on, so that it is a warning; a release is none all the same."""
        said = self.job(name, directory=directory, **variables)
        assert f"WARN  {name}" in said and f"PASS  {name}" not in said, said
        # As one line, whatever the width.
        return " ".join(said.replace(f"{name} >", "").split())

    def artifact(self, job: str, name: str, directory: Path | None = None) -> str:
        # gitlab-ci-local writes a space in a name as IA.
        kept = (directory or self.work) / ".gitlab-ci-local" / "artifacts" / job.replace(" ", "IA")
        return (kept / "target" / "ci" / "orders" / name).read_text()

    def edit(self, file: str, before: str, after: str) -> None:
        path = self.work / file
        text = path.read_text()
        assert before in text, f"{file} has no {before}"
        path.write_text(text.replace(before, after))

    def push(self, message: str) -> str:
        """Commits what is changed, and says which commit that is."""
        for command in (["add", "--all"], ["commit", "--quiet", "--message", message], ["push", "--quiet"]):
            self.run("git", *command)
        return self.run("git", "rev-parse", "HEAD").strip()

    def tags(self) -> list[str]:
        return self.run("git", "--git-dir", self.server, "tag", "--list", "--sort", "version:refname").split()

    def published(self) -> list[str]:
        said = self.run(LAKE, "plugin", "list", "orders", "--output", "json")
        return [release["version"] for release in json.loads(said)["releases"] if not release["yanked"]]


class Files(unittest.TestCase):
    """That they are what GitLab takes is said by its schema, each time that jobs are listed."""

    def setUp(self) -> None:
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        origin, self.copy = Path(place.name) / "origin", Path(place.name) / "lake"
        origin.mkdir()
        shutil.copytree(ROOT / "ci", origin / "ci")
        shutil.copy(ROOT / ".gitlab-ci.yml", origin)
        (origin.parent / "gitconfig").write_text(IDENTITY)
        for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "All"],
                        ["clone", "--quiet", str(origin), str(self.copy)]):
            self.git(*command, directory=origin)

    def git(self, *arguments: str, directory: Path | None = None) -> None:
        variables = environment(GIT_CONFIG_GLOBAL=str(self.copy.parent / "gitconfig"))
        subprocess.run(["git", *arguments], cwd=directory or self.copy, env=variables, check=True)

    def when(self, **variables: str) -> dict[str, list[str]]:
        """The jobs of lake's own pipeline: those that run by themselves, and those that somebody presses."""
        found = jobs(self.copy, CI_DEFAULT_BRANCH="main", **variables)
        ways = {way: sorted(job for job, when in found.items() if when == way) for way in ("on_success", "manual")}
        self.assertEqual(len(found), sum(len(of_way) for of_way in ways.values()), found)
        return ways

    CHECKS = ["clippy", "containers", "deny", "fmt", "pre-commit", "tests", "unit"]
    BUILDS = ["binary", "utility build: [x86_64-unknown-linux-gnu]"]
    BUTTONS = ["utility approve rows", "utility release major", "utility release minor", "utility release patch"]
    BACK = ["rollback production", "rollback staging", "utility yank"]

    def test_a_merge_request_is_checked_and_built_and_compared_where_it_changes_the_transform(self) -> None:
        merge_request = {"CI_PIPELINE_SOURCE": "merge_request_event", "CI_COMMIT_BRANCH": ""}
        self.git("switch", "--quiet", "--create", "change")
        for file, compared in (("docs/ci.md", []), ("crates/transforms/utility/src/lib.rs", ["utility diff"])):
            (self.copy / file).parent.mkdir(parents=True)
            (self.copy / file).write_text("\n")
            self.git("add", "--all")
            self.git("commit", "--quiet", "--message", "Change")
            ways = self.when(**merge_request)
            self.assertEqual(ways, {"on_success": sorted([*self.CHECKS, *self.BUILDS, *compared]), "manual": []})

    def test_the_default_branch_has_the_buttons_and_deploys_to_staging_where_there_is_a_cluster(self) -> None:
        runs = [*self.CHECKS, *self.BUILDS, "images", "utility diff"]
        ways = self.when(CI_COMMIT_BRANCH="main")
        self.assertEqual(ways["on_success"], sorted(runs))
        self.assertEqual(ways["manual"], sorted([*self.BUTTONS, *self.BACK]))
        ways = self.when(CI_COMMIT_BRANCH="main", KUBE_CONTEXT="data/lake:agent")
        self.assertEqual(ways["on_success"], sorted([*runs, "deploy staging"]))
        self.assertEqual(ways["manual"], sorted([*self.BUTTONS, *self.BACK, "deploy production"]))

    def test_the_tag_of_a_transform_publishes_it_and_does_nothing_else(self) -> None:
        ways = self.when(CI_COMMIT_TAG="utility-v1.4.0", CI_COMMIT_BRANCH="")
        self.assertEqual(ways["on_success"], sorted([*self.BUILDS, "utility notes", "utility publish"]))
        self.assertEqual(ways["manual"], [])

    def test_the_tag_of_lake_is_checked_and_gets_images_and_notes(self) -> None:
        ways = self.when(CI_COMMIT_TAG="v0.2.0", CI_COMMIT_BRANCH="")
        self.assertEqual(ways["on_success"], sorted([*self.CHECKS, "binary", "images", "notes", "release"]))
        self.assertEqual(ways["manual"], [])

    def test_a_pipeline_that_an_alert_triggers_rolls_back_there_and_does_nothing_else(self) -> None:
        back = {"CI_PIPELINE_SOURCE": "trigger", "CI_COMMIT_BRANCH": "main", "KUBE_CONTEXT": "data/lake:agent"}
        ways = self.when(PIPELINE="utility", RUN="41", ROLLBACK_ON="staging", **back)
        self.assertEqual(ways, {"on_success": ["rollback staging"], "manual": []})
        ways = self.when(YANK="utility@1.3.0", **back)
        self.assertEqual(ways, {"on_success": ["utility yank"], "manual": []})

    def test_a_keyword_that_gitlab_does_not_know_is_found(self) -> None:
        file = self.copy / "ci" / "transform.gitlab-ci.yml"
        file.write_text(file.read_text().replace("resource_group:", "resource_grup:"))
        self.assertIn("resource_grup", gitlab(self.copy, "--list", code=1))

    def test_what_is_pushed_or_run_in_a_cluster_is_never_cancelled_and_never_twice_at_once(self) -> None:
        said = gitlab(self.copy, "--preview")
        # Every one of them has both keywords in the expanded pipeline.
        for job in (*self.BUTTONS[1:], "utility publish", "deploy staging", "deploy production", *self.BACK):
            with self.subTest(job):
                text = said.split(f"\n{job}:\n", 1)[1]
                own = text[: next((at for at in range(1, len(text)) if text[at - 1] == "\n" and text[at] != " "), len(text))]
                self.assertIn("  interruptible: false\n", own)
                self.assertIn("  resource_group: ", own)


class Transform(unittest.TestCase):
    """From a change to a release, in a repository of a team that includes the template."""

    def setUp(self) -> None:
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.team = Repository(Path(place.name))

    def test_the_checks_pass_for_a_new_transform_and_each_finds_its_fault(self) -> None:
        team = self.team
        self.assertIn("2 golden cases, as expected", team.job("orders fmt", "orders clippy", "orders test"))
        team.edit("src/product.rs", "\n\n", "\n\n\n\n")
        self.assertIn("Diff in", team.job("orders fmt", code=1))
        team.run("git", "checkout", ".")
        team.edit("src/lib.rs", "pub fn transform() -> Transform {", "pub fn transform() -> Transform {\n    let _ = 1.clone();")
        self.assertIn("clone_on_copy", team.job("orders clippy", code=1))
        team.run("git", "checkout", ".")
        team.edit("src/daily_sales.sql", "sum(", "max(")
        self.assertIn("golden", team.job("orders test", code=1))
        team.run("git", "checkout", ".")
        team.edit("pipeline.yaml", "inputs:", "imputs:")
        self.assertIn("imputs", team.job("orders test", code=1))

    def publish(self, tag: str) -> str:
        """What the tag's pipeline does, in a checkout of it."""
        team = self.team
        checkout = team.clone("tagged", tag)
        variables = {"CI_COMMIT_TAG": tag, "CI_COMMIT_BRANCH": "", "LAKE_SIGNING_KEY": str(team.key)}
        return team.job(f"orders build: [{HOST}]", "orders publish", directory=checkout, **variables)

    def test_a_change_of_rows_is_released_only_after_somebody_has_approved_of_it(self) -> None:
        team = self.team

        # The first release needs nothing but a comparison, which says that there is nothing to compare.
        self.assertIn("it was not compared with its last release", team.refused("orders release minor"))
        self.assertIn("no release yet", team.job("orders diff"))
        team.job("orders release minor")
        self.assertEqual(team.tags(), ["orders-v0.1.0"])

        # The tag's pipeline publishes: only with the key, and only the version of the tag.
        checkout = team.clone("tagged", "orders-v0.1.0")
        tagged = {"CI_COMMIT_TAG": "orders-v0.1.0", "CI_COMMIT_BRANCH": "", "directory": checkout}
        self.assertIn("protected variable of type File", team.job("orders publish", code=1, **tagged))
        wrong = tagged | {"CI_COMMIT_TAG": "orders-v0.2.0"}
        self.assertIn("is not that of orders 0.1.0", team.job("orders publish", code=1, **wrong))
        self.assertEqual(team.published(), [])
        self.assertIn("orders 0.1.0 is published", self.publish("orders-v0.1.0"))
        self.assertEqual(team.published(), ["0.1.0"])
        self.assertIn("The first release.", team.artifact("orders publish", "notes.md", checkout))
        # A job that is tried again changes nothing.
        self.assertIn("is there already", self.publish("orders-v0.1.0"))

        # A change that changes no rows needs nobody's approval.
        team.work = team.clone("work")
        team.edit("src/product.rs", "//! ", "//! Here: ")
        team.push("Say where")
        self.assertIn("the same tables as 0.1.0", team.job("orders diff"))
        self.assertIn("no approval is needed", team.job("orders approve rows"))
        team.job(f"orders build: [{HOST}]", "orders release patch")
        self.assertEqual(team.tags(), ["orders-v0.1.0", "orders-v0.1.1"])
        self.publish("orders-v0.1.1")

        # One that does stops, and says which button to press.
        team.work = team.clone("work")
        team.edit("src/daily_sales.sql", "sum(", "2 * sum(")
        team.run(LAKE, "plugin", "test", ".", "--update")
        commit = team.push("Sales count twice")
        said = team.job("orders diff")
        self.assertIn("makes other tables than 0.1.1", said)
        self.assertIn("WARN  orders diff", said)
        self.assertIn("revenue", team.artifact("orders diff", "diff.txt"))
        said = team.refused("orders release minor")
        self.assertIn('press "orders approve rows" in stage diff of this pipeline', said)
        self.assertEqual(team.tags(), ["orders-v0.1.0", "orders-v0.1.1"])

        # Somebody does; who, and for which commit, is kept.
        team.job("orders approve rows", GITLAB_USER_LOGIN="grace")
        approval = team.artifact("orders approve rows", "approval")
        self.assertIn(f"commit={commit}\n", approval)
        self.assertIn("against=0.1.1\n", approval)
        self.assertIn("by=@grace (", approval)
        self.assertIn("approved by @grace", team.job(f"orders build: [{HOST}]", "orders release minor"))
        self.assertEqual(team.tags()[-1], "orders-v0.1.2")
        self.assertIn("orders 0.1.2 is published", self.publish("orders-v0.1.2"))
        changed = team.run("git", "--git-dir", team.server, "log", "-1", "--format=%an %ae", "main").strip()
        self.assertEqual(changed, "Ada Byron ada@example.com")

        # The approval is for that commit: the next one asks again. And a comparison with a release that is no longer
        # the last one is none.
        team.work = team.clone("again")
        shutil.copytree(self.team.directory / "work" / ".gitlab-ci-local", team.work / ".gitlab-ci-local")
        self.assertIn("the comparison is of commit", team.refused("orders release minor"))
        team.edit("src/daily_sales.sql", "2 * sum(", "3 * sum(")
        team.run(LAKE, "plugin", "test", ".", "--update")
        team.push("Sales count three times")
        team.job("orders diff")
        team.job("orders approve rows")
        self.assertIn("orders 0.1.2 is yanked", team.job("orders yank", YANK="orders@0.1.2", REASON="counts twice"))
        self.assertEqual(team.published(), ["0.1.0", "0.1.1"])
        self.assertIn("and 0.1.1 is published now", team.refused("orders release minor"))
        self.assertEqual(team.tags()[-1], "orders-v0.1.2")

    def test_of_two_pipelines_that_release_at_once_one_makes_the_tag(self) -> None:
        team = self.team
        copies = [team.clone(name) for name in ("one", "other")]
        for copy in copies:
            team.job("orders diff", directory=copy)
        with ThreadPoolExecutor() as pool:
            said = list(pool.map(lambda copy: team.job("orders release minor", code=None, directory=copy), copies))
        self.assertEqual(team.tags(), ["orders-v0.1.0"], said)
        self.assertEqual(sum("PASS  orders release minor" in one for one in said), 1, said)


class Environments(unittest.TestCase):
    def setUp(self) -> None:
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.team = Repository(Path(place.name))

    def loaded(self, root: Path) -> list[str]:
        said = self.team.run(LAKE, "query", "pipelines/orders.yaml", "SELECT order_id FROM standard.orders ORDER BY 1",
                             "--root", root, "--output", "csv")
        return said.split()[1:]

    def deployable(self) -> None:
        """A pipeline with what is pinned for it, and values, as a team has them."""
        work = self.team.work
        (work / "pipelines").mkdir()
        (work / "pipelines" / "orders.yaml").write_text("name: orders\ntransform: { name: orders, version: '0.1' }\n")
        (work / "pipelines" / "lake.lock").write_text("# Pins.\n")
        (work / "values.yaml").write_text("image:\n  repository: registry.example.com/data/lake\n")
        self.team.push("A pipeline")

    def recorder(self) -> tuple[Path, dict[str, str]]:
        """In the place of helm, which would need a cluster: it writes down what it is told."""
        told = self.team.directory / "told"
        helm = self.team.directory / "bin" / "helm"
        helm.parent.mkdir()
        helm.write_text(f'#!/bin/sh\necho "$@" >>{told}\ncase "$*" in *--wait-for-jobs*) [ ! -e {told}.fails ] ;; esac\n')
        helm.chmod(0o755)
        return told, {"PATH": f"{helm.parent}:{environment()['PATH']}", "KUBE_CONTEXT": "team/orders:agent"}

    def test_a_deployment_brings_pipelines_pins_and_the_image_by_its_digest(self) -> None:
        self.deployable()
        told, cluster = self.recorder()
        self.team.job("deploy production", LAKE_CHART="charts/lake", LAKE_IMAGE_DIGEST="sha256:abc", **cluster)
        [said] = told.read_text().splitlines()
        words = said.split()
        self.assertEqual(words[:3], ["upgrade", "lake", "charts/lake"])
        self.assertIn("--install", words)
        pairs = dict(zip(words, words[1:]))
        self.assertEqual(pairs["--namespace"], "lake-production")
        self.assertEqual(pairs["--kube-context"], "team/orders:agent")
        self.assertEqual(pairs["--values"], "values.yaml")
        for word in ("pipelines.orders.file=pipelines/orders.yaml", "lock=pipelines/lake.lock", "image.digest=sha256:abc",
                     f"trustedKeys.text={self.team.trusted}"):
            self.assertIn(word, words)

    def test_nothing_is_deployed_without_pins_or_values(self) -> None:
        self.deployable()
        told, cluster = self.recorder()
        for file, words in (("pipelines/lake.lock", "has no lake.lock"), ("values.yaml", "there is no values.yaml")):
            self.team.run("git", "rm", "--quiet", file)
            self.team.push("Gone")
            self.assertIn(words, self.team.refused("deploy production", **cluster))
        self.assertFalse(told.exists())

    def test_a_rollback_in_the_cluster_leaves_everything_else_as_it_is_deployed_and_waits(self) -> None:
        self.deployable()
        told, cluster = self.recorder()
        asked = {"PIPELINE": "orders", "RUN": "41", "LAKE_CHART": "charts/lake", **cluster}
        self.team.job("rollback production", **asked | {"ROLLBACK_ON": "production"})
        # A Job of an earlier rollback goes first: it would not run again.
        first, said = told.read_text().splitlines()
        self.assertIn("--reset-then-reuse-values --set rollback.pipeline=,", first)
        words = said.split()
        self.assertEqual(words[:3], ["upgrade", "lake", "charts/lake"])
        for word in ("--reset-then-reuse-values", "--wait-for-jobs", "rollback.pipeline=orders", "rollback.version=41"):
            self.assertIn(word, words)
        self.assertNotIn("--set-file", words)
        Path(f"{told}.fails").touch()
        said = self.team.job("rollback production", code=1, **asked | {"ROLLBACK_ON": "production"})
        self.assertIn("The Job has not done it", said)

    @unittest.skipUnless((ROOT / "charts" / "lake").is_dir(), "charts/lake is not here: nothing is rendered")
    def test_the_chart_renders_what_is_deployed_and_the_job_that_rolls_back(self) -> None:
        chart = ROOT / "charts" / "lake"
        self.deployable()
        shutil.copy(ROOT / "deploy" / "pipelines" / "utility.yaml", self.team.work / "pipelines")
        (self.team.work / "pipelines" / "lake.lock").write_text('# Pins.\nname = "utility"\n')
        self.team.run("git", "rm", "--quiet", "pipelines/orders.yaml")
        digest = "sha256:" + 64 * "a"
        helm = subprocess.run([ROOT / "scripts" / "helm"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        path = f"{Path(helm).parent}:{environment()['PATH']}"
        dry = {"DRY_RUN": "true", "LAKE_CHART": str(chart), "LAKE_IMAGE_DIGEST": digest, "PATH": path, "KUBE_CONTEXT": "none"}
        for values in ("staging", "production"):
            # As this repository deploys its own pipeline.
            shutil.copy(ROOT / "deploy" / f"{values}.yaml", self.team.work / "values.yaml")
            self.team.push("Values")
            said = self.team.job("deploy production", **dry)
            self.assertIn("kind: CronJob", said)
            self.assertIn(f"registry.example.com/data/lake@{digest}", said)
            self.assertIn("# Pins.", said)
            self.assertNotIn("kind: Job", said)
            said = self.team.job("rollback production",
                                 **dry | {"PIPELINE": "utility", "RUN": "41", "ROLLBACK_ON": "production"})
            self.assertIn("kind: Job", said)
            self.assertIn("utility-rollback-41", said)

    def test_an_alert_brings_back_what_an_earlier_run_has_left(self) -> None:
        team = self.team
        (team.work / "pipelines").mkdir()
        text = (team.work / "pipeline.yaml").read_text()
        text = text.replace("path: .\n", "path: ..\n").replace("path: data/", "path: ../data/")
        (team.work / "pipelines" / "orders.yaml").write_text(text)
        team.push("A pipeline")
        root = team.directory / "lake"
        team.run(LAKE, "run", "pipelines/orders.yaml", "--root", root)
        before = self.loaded(root)
        (team.work / "data" / "bad.csv").write_text(
            "order_id,product,quantity,price,ordered_at,note\n999,tray,2,18.00,2025-06-01T09:15:00Z,\n")
        team.run(LAKE, "run", "pipelines/orders.yaml", "--root", root)
        self.assertNotEqual(self.loaded(root), before)

        trigger = {"CI_PIPELINE_SOURCE": "trigger", "CI_COMMIT_BRANCH": "main", "ROLLBACK_ON": "production",
                   "ROLLBACK_WITH": "lake", "LAKE_ROOT": str(root)}
        for wrong, words in (("orders,image.tag=x", "is no name of a pipeline"), ("meters", "there is no pipelines/meters")):
            said = team.job(code=1, **trigger | {"PIPELINE": wrong, "RUN": "1"})
            self.assertIn(words, said)
        self.assertIn("is no number of a run", team.job(code=1, **trigger | {"PIPELINE": "orders", "RUN": "-1"}))
        self.assertIn("with the variables PIPELINE", team.refused("rollback production"))
        self.assertNotEqual(self.loaded(root), before)

        # The whole pipeline of the trigger is this one job.
        said = team.job(**trigger | {"PIPELINE": "orders", "RUN": "1"})
        self.assertIn("PASS  rollback production", said)
        self.assertNotIn("PASS  orders", said)
        self.assertEqual(self.loaded(root), before)


class Hooks(unittest.TestCase):
    """pre-commit finds a planted fault of each kind."""

    def setUp(self) -> None:
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.directory = Path(place.name)
        for name in ("scripts", "pipelines", "src"):
            (self.directory / name).mkdir()
        shutil.copy(ROOT / ".pre-commit-config.yaml", self.directory)
        shutil.copy(ROOT / "scripts" / "check-files", self.directory / "scripts")
        self.write("Cargo.toml", '[package]\nname = "sample"\nversion = "1.0.0"\nedition = "2024"\n')
        self.write("src/lib.rs", "//! Nothing.\n")
        self.write("notes.md", "# Notes\n")
        self.write("values.yaml", "first: 1\n")
        self.git("init", "--quiet")
        self.git("add", "--all")

    def write(self, file: str, text: str) -> None:
        (self.directory / file).write_text(text)

    def git(self, *arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=self.directory, env=environment(), check=True, stdout=subprocess.DEVNULL)

    def found(self) -> tuple[int, str]:
        self.git("add", "--all")
        variables = environment(LAKE=str(LAKE), PRE_COMMIT_HOME=str(self.directory / ".git" / "pre-commit"))
        ended = subprocess.run(["pre-commit", "run", "--all-files", "--color", "never"], cwd=self.directory, env=variables,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return ended.returncode, ended.stdout

    def test_what_is_right_passes(self) -> None:
        code, said = self.found()
        self.assertEqual(code, 0, said)

    def test_each_hook_finds_its_fault(self) -> None:
        for file, wrong, words in (
            ("src/lib.rs", "//! Nothing.\nfn  wide() {}\n", "format of Rust"),
            ("values.yaml", "first: [1\n", "values.yaml is no YAML"),
            ("notes.md", "# Notes \n", "notes.md had white space at the end of lines, and is mended"),
            ("notes.md", "# Notes", "notes.md did not end with one line feed, and is mended"),
            ("pipelines/orders.yaml", "name: orders\ninput: {}\n", "input"),
        ):
            with self.subTest(words):
                path = self.directory / file
                right = path.read_bytes() if path.exists() else None
                self.write(file, wrong)
                code, said = self.found()
                self.assertEqual(code, 1, said)
                self.assertIn(words, said)
                self.assertEqual(said.count("Failed"), 1, said)
                if "is mended" in words:
                    self.assertEqual(path.read_bytes(), right)
                path.unlink() if right is None else path.write_bytes(right)


if __name__ == "__main__":
    unittest.main()
