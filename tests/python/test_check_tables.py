"""`check_tables` notices what it should: `python -m unittest discover tests/python`."""

import json
import os
import runpy
import sys
import tempfile
import unittest
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
from deltalake import write_deltalake

sys.path.insert(0, str(Path(__file__).parent))

import check_tables
import reference

SAMPLES = sorted((Path(__file__).parents[2] / "data" / "utility").glob("*.csv"))

TABLES = {
    "standard/readings": {
        "meter_id": "VARCHAR", "start_time": "BIGINT", "customer_id": "VARCHAR", "end_time": "BIGINT",
        "usage_kwh": "DECIMAL(12, 3)", "region": "VARCHAR", "usage_date": "DATE", "received_at": "BIGINT",
        "_file": "VARCHAR", "_line": "BIGINT",
    },
    "rejection/readings": {
        "file": "VARCHAR", "line": "BIGINT", "byte_offset": "BIGINT", "raw": "VARCHAR", "received_at": "BIGINT",
        "faults": "VARCHAR[]",
    },
    "consumption/daily_usage": {
        "customer_id": "VARCHAR", "usage_date": "DATE", "usage_kwh": "DECIMAL(18, 3)", "readings": "BIGINT",
        "first_reading": "BIGINT", "last_reading": "BIGINT", "peak_hour": "INTEGER",
    },
}

SELECT = {
    "standard/readings": """
        SELECT * REPLACE (make_timestamptz(start_time) AS start_time, make_timestamptz(end_time) AS end_time,
                          make_timestamptz(received_at) AS received_at, '/inbox/a%20b/' || _file AS _file),
            TIMESTAMPTZ '2026-03-01 00:00:00Z' AS _loaded_at, 1::BIGINT AS _run
        FROM written""",
    "rejection/readings": """
        SELECT file || ':' || line AS row_id, 'readings' AS input, * EXCLUDE (faults)
            REPLACE (make_timestamptz(received_at) AS received_at),
            [{'check': fault, 'column': NULL::VARCHAR, 'value': '', 'message': fault} FOR fault IN faults] AS reasons,
            1::BIGINT AS run, '1.0.0' AS transform_version, NULL::BIGINT AS resolved_run
        FROM written""",
    "consumption/daily_usage": """
        SELECT * REPLACE (make_timestamptz(first_reading) AS first_reading,
                          make_timestamptz(last_reading) AS last_reading), 1::BIGINT AS _run
        FROM written""",
}


def write(root: Path, expected: reference.Expected) -> None:
    """Tables as lake would write them, if `expected` were right."""
    for (table, columns), rows in zip(TABLES.items(), expected):
        with duckdb.connect() as database, tempfile.NamedTemporaryFile("w", suffix=".json") as written:
            for row in rows:
                print(json.dumps(dict(zip(columns, row)), default=str), file=written)
            written.flush()
            database.execute("SET TimeZone = 'UTC'")
            database.execute(f"CREATE TABLE written AS FROM read_json('{written.name}', columns = {columns})")
            partitions = ["usage_date"] if table == "standard/readings" else None
            write_deltalake(root / table, database.sql(SELECT[table]), partition_by=partitions, mode="overwrite")


class TablesAreCompared(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.right = reference.expected(SAMPLES)

    def found(self, **changed: list) -> list[str]:
        """What is found in tables that hold the right rows but for the changed ones."""
        with tempfile.TemporaryDirectory() as root:
            write(Path(root), self.right._replace(**changed))
            return check_tables.differences(Path(root), self.right)

    def assert_both_engines_find(self, text: str, found: list[str]) -> None:
        for engine in check_tables.ENGINES:
            self.assertTrue(any(one.startswith(engine) and text in one for one in found), f"{engine}: {found}")

    def test_right_tables_agree(self) -> None:
        self.assertEqual([], self.found())

    def test_a_missing_row_is_found(self) -> None:
        found = self.found(readings=self.right.readings[1:])
        self.assert_both_engines_find("standard/readings: 1 missing", found)
        self.assert_both_engines_find("standard/readings: 1 other sums", found)

    def test_a_row_that_is_there_twice_is_found(self) -> None:
        found = self.found(readings=[*self.right.readings, self.right.readings[0]])
        self.assert_both_engines_find("standard/readings: 1 twice or more", found)

    def test_another_value_is_found(self) -> None:
        first, *others = self.right.readings
        found = self.found(readings=[first._replace(usage_kwh=Decimal("99.999")), *others])
        self.assert_both_engines_find("usage_kwh is Decimal('99.999') instead of", found)

    def test_the_older_row_of_a_key_is_found(self) -> None:
        first, *others = self.right.readings
        found = self.found(readings=[first._replace(line=first.line + 1), *others])
        self.assert_both_engines_find(f"_line is {first.line + 1} instead of {first.line}", found)

    def test_a_rejected_row_on_another_line_is_found(self) -> None:
        first, *others = self.right.rejected
        found = self.found(rejected=[first._replace(line=first.line + 1), *others])
        self.assert_both_engines_find("rejection/readings: 1 missing", found)
        self.assert_both_engines_find("rejection/readings: 1 not expected", found)

    def test_a_reason_that_is_not_given_is_found(self) -> None:
        *others, last = sorted(self.right.rejected, key=lambda row: len(row.faults))
        found = self.found(rejected=[*others, last._replace(faults=last.faults[:1])])
        self.assert_both_engines_find("1 rows with incomplete reasons", found)

    def test_another_peak_hour_is_found(self) -> None:
        first, *others = self.right.daily_usage
        found = self.found(daily_usage=[first._replace(peak_hour=3), *others])
        self.assert_both_engines_find("peak_hour is 3 instead of", found)


class SamplesAreGenerated(unittest.TestCase):
    def test_samples_are_what_their_generator_writes(self) -> None:
        generator = runpy.run_path(str(SAMPLES[0].parents[1] / "generate_utility.py"))
        written = [generator["file_of_day"](day) for day in range(generator["DAYS"])]
        self.assertEqual(written, [file.read_bytes() for file in SAMPLES])


class TheReferenceFollowsTheRules(unittest.TestCase):
    def rows(self, content: bytes) -> list:
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "readings.csv"
            file.write_bytes(content)
            os.utime(file, (1_773_532_800, 1_773_532_800))
            return list(reference.rows(file))

    def test_samples_hold_every_kind_of_fault(self) -> None:
        faults = {fault.split(": ")[-1] for row in reference.expected(SAMPLES).rejected for fault in row.faults}
        self.assertLessEqual(
            {"required", "not an instant", "not a decimal(12,3)", "not UTF-8", "negative usage", "quote"}
            | {"ends before it starts", "in the future", "unknown region", "field count"},
            faults,
        )

    def test_samples_hold_corrections_from_later_files(self) -> None:
        received = {}
        corrected = 0
        for file in SAMPLES:
            for row in reference.rows(file):
                if isinstance(row, reference.Reading):
                    before = received.setdefault((row.meter_id, row.start_time), row)
                    corrected += before.file != row.file
        self.assertGreater(corrected, 5)

    def test_meters_have_one_spelling(self) -> None:
        for spelling in (" m-42 ", "M0000042", "M 0000042", "m42", "M-00000000042"):
            self.assertEqual("M0000042", reference.meter(spelling))
        self.assertEqual("EL12345678", reference.meter("el-1234 5678"))
        self.assertEqual("12-AB", reference.meter(" 12-ab "))

    def test_instants_are_microseconds_in_utc(self) -> None:
        for text in ("1970-01-01T01:00:00Z", "1970-01-01T01:00:00", "1970-01-01T02:30:00+01:30"):
            self.assertEqual(3_600_000_000, reference.instant(text))
        for text in ("1970-01-01", "01.02.1970 14:00", "1970-02-30T00:00:00Z", "1970-01-01T25:00:00Z"):
            self.assertRaises(ValueError, reference.instant, text)

    def test_lines_are_those_on_which_records_start(self) -> None:
        good = "{},m1,2026-01-01T00:00:00Z,2026-01-01T01:00:00Z,1.5,east"
        records = ["\ufeff" + ",".join(reference.COLUMNS), good.format('"a\nb"'), "c,d", 'open,"quote', good.format("e")]
        rows = self.rows("\r\n".join(records).encode())
        self.assertEqual([2, 4, 5, 6], [row.line for row in rows])
        faults = [row.faults for row in rows if isinstance(row, reference.Rejected)]
        self.assertEqual([("field count",), ("quote",)], faults)

    def test_of_equal_hours_the_earliest_is_the_peak(self) -> None:
        lines = [",".join(reference.COLUMNS)]
        for hour, kwh in ((20, "2"), (9, "1.5"), (9, "0.5"), (3, "1")):
            lines.append(f"a,m{kwh},2026-01-01T{hour:02}:00:00Z,2026-01-02T00:00:00Z,{kwh},east")
        (day,) = reference.daily_usage(self.rows("\n".join(lines).encode()))
        self.assertEqual((date(2026, 1, 1), Decimal("5.0"), 4, 9), (*day[1:4], day.peak_hour))


if __name__ == "__main__":
    unittest.main()
