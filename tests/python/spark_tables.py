"""What Spark reads in lake's tables, and what lake makes of Spark's commits: `scripts/spark --test`.

One Spark session (two threads, 1 GB) reads the zones of a pipeline with four runs, one of them a
rollback, and compares them with `lake query` and with `reference.py`. Then it meddles with copies of
them between two runs, as `docs/run-log.md` ("Others") describes.

    LAKE_BINARY     lake itself                   default: target/debug/lake
    LAKE_PIPELINE   the pipeline `utility`        default: pipelines/utility.yaml
    SPARK_JARS      Delta's jars                  default: target/spark/jars
"""

import contextlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

from pyspark.sql import SparkSession

sys.path.insert(0, str(Path(__file__).parent))

import check_tables
import reference

HERE = Path(__file__).resolve().parents[2]
LAKE = os.environ.get("LAKE_BINARY", str(HERE / "target/debug/lake"))
PIPELINE = os.environ.get("LAKE_PIPELINE", str(HERE / "pipelines/utility.yaml"))
JARS = Path(os.environ.get("SPARK_JARS", HERE / "target/spark/jars"))
SAMPLES = Path(os.environ.get("LAKE_SAMPLES", HERE / "data/utility"))

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
STANDARD, CONSUMPTION, REJECTION = "standard/readings", "consumption/daily_usage", "rejection/readings"
ZONES = (STANDARD, CONSUMPTION, REJECTION)

Row = dict[str, Any]


class Lake:
    """A directory with a pipeline's tables, and the files that it loads."""

    def __init__(self, root: Path, files: str) -> None:
        self.root, self.files = root, files

    def call(self, command: str, *arguments: str) -> subprocess.CompletedProcess:
        """One command, whatever comes of it."""
        return subprocess.run(
            [LAKE, command, PIPELINE, *arguments, "--root", str(self.root), "--input", f"readings={self.files}"],
            capture_output=True,
            text=True,
            env={name: value for name, value in os.environ.items() if not name.startswith(("LAKE_ROOT", "LAKE_INPUT"))},
        )

    def __call__(self, command: str, *arguments: str) -> Any:
        """What a command that has to succeed says, as JSON; decimals keep their digits."""
        done = self.call(command, *arguments, "--output", "json")
        if done.returncode != 0:
            raise AssertionError(f"lake {command} {arguments}: {done.returncode}\n{done.stdout}{done.stderr}")
        return json.loads(done.stdout, parse_float=Decimal)

    def rows(self, table: str, *arguments: str) -> list[Row]:
        """All rows of a table, as lake reads them."""
        return self("query", f"SELECT * FROM {table.replace('/', '.')}", *arguments)

    def path(self, table: str) -> Path:
        """Where a table is."""
        return self.root / "utility" / table


@contextlib.contextmanager
def output_to(file: Path) -> Iterator[None]:
    """This process and those that it starts write to a file: a JVM cannot be told to be quiet."""
    saved = os.dup(1), os.dup(2)
    target = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.dup2(target, 1), os.dup2(target, 2)
        yield
    finally:
        os.dup2(saved[0], 1), os.dup2(saved[1], 2)
        for descriptor in (*saved, target):
            os.close(descriptor)


def start(directory: Path) -> SparkSession:
    """A session that keeps everything it writes in a directory, log included."""
    jars = sorted(JARS.glob("*.jar"))
    if not jars:
        raise AssertionError(f"there are no jars in {JARS}: scripts/spark fetches them")
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)
    settings = {
        "spark.jars": ",".join(map(str, jars)),
        "spark.driver.memory": "1g",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": str(directory / "local"),
        "spark.sql.warehouse.dir": str(directory / "warehouse"),
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "1",
        # Tables are small and statements many: compiling them takes longer than it saves.
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        # Otherwise VACUUM lists a dozen directories in ten thousand tasks.
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",
        "spark.databricks.delta.snapshotPartitions": "1",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    }
    builder = SparkSession.builder.master("local[2]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    with output_to(directory / "spark.log"):
        session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


class SparkAndLake(unittest.TestCase):
    """Runs: 1 loads two days, 2 another day and corrections, 3 goes back to 1, 4 loads them again."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.directory = Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="lake-spark-")))
        inbox = cls.directory / "in"
        # What lies deeper is not loaded before the copies are.
        (inbox / "late").mkdir(parents=True)
        days = sorted(SAMPLES.glob("*.csv"))
        cls.lake = Lake(cls.directory / "lake", f"{inbox}/*.csv")
        for day in days[:2]:
            shutil.copy(day, inbox)
        cls.lake("run")
        shutil.copy(days[2], inbox)
        (inbox / "corrected.csv").write_text(corrections(days[1]))
        cls.lake("run")
        cls.lake("rollback", "--version", "1", "--yes")
        cls.lake("run")
        shutil.copy(days[3], inbox / "late")
        cls.inbox = inbox
        cls.spark = start(cls.directory)
        cls.addClassCleanup(cls.spark.stop)

    def copy(self) -> Lake:
        """The tables once more, with a file that is pending."""
        root = Path(tempfile.mkdtemp(dir=self.directory)) / "lake"
        shutil.copytree(self.lake.root, root)
        return Lake(root, f"{self.inbox}/**/*.csv")

    def sql(self, text: str) -> list[Row]:
        """Rows with times as microseconds, as everything here has them."""
        frame = self.spark.sql(text)
        columns = [
            f"unix_micros(`{name}`) AS `{name}`" if kind == "timestamp" else f"`{name}`" for name, kind in frame.dtypes
        ]
        return [row.asDict(recursive=True) for row in frame.selectExpr(*columns).collect()]

    def change(self, lake: Lake, table: str, text: str) -> None:
        """A statement about a table, which stands in it as `{}`."""
        self.spark.sql(text.format(f"delta.`{lake.path(table)}`")).collect()

    def rows(self, lake: Lake, table: str, version: int | None = None) -> list[Row]:
        """All rows of a table, as Spark reads them."""
        at = "" if version is None else f" VERSION AS OF {version}"
        return self.sql(f"SELECT * FROM delta.`{lake.path(table)}`{at}")

    def history(self, lake: Lake, table: str) -> dict[int, Row]:
        """What DESCRIBE HISTORY says of each version."""
        return {row["version"]: row for row in self.sql(f"DESCRIBE HISTORY delta.`{lake.path(table)}`")}

    def assert_same_rows(self, lakes: list[Row], sparks: list[Row]) -> None:
        times = {name for row in sparks[:1] for name in row if name.endswith(("_at", "_time", "_reading"))}
        wanted, got = Counter(form(row, times) for row in lakes), Counter(form(row, set()) for row in sparks)
        self.assertEqual([], sorted((wanted - got).elements())[:3], "lake has these, Spark has not")
        self.assertEqual([], sorted((got - wanted).elements())[:3], "Spark has these, lake has not")

    def assert_both_read_the_same(self, lake: Lake) -> None:
        for table in ZONES:
            with self.subTest(table):
                self.assert_same_rows(lake.rows(table), self.rows(lake, table))

    def assert_consumption_is_of_standard(self, lake: Lake) -> None:
        """Spark computes the sums itself."""
        wanted = self.sql(
            "SELECT customer_id, usage_date, sum(usage_kwh) AS usage_kwh, count(*) AS readings "
            f"FROM delta.`{lake.path(STANDARD)}` GROUP BY ALL"
        )
        got = self.sql(f"SELECT customer_id, usage_date, usage_kwh, readings FROM delta.`{lake.path(CONSUMPTION)}`")
        self.assert_same_rows(wanted, got)

    # Reading.

    def test_spark_reads_the_rows_that_lake_reads(self) -> None:
        self.assert_both_read_the_same(self.lake)

    def test_spark_reads_the_rows_that_plain_python_makes_of_the_files(self) -> None:
        def with_spark(path: Path, columns: dict[str, bool]) -> list[tuple]:
            rows = self.sql(f"SELECT {', '.join(columns)} FROM delta.`{path}`")
            return [tuple(row[name] for name in columns) for row in rows]

        expected = reference.expected(sorted(self.inbox.glob("*.csv")))
        with mock.patch.dict(check_tables.ENGINES, {"Spark": with_spark}, clear=True):
            self.assertEqual([], check_tables.differences(self.lake.root / "utility", expected))

    def test_statistics_hide_no_row_from_spark(self) -> None:
        """Files are left out by their statistics, whose times have milliseconds only."""
        table = f"delta.`{self.lake.path(STANDARD)}`"
        columns = ["meter_id", "start_time", "usage_kwh", "usage_date", "received_at", "_file", "_line", "_loaded_at"]
        bounds = self.spark.sql(
            f"SELECT {', '.join(f'min({name}) AS min_{name}, max({name}) AS max_{name}' for name in columns)} FROM {table}"
        )
        bounds.createOrReplaceTempView("bounds")
        asked = [(name, bound) for name in columns for bound in ("min", "max")]
        (literals,) = self.sql(
            "SELECT " + ", ".join(f"CAST({bound}_{name} AS STRING) AS {bound}_{name}" for name, bound in asked) + " FROM bounds"
        )
        kinds = dict(self.spark.table("bounds").dtypes)
        counted = ", ".join(
            f"(SELECT count(*) FROM {table} WHERE {name} = CAST('{literals[f'{bound}_{name}']}' AS {kinds[f'{bound}_{name}']}))"
            f" AS {bound}_{name}"
            for name, bound in asked
        )
        (found,) = self.sql(f"SELECT {counted}")
        rows = self.rows(self.lake, STANDARD)
        wanted = {
            f"{bound}_{name}": sum(row[name] == extreme for row in rows)
            for name, bound in asked
            for extreme in [(min if bound == "min" else max)(row[name] for row in rows)]
        }
        self.assertEqual(wanted, found)

    def test_history_says_what_the_runs_did(self) -> None:
        runs = {run: self.lake("history", "--run", str(run)) for run in (1, 2, 3, 4)}
        for table, load in ((STANDARD, "MERGE"), (CONSUMPTION, "MERGE"), (REJECTION, "WRITE")):
            history = self.history(self.lake, table)
            self.assertEqual([load, load, "RESTORE", load], [history[version]["operation"] for version in range(4)])
            for run, record in runs.items():
                (said,) = (one for one in record["tables"] if one["name"] == table)
                version = said["version"]
                metrics = {name: int(value) for name, value in history[version]["operationMetrics"].items()}
                with self.subTest(table=table, run=run, metrics=metrics):
                    self.assertEqual(version - 1 if version else None, history[version]["readVersion"])
                    self.assertTrue(history[version]["engineInfo"].startswith("lake/"))
                    match history[version]["operation"]:
                        case "MERGE":
                            self.assertEqual(said["inserted"], metrics["numTargetRowsInserted"])
                            self.assertEqual(said["updated"], metrics["numTargetRowsUpdated"])
                            self.assertEqual(said["deleted"], metrics["numTargetRowsDeleted"])
                            kept = said["inserted"] + said["updated"] + metrics["numTargetRowsCopied"]
                            self.assertEqual(kept, metrics["numOutputRows"])
                        case "WRITE":
                            self.assertEqual(said["inserted"], metrics["numOutputRows"])
                        case "RESTORE":
                            files = len(self.spark.sql(f"SELECT * FROM delta.`{self.lake.path(table)}` VERSION AS OF 0").inputFiles())
                            self.assertEqual(files, metrics["numOfFilesAfterRestore"])

    def test_a_version_is_what_its_run_has_left(self) -> None:
        recorded = self.sql(
            f"SELECT run, v.name, v.version FROM delta.`{self.lake.path('_lake/runs')}` LATERAL VIEW explode(versions) AS v"
        )
        versions = {(row["run"], row["name"]): row["version"] for row in recorded}
        for run in (1, 2, 3, 4):
            said = {one["name"]: one["version"] for one in self.lake("history", "--run", str(run))["versions"]}
            self.assertEqual(said, {name: version for (of, name), version in versions.items() if of == run})
            for table in ZONES:
                with self.subTest(run=run, table=table):
                    self.assert_same_rows(
                        self.lake.rows(table, "--version", str(run)), self.rows(self.lake, table, versions[run, table])
                    )

    def test_the_protocol_is_the_oldest_that_all_engines_know(self) -> None:
        for table in (*ZONES, "_lake/files", "_lake/runs"):
            (detail,) = self.sql(f"DESCRIBE DETAIL delta.`{self.lake.path(table)}`")
            self.assertEqual((1, 2), (detail["minReaderVersion"], detail["minWriterVersion"]), table)

    # Meddling, between two runs.

    def test_after_optimize_and_vacuum_a_run_goes_on_as_if_nothing_were(self) -> None:
        lake = self.copy()
        before = self.rows(lake, STANDARD)
        self.change(lake, STANDARD, "OPTIMIZE {} ZORDER BY (meter_id)")
        self.change(lake, CONSUMPTION, "OPTIMIZE {}")
        self.change(lake, STANDARD, "VACUUM {}")
        self.assert_same_rows(before, self.rows(lake, STANDARD))
        tables = lake("run")["tables"]
        self.assertEqual(["merge", "groups"], [tables[name]["how"] for name in (STANDARD, CONSUMPTION)])
        operations = [row["operation"] for _, row in sorted(self.history(lake, STANDARD).items())]
        self.assertEqual(["OPTIMIZE", "VACUUM START", "VACUUM END", "MERGE"], operations[4:])
        self.assert_both_read_the_same(lake)
        self.assert_consumption_is_of_standard(lake)

    def test_after_a_delete_in_standard_consumption_is_computed_in_full(self) -> None:
        lake = self.copy()
        gone = [row for row in self.rows(lake, STANDARD) if row["customer_id"] == "C-1001"]
        self.change(lake, STANDARD, "DELETE FROM {} WHERE customer_id = 'C-1001'")
        tables = lake("run")["tables"]
        self.assertEqual("full", tables[CONSUMPTION]["how"])
        self.assertIn("changed by somebody else: DELETE", tables[CONSUMPTION]["why"])
        # What was deleted comes back only where the new file has it.
        left = {row["_run"] for row in self.rows(lake, STANDARD) if row["customer_id"] == "C-1001"}
        self.assertTrue(gone)
        self.assertLessEqual(left, {5})
        newest = max(self.history(lake, CONSUMPTION).items())[1]
        self.assertEqual(str(tables[CONSUMPTION]["deleted"]), newest["operationMetrics"]["numTargetRowsDeleted"])
        self.assert_both_read_the_same(lake)
        self.assert_consumption_is_of_standard(lake)

    def test_after_changes_in_consumption_it_is_computed_in_full(self) -> None:
        lake = self.copy()
        self.change(lake, CONSUMPTION, "UPDATE {} SET usage_kwh = 0 WHERE customer_id = 'C-1002'")
        self.change(lake, CONSUMPTION, "DELETE FROM {} WHERE customer_id = 'C-1001'")
        self.assertEqual("full", lake("run")["tables"][CONSUMPTION]["how"])
        self.assert_both_read_the_same(lake)
        self.assert_consumption_is_of_standard(lake)

    def test_a_column_that_spark_adds_is_refused_by_its_name(self) -> None:
        lake = self.copy()
        self.change(lake, STANDARD, "ALTER TABLE {} ADD COLUMN note STRING")
        done = lake.call("run")
        self.assertEqual(1, done.returncode)
        self.assertIn("column note is no longer declared", done.stderr)

    def test_deletion_vectors_are_refused_by_their_name(self) -> None:
        lake = self.copy()
        self.change(lake, STANDARD, "ALTER TABLE {} SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')")
        done = lake.call("run")
        self.assertEqual(1, done.returncode)
        self.assertIn("DeletionVectors", done.stderr)

    def test_a_vacuum_of_all_that_is_old_is_refused(self) -> None:
        with self.assertRaisesRegex(Exception, "(?s)DELTA_VACUUM_RETENTION_PERIOD_TOO_SHORT.*at least 720 hours"):
            self.change(self.lake, STANDARD, "VACUUM {} RETAIN 0 HOURS")
        self.assertEqual(0, self.lake.call("rollback", "--version", "1", "--dry-run").returncode)

    def test_checkpoints_of_either_are_read_by_the_other(self) -> None:
        lake = self.copy()
        self.change(lake, STANDARD, "RESTORE TABLE {} TO VERSION AS OF 0")  # writes a checkpoint
        lake("run")
        lake("maintain")  # writes another one
        log = lake.path(STANDARD) / "_delta_log"
        self.assertEqual(2, len(list(log.glob("*.checkpoint.parquet"))))
        # A new reader looks at `_last_checkpoint`, which was Spark's and is lake's now: with Spark's
        # checksum beside it, it would be damaged.
        self.assertFalse((log / "._last_checkpoint.crc").exists())
        self.spark._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()
        self.assert_both_read_the_same(lake)


def corrections(file: Path) -> str:
    """The first readings of a file, with another usage."""
    header, *lines = file.read_text().splitlines()[:30]
    rows = [line.split(",") for line in lines]
    corrected = [",".join((*row[:4], "7.125", row[5])) for row in rows if len(row) == 6]
    return "\n".join([header, *corrected]) + "\n"


def form(row: Row, times: set[str]) -> str:
    """One text for equal rows, whoever read them; the columns `times` are texts of times."""
    return json.dumps(
        {name: plain(microseconds(value) if name in times and isinstance(value, str) else value) for name, value in row.items()},
        sort_keys=True,
    )


def microseconds(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def plain(value: Any) -> Any:
    match value:
        case Decimal() | bool() if not isinstance(value, bool):
            return str(value.normalize() + 0)
        case int() if not isinstance(value, bool):
            return str(Decimal(value).normalize() + 0)
        case date():
            return value.isoformat()
        case list():
            return [plain(one) for one in value]
        case dict():
            return {name: plain(one) for name, one in value.items()}
        case _:
            return value


if __name__ == "__main__":
    unittest.main()
