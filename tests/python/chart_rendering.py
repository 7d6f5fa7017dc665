"""Renders charts/lake as `helm template` does, for the tests of the chart."""

import functools
import shutil
import subprocess
import unittest
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "lake"
VALUES = Path(__file__).resolve().parent / "chart"

# Every helm takes another version for the cluster's where there is no cluster.
IN_KUBERNETES = ["--kube-version", "1.33.0"]


@functools.cache
def helm() -> str:
    """The path of a helm. Where there is none and none can be built, scripts/helm says what is missing, and the tests
    of the chart do not run."""
    ended = subprocess.run([ROOT / "scripts/helm"], stdout=subprocess.PIPE, text=True)
    if ended.returncode != 0 and shutil.which("go") is None:
        raise unittest.SkipTest("there is no helm, and no Go to build one: scripts/helm")
    ended.check_returncode()
    return ended.stdout.strip()


def helm_template(values: list, arguments: list[str], chart: Path = CHART) -> subprocess.CompletedProcess:
    files = [part for file in values for part in ("--values", str(VALUES / file))]
    command = [helm(), "template", "lake", str(chart), "--namespace", "lake", *IN_KUBERNETES, *files, *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def text(*values, arguments=(), chart: Path = CHART) -> str:
    """What helm renders of values files (names in `chart/`, or paths) and further arguments."""
    ended = helm_template(list(values), list(arguments), chart)
    if ended.returncode != 0:
        raise AssertionError(ended.stderr)
    return ended.stdout


def objects(*values, arguments=(), chart: Path = CHART) -> dict[tuple[str, str], dict]:
    """The same as objects, by kind and name."""
    rendered = [one for one in yaml.safe_load_all(text(*values, arguments=arguments, chart=chart)) if one]
    return {(one["kind"], one["metadata"]["name"]): one for one in rendered}


def job(rendered: dict, kind: str, name: str) -> dict:
    """The specification of the jobs of a CronJob, or of a Job."""
    spec = rendered[kind, name]["spec"]
    return spec["jobTemplate"]["spec"] if kind == "CronJob" else spec


def container(rendered: dict, kind: str, name: str) -> dict:
    (only,) = job(rendered, kind, name)["template"]["spec"]["containers"]
    return only
