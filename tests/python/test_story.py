"""From a commit to a CronJob, and back: the whole way of two releases, as docs/ci.md and docs/kubernetes.md tell it.

The jobs are those of GitLab (`test_gitlab_ci.py` runs them), what they deploy is rendered by the chart, its commands run
as pods would run them (`test_chart_commands.py`), registry, raw files and tables are in MinIO. After each step,
consumption is compared with what plain Python computes from the raw files.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
import unittest
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from unittest import mock

import duckdb
import yaml
from deltalake import DeltaTable

sys.path.insert(0, str(Path(__file__).parent))

import chart_rendering as chart
import test_chart_commands as cluster
import test_gitlab_ci as gitlab

DAYS = {
    "2026-11-01": [(1, "2", "7.50"), (2, "1", "24.90")],
    "2026-11-02": [(3, "6", "6.90"), (4, "3", "0.10")],
}

PIPELINE = """\
name: orders
transform: {name: orders, version: "1"}
inputs:
  orders: {path: "${LAKE_INPUT_ORDERS}", on_change: upsert}
schedule: "*/15 * * * *"
"""


def setUpModule() -> None:
    gitlab.setUpModule()


class FromACommitToACronJobAndBack(cluster.JobsDoTheirWorkInABucket):
    # Of the class above only the server and how to reach it.
    test_a_run_a_rollback_maintenance_and_the_next_run = None
    test_keys_that_are_wrong_end_with_exit_1_and_are_said_nowhere = None

    @classmethod
    def publish(cls, registry: str, variables: dict[str, str]) -> None:
        """Nothing is released but by the jobs."""

    def setUp(self) -> None:
        self.directory = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.inbox = self.directory / "inbox"
        self.inbox.mkdir()
        self.bucket = self.place | self.keys
        self.enterContext(mock.patch.dict(os.environ, self.bucket))
        self.team = gitlab.Repository(self.directory)
        self.team.registry = "s3://lake/story/registry"
        self.node = cluster.Node(self.directory, {"bucket": self.keys})

    def job(self, *names: str, **variables: str) -> str:
        return self.team.job(*names, **self.bucket | variables)

    def release(self, level: str) -> None:
        """The buttons of a release, and what the pipeline of its tag does."""
        team = self.team
        self.job(f"orders build: [{gitlab.HOST}]", f"orders release {level}")
        tag = team.tags()[-1]
        tagged = {"CI_COMMIT_TAG": tag, "CI_COMMIT_BRANCH": "", "LAKE_SIGNING_KEY": str(team.key)}
        self.job(f"orders build: [{gitlab.HOST}]", "orders publish", directory=team.clone("tagged", tag), **tagged)
        team.work = team.clone("work")

    def pin(self) -> str:
        """The newest release is pinned by a commit; its version."""
        settings = ["--set", "root=unused", "--set", "inputs.orders.path=unused"]
        self.team.run(gitlab.LAKE, "plugin", "update", "pipelines/orders.yaml", *settings)
        self.team.push("Pin the newest release")
        lock = (self.team.work / "pipelines" / "lake.lock").read_text()
        return next(line.split('"')[1] for line in lock.splitlines() if line.startswith('version = "'))

    def rendered(self, script: str, **variables: str) -> dict:
        """What the jobs of an environment bring to the cluster: `ci/deploy`, `ci/rollback`."""
        path = f"{Path(chart.helm()).parent}:{os.environ['PATH']}"
        jobs = {"DRY_RUN": "true", "NAMESPACE": "lake-production", "PIPELINE_DIR": "pipelines", "VALUES": "values.yaml",
                "LAKE_CHART": str(chart.CHART), "LAKE_TRUSTED_KEYS": str(self.team.trusted), "PATH": path}
        said = subprocess.run([chart.ROOT / "ci" / script], cwd=self.team.work, env=os.environ | jobs | variables,
                              check=True, stdout=subprocess.PIPE, text=True).stdout
        return {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(said) if one}

    def runs(self, rendered: dict, kind: str, name: str) -> dict:
        ended = self.node.run(rendered, kind, name)
        self.assertEqual(0, ended.returncode, ended.stderr)
        self.said = ended.stderr
        return json.loads(ended.stdout)

    def receive(self, day: str) -> None:
        lines = ["order_id,product,quantity,price,ordered_at,note"]
        lines += [f"{order},tray,{quantity},{price},{day}T08:00:00Z," for order, quantity, price in DAYS[day]]
        (self.inbox / f"{day}.csv").write_text("\n".join([*lines, ""]))

    def assert_sales(self, times: int, *days: str) -> None:
        """Consumption has these days, and everything so often."""
        expected = defaultdict(lambda: [0, 0, Decimal(0)])
        for day in days:
            with (self.inbox / f"{day}.csv").open() as file:
                for row in csv.DictReader(file):
                    sums = expected[row["ordered_at"][:10]]
                    sums[0] += 1
                    sums[1] += times * int(row["quantity"])
                    sums[2] += times * int(row["quantity"]) * Decimal(row["price"])
        sales = DeltaTable("s3://lake/story/tables/orders/consumption/daily_sales", storage_options=self.storage_options())
        sales = sales.to_pyarrow_table()
        found = duckdb.sql("SELECT day::VARCHAR, orders, quantity, revenue FROM sales").fetchall()
        self.assertEqual(sorted((day, *sums) for day, sums in expected.items()), sorted(found))

    def test_a_release_that_changes_rows_is_approved_deployed_and_brought_back(self) -> None:
        team = self.team
        team.edit("Cargo.toml", 'version = "0.1.0"', 'version = "1.0.0"')
        team.edit("Cargo.lock", 'name = "orders"\nversion = "0.1.0"', 'name = "orders"\nversion = "1.0.0"')
        team.edit("pipeline.yaml", 'version: "0.1"', 'version: "1"')
        (team.work / "pipelines").mkdir()
        (team.work / "pipelines" / "orders.yaml").write_text(PIPELINE)
        (team.work / "values.yaml").write_text(yaml.safe_dump({
            "image": {"repository": "registry.example.com/data/lake", "tag": "test"},
            "root": "s3://lake/story/tables", "registry": team.registry,
            "defaults": {"env": self.place, "secrets": ["bucket"]},
            "pipelines": {"orders": {"inputs": {"orders": f"{self.inbox}/*.csv"}}},
        }))
        team.push("Orders, and what the cluster has to know")

        # 1.0.0: tagged, published, pinned, deployed, run on schedule.
        self.job("orders diff")
        self.release("minor")
        self.assertEqual(team.tags(), ["orders-v1.0.0"])
        self.assertEqual(self.pin(), "1.0.0")
        self.receive("2026-11-01")
        first = self.runs(self.rendered("deploy"), "CronJob", "lake-orders")
        self.assertEqual((first["run"], first["transform"]["version"]), (1, "1.0.0"))
        self.assert_sales(1, "2026-11-01")

        # 1.1.0 makes other rows: the gate stops it, until somebody has approved.
        team.edit("src/daily_sales.sql", "sum(", "2 * sum(")
        team.run(gitlab.LAKE, "plugin", "test", ".", "--update")
        team.push("Everything counts twice")
        self.assertIn("makes other tables than 1.0.0", self.job("orders diff"))
        self.assertIn('press "orders approve rows"', team.refused("orders release minor", **self.bucket))
        self.assertEqual(team.tags(), ["orders-v1.0.0"])
        self.job("orders approve rows")
        self.release("minor")
        self.assertEqual(team.tags(), ["orders-v1.0.0", "orders-v1.1.0"])
        former = self.rendered("deploy")
        self.assertEqual(self.pin(), "1.1.0")

        # Until it is deployed, what is deployed goes on with 1.0.0.
        deployed = self.rendered("deploy")
        for rendered, version in ((former, "1.0.0"), (deployed, "1.1.0")):
            [config] = [one for (kind, _), one in rendered.items() if kind == "ConfigMap" and "lake.lock" in str(one)]
            self.assertIn(f'version = "{version}"', str(config))
        self.receive("2026-11-02")
        second = self.runs(deployed, "CronJob", "lake-orders")
        self.assertEqual((second["run"], second["transform"]["version"]), (2, "1.1.0"))
        self.assert_sales(2, "2026-11-01", "2026-11-02")

        # The bad day is undone by the Job that the rollback button brings.
        back = self.rendered("rollback", PIPELINE="orders", RUN="1")
        rolled = self.runs(back, "Job", "lake-orders-rollback-1")
        self.assertEqual([Path(file["path"]).name for file in rolled["pending"]], ["2026-11-02.csv"])
        self.assertEqual([release["version"] for release in rolled["blocked"]], ["1.1.0"])
        self.assert_sales(1, "2026-11-01")

        # What is on schedule is the same as before: the pin is blocked, and 1.0.0 is used, which is said.
        again = self.runs(deployed, "CronJob", "lake-orders")
        self.assertEqual((again["run"], again["transform"]["version"]), (4, "1.0.0"))
        self.assertIn("1.1.0", self.said)
        self.assert_sales(1, "2026-11-01", "2026-11-02")


if __name__ == "__main__":
    unittest.main()
