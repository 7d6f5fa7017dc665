"""What docs/observing.md says is so: its queries run, its metrics are those that lake writes, and the
dashboard asks for nothing else."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from itertools import product
from pathlib import Path

import promql_parser

sys.path.insert(0, str(Path(__file__).parent))

from check_tables import duckdb_with_delta

ROOT = Path(__file__).parents[2]
LAKE = ROOT / "target" / "debug" / "lake"
PIPELINE = ROOT / "pipelines" / "utility.yaml"
PAGE = ROOT / "docs" / "observing.md"
DASHBOARD = ROOT / "docs" / "dashboards" / "lake.json"
SAMPLES = sorted((ROOT / "data" / "utility").glob("*.csv"))

# Only where there are table checks, or object stores: not on the sample job in a directory.
ELSEWHERE = {"lake_run_check_failed", "lake_run_requests"}


def blocks(language: str) -> list[str]:
    """The blocks of the page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def documented() -> dict[str, set[str]]:
    """The metrics of the page, and the labels of each beside the pipeline."""
    rows = re.findall(r"^\| `(lake_\w+)` \|([^|]*)\|", PAGE.read_text(), re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", labels)) | {"pipeline"} for name, labels in rows}


class Queries(unittest.TestCase):
    """On the sample job, loaded by two runs."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.directory = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.metrics = cls.directory / "lake.prom"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("LAKE_")}
        cls.environment = clean | {
            "LAKE_ROOT": str(cls.directory / "lake"),
            "LAKE_INPUT_READINGS": str(cls.directory / "*.csv"),
            # Built transforms are kept where the other tests keep them.
            "LAKE_CACHE": str(ROOT / "target" / "lake-tests" / "cache"),
        }
        for samples in SAMPLES[:2], SAMPLES[2:]:
            for sample in samples:
                shutil.copy(sample, cls.directory)
            cls.lake("run", PIPELINE)

    @classmethod
    def lake(cls, *arguments: object) -> str:
        ended = subprocess.run([LAKE, *map(str, arguments)], env=cls.environment, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
        if ended.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, arguments))}\n{ended.stderr}")
        return ended.stdout

    def test_every_query_of_the_page_has_an_answer(self) -> None:
        queries = blocks("sql")
        self.assertGreater(len(queries), 10)
        for sql in queries:
            with self.subTest(sql):
                rows = json.loads(self.lake("query", PIPELINE, sql, "--output", "json"))
                if "-- nothing, where" in sql:
                    self.assertEqual(rows, [], "the sample job is well")
                else:
                    self.assertGreater(len(rows), 0)

    def test_the_figures_of_the_page_are_those_of_the_runs(self) -> None:
        rejections = next(sql for sql in blocks("sql") if "AS rejected" in sql)
        rows = json.loads(self.lake("query", PIPELINE, rejections, "--output", "json"))
        count = "SELECT run, count(*) AS rejected FROM rejection.readings GROUP BY run ORDER BY run DESC"
        counted = json.loads(self.lake("query", PIPELINE, count, "--output", "json"))
        self.assertEqual([{"run": row["run"], "rejected": row["rejected"]} for row in rows], counted)
        stages = next(sql for sql in blocks("sql") if "AS longest," in sql)
        rows = json.loads(self.lake("query", PIPELINE, stages, "--output", "json"))
        before_the_seal = {"open", "discover", "plan", "standard", "consumption", "audit"}
        self.assertEqual({row["stage"] for row in rows}, before_the_seal)
        self.assertAlmostEqual(sum(row["percent"] for row in rows), 100, delta=0.5)

    def test_the_queries_for_duckdb_run_in_duckdb(self) -> None:
        queries = blocks("sql duckdb")
        self.assertGreater(len(queries), 0)
        for sql in queries:
            with self.subTest(sql), duckdb_with_delta() as database:
                root = self.directory / "lake" / "utility"
                there = sql.replace("'lake/utility/", f"'{root}/")
                self.assertGreater(database.sql(f"SELECT count(*) FROM ({there})").fetchone()[0], 0)

    def test_what_a_run_writes_is_what_the_page_documents(self) -> None:
        self.lake("run", PIPELINE, "--reload", "--metrics", self.metrics)
        families = documented()
        found: dict[str, set[str]] = {}
        for name, labels in re.findall(r"^(lake_\w+)\{(.*)\} \S+$", self.metrics.read_text(), re.MULTILINE):
            found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
        self.assertEqual(found, {name: labels for name, labels in families.items() if name in found})
        self.assertEqual(set(families) - set(found), ELSEWHERE)


class Dashboard(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.dashboard = json.loads(DASHBOARD.read_text())
        cls.panels = [panel for panel in cls.dashboard["panels"] if panel["type"] != "row"]
        cls.questions = [target["expr"] for panel in cls.panels for target in panel["targets"]]

    def test_it_asks_for_documented_metrics_by_documented_labels_and_leaves_none_out(self) -> None:
        families = documented()
        asked = set()
        for question in self.questions:
            names = set(re.findall(r"\blake_\w+", question))
            self.assertEqual(len(names), 1, question)
            asked |= names
            labels = families.get(names.pop(), set())
            by = re.findall(r"by \(([^)]*)\)", question)
            self.assertEqual({label for group in by for label in group.split(", ")} - labels, set(), question)
            self.assertEqual(set(re.findall(r'(\w+)=~?"', question)) - labels, set(), question)
        self.assertEqual(asked, set(families))
        variables = json.dumps(self.dashboard["templating"])
        self.assertLessEqual(set(re.findall(r"\blake_\w+", variables)), set(families))

    def test_every_question_is_promql(self) -> None:
        for question in self.questions:
            with self.subTest(question):
                promql_parser.parse(question.replace("$pipeline", "utility").replace("$__range", "1h"))

    def test_panels_have_numbers_of_their_own_and_do_not_overlap(self) -> None:
        numbers = [panel["id"] for panel in self.dashboard["panels"]]
        self.assertEqual(len(numbers), len(set(numbers)))
        taken: dict[tuple[int, int], str] = {}
        for panel in self.dashboard["panels"]:
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24)
            columns = range(place["x"], place["x"] + place["w"])
            for cell in product(columns, range(place["y"], place["y"] + place["h"])):
                self.assertNotIn(cell, taken, f"{panel['title']} lies on {taken.get(cell)}")
                taken[cell] = panel["title"]

    def test_panels_name_what_they_show_and_take_the_chosen_data_source(self) -> None:
        for panel in self.panels:
            self.assertTrue(panel["title"] and panel["description"], panel["id"])
            for part in (panel, *panel["targets"]):
                self.assertEqual(part["datasource"]["uid"], "${datasource}", panel["title"])


if __name__ == "__main__":
    unittest.main()
