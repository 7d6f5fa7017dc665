#!/usr/bin/env python3
"""Do other engines read what lake wrote? `check_tables.py ROOT FILE...`

ROOT is the directory of the utility pipeline; the files are all that it has
loaded. DuckDB (its Delta extension) and delta-rs's Python package each read the
three tables whole, and every row must be what `reference.py` makes of the files.
Exit 0 if so; otherwise 1, and the differences are printed.
"""

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import cache
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import NamedTuple
from urllib.parse import unquote

import duckdb
import duckdb_extension_delta
from deltalake import DeltaTable, QueryBuilder

import reference
from reference import Expected, Reading, Rejected

SHOWN = 5
"""How many rows of each kind of difference are printed."""

Read = Callable[[Path, dict[str, bool]], list[tuple]]
"""Reads columns of a table, in that order; True marks a timestamp, which comes as microseconds."""


class Table(NamedTuple):
    """A table, its columns in the order of the reference's row, and how many of them are the key."""

    path: str
    columns: dict[str, bool]
    key: int


READINGS = Table(
    "standard/readings",
    {
        "meter_id": False,
        "start_time": True,
        "customer_id": False,
        "end_time": True,
        "usage_kwh": False,
        "region": False,
        "usage_date": False,
        "received_at": True,
        "_file": False,
        "_line": False,
    },
    key=2,
)
REJECTED = Table(
    "rejection/readings",
    {"file": False, "line": False, "byte_offset": False, "raw": False, "received_at": True},
    key=2,
)
DAILY_USAGE = Table(
    "consumption/daily_usage",
    {
        "customer_id": False,
        "usage_date": False,
        "usage_kwh": False,
        "readings": False,
        "first_reading": True,
        "last_reading": True,
        "peak_hour": False,
    },
    key=2,
)


@cache
def duckdb_with_delta() -> duckdb.DuckDBPyConnection:
    """DuckDB without the network: its extension comes from a package."""
    database = duckdb.connect(config={"autoinstall_known_extensions": False, "autoload_known_extensions": False})
    load(database, duckdb_extension_delta, "delta")
    return database


def load(database: duckdb.DuckDBPyConnection, package: ModuleType, name: str) -> None:
    """Loads an extension that comes from a package."""
    extensions = Path(package.__file__).parent / "extensions" / f"v{duckdb.__version__}"
    database.execute(f"LOAD '{extensions / name}.duckdb_extension'")


def with_duckdb(path: Path, columns: dict[str, bool]) -> list[tuple]:
    """Reads with DuckDB."""
    selected = ", ".join(f"epoch_us({name})" if time else name for name, time in columns.items())
    return duckdb_with_delta().execute(f"SELECT {selected} FROM delta_scan($1)", [str(path)]).fetchall()


def with_delta_rs(path: Path, columns: dict[str, bool]) -> list[tuple]:
    """Reads with delta-rs, and its own DataFusion."""
    selected = ", ".join(f"arrow_cast({name}, 'Int64')" if time else name for name, time in columns.items())
    query = QueryBuilder().register("readable", DeltaTable(path))
    table = query.execute(f"SELECT {selected} FROM readable").read_all()
    return list(zip(*(column.to_pylist() for column in table.columns)))


ENGINES: dict[str, Read] = {"DuckDB": with_duckdb, "delta-rs": with_delta_rs}


def differences(root: Path, expected: Expected) -> list[str]:
    """What each engine reads otherwise than the reference says; empty if nothing."""
    found = []
    for engine, read in ENGINES.items():
        for table, rows, name_of_file in (
            (READINGS, expected.readings, 8),
            (REJECTED, [row[:5] for row in expected.rejected], 0),
            (DAILY_USAGE, expected.daily_usage, None),
        ):
            actual = read(root / table.path, table.columns)
            if name_of_file is not None:
                actual = [with_file_name(row, name_of_file) for row in actual]
            found += [f"{engine}, {table.path}: {text}" for text in compare(table, rows, actual)]
        found += [f"{engine}, {text}" for text in sums_differ(read, root, expected.readings)]
        found += [f"{engine}, {REJECTED.path}: {text}" for text in reasons_differ(read, root, expected.rejected)]
        found += [f"{engine}, {text}" for text in run_columns_differ(read, root)]
    return found


def with_file_name(row: tuple, column: int) -> tuple:
    """A row whose file is reduced to its name, because a table may name it by path or URL."""
    name = PurePosixPath(unquote(row[column])).name
    return (*row[:column], name, *row[column + 1 :])


def compare(table: Table, expected: Iterable[tuple], actual: list[tuple]) -> list[str]:
    """Row by row, matched by key."""
    wanted = {row[: table.key]: tuple(row) for row in expected}
    got = {row[: table.key]: row for row in actual}
    counts = Counter(row[: table.key] for row in actual)
    names = list(table.columns)

    problems = []
    if len(actual) != len(wanted):
        problems.append(f"{len(actual)} rows instead of {len(wanted)}")
    problems += some("twice or more", [key for key, count in counts.items() if count > 1])
    problems += some("missing", [row for key, row in wanted.items() if key not in got])
    problems += some("not expected", [row for key, row in got.items() if key not in wanted])
    differing = []
    for key in wanted.keys() & got.keys():
        cells = [
            f"{name} is {is_value!r} instead of {should!r}"
            for name, should, is_value in zip(names, wanted[key], got[key])
            if should != is_value
        ]
        if cells:
            differing.append(f"{key}: {', '.join(cells)}")
    return problems + some("different", differing)


def some(what: str, rows: list) -> list[str]:
    """A line for a kind of difference, with its first rows."""
    if not rows:
        return []
    ordered = sorted(map(str, rows))
    shown = [*ordered[:SHOWN], *(["…"] if len(ordered) > SHOWN else [])]
    return [f"{len(rows)} {what}:" + "".join(f"\n    {row}" for row in shown)]


def sums_differ(read: Read, root: Path, expected: list[Reading]) -> list[str]:
    """Usage per day and customer, summed here over either table: where rows differ, this shows how much it matters."""
    wanted = usage((row.usage_date, row.customer_id, row.usage_kwh) for row in expected)
    columns = {"usage_date": False, "customer_id": False, "usage_kwh": False}
    problems = []
    for table in (READINGS, DAILY_USAGE):
        got = usage(read(root / table.path, columns))
        sums = [
            f"{day} {customer}: {got.get((day, customer))} instead of {wanted.get((day, customer))} kWh"
            for day, customer in wanted.keys() | got.keys()
            if got.get((day, customer)) != wanted.get((day, customer))
        ]
        problems += [f"{table.path}: {text}" for text in some("other sums", sums)]
    return problems


def usage(rows: Iterable[tuple]) -> dict[tuple, Decimal]:
    """The usage of each day and customer."""
    sums: dict[tuple, Decimal] = defaultdict(Decimal)
    for day, customer, kwh in rows:
        sums[day, customer] += kwh
    return dict(sums)


def reasons_differ(read: Read, root: Path, expected: list[Rejected]) -> list[str]:
    """Every rejected row says at least as many reasons as it has faults, and who rejected it when."""
    columns = dict.fromkeys(["row_id", "input", "file", "line", "reasons", "run", "transform_version"], False)
    rows = read(root / REJECTED.path, columns)
    faults = {(row.file, row.line): row.faults for row in expected}
    problems = []
    for row_id, name, file, line, reasons, run, version in rows:
        where = f"{PurePosixPath(file).name}:{line}"
        wanted = faults.get((PurePosixPath(unquote(file)).name, line), ())
        if len(reasons or ()) < max(1, len(wanted)):
            problems.append(f"{where}: {reasons} for {wanted}")
        problems += [
            f"{where}: {reason} names no check or no message"
            for reason in reasons or ()
            if not reason["check"] or not reason["message"]
        ]
        if None in (row_id, run, version) or name != "readings":
            problems.append(f"{where}: row_id {row_id}, input {name}, run {run}, transform_version {version}")
    if len({row[0] for row in rows}) != len(rows):
        problems.append("row_id is not unique")
    return some("rows with incomplete reasons", problems)


def run_columns_differ(read: Read, root: Path) -> list[str]:
    """Every row says which run wrote it, and all rows of a run were loaded at one instant."""
    runs = set(read(root / READINGS.path, {"_run": False, "_loaded_at": True}))
    problems = []
    if any(value is None for row in runs for value in row):
        problems.append(f"{READINGS.path}: rows without _run or _loaded_at")
    if len(runs) != len({run for run, _ in runs}):
        problems.append(f"{READINGS.path}: a run with more than one _loaded_at: {sorted(runs, key=str)}")
    if any(run is None for (run,) in read(root / DAILY_USAGE.path, {"_run": False})):
        problems.append(f"{DAILY_USAGE.path}: rows without _run")
    return problems


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("root", type=Path, help="the directory of the pipeline, for instance lake/utility")
    arguments.add_argument("files", type=Path, nargs="+", help="the raw files that have been loaded")
    options = arguments.parse_args()
    expected = reference.expected(options.files)
    found = differences(options.root, expected)
    if found:
        print(f"{len(found)} differences from what the raw files say:\n")
        print("\n".join(found))
        return 1
    print(
        f"{' and '.join(ENGINES)} agree with the raw files: "
        f"{len(expected.readings)} readings, {len(expected.rejected)} rejected rows, "
        f"{len(expected.daily_usage)} days of customers, "
        f"{sum(row.usage_kwh for row in expected.readings)} kWh"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
