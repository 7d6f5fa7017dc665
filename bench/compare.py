#!/usr/bin/env python3
"""The utility job by lake, DuckDB and Polars, side by side: `bench/run 1000000 10000000`.

Every contender runs in a process of its own, on the same files, into an empty
directory. What they wrote is compared first, table by table; times are shown
only if all of it is equal. Memory is the highest resident set of the process,
as the kernel counted it.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import NamedTuple

import duckdb
import duckdb_extension_delta

import generate

BENCH = Path(__file__).resolve().parent
PROJECT = BENCH.parent
OUT = BENCH / "out"
PIPELINE = PROJECT / "pipelines" / "utility.yaml"

# What has to be equal. `hash` of every row, summed, is equal only if the rows
# are; columns that say who wrote a row, and when, are left out.
RESULTS = {
    "accepted, newest of each key": "SELECT count(*) FROM standard",
    "accepted, usage": "SELECT sum(usage_kwh) FROM standard",
    "accepted, every row": """
        SELECT sum(hash(customer_id, meter_id, epoch_us(start_time), epoch_us(end_time), usage_kwh::DECIMAL(18, 3),
                        region, usage_date)::HUGEINT) FROM standard""",
    "rejected": "SELECT count(*) FROM rejection",
    "rejected, of each file": """
        SELECT list((name, rows) ORDER BY name) FROM (
            SELECT parse_filename(file) AS name, count(*) AS rows FROM rejection GROUP BY ALL)""",
    "daily usage": "SELECT count(*) FROM consumption",
    "daily usage, of each day": """
        SELECT list((usage_date, usage) ORDER BY usage_date) FROM (
            SELECT usage_date, sum(usage_kwh)::DECIMAL(18, 3) AS usage FROM consumption GROUP BY ALL)""",
    "daily usage, every row": """
        SELECT sum(hash(customer_id, usage_date, usage_kwh::DECIMAL(18, 3), readings::BIGINT, epoch_us(first_reading),
                        epoch_us(last_reading), peak_hour::BIGINT)::HUGEINT) FROM consumption""",
}
TABLES = {"standard": "standard/readings", "rejection": "rejection/readings", "consumption": "consumption/daily_usage"}


class Measured(NamedTuple):
    """One run of a contender."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    report: dict


class Failed(Exception):
    """A contender that did not finish, or a benchmark that cannot start."""


def command(contender: str, lake: Path, files: list[Path], root: Path) -> list[str]:
    """How a contender is started."""
    if contender == "lake":
        pattern = f"readings={files[0].parent}/*.csv"
        return [str(lake), "run", str(PIPELINE), "--root", str(root), "--input", pattern, "--output", "json"]
    return [sys.executable, str(BENCH / f"{contender}_job.py"), "--root", str(root / "utility"), *map(str, files)]


def measure(contender: str, argv: list[str]) -> Measured:
    """Run a contender; `wait4` gives the memory and processor time of this child alone."""
    OUT.mkdir(exist_ok=True)
    errors_path = OUT / f"{contender}.stderr"
    with open(errors_path, "wb") as errors:
        started = time.monotonic()
        child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=errors)
        with child.stdout:
            output = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.monotonic() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        last_lines = "\n".join(errors_path.read_text(errors="replace").splitlines()[-15:])
        raise Failed(f"{contender} ended with {child.returncode}: {' '.join(argv)}\n{last_lines}")
    kilobyte = 1 if platform.system() == "Darwin" else 1024
    return Measured(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * kilobyte, json.loads(output))


@cache
def database() -> duckdb.DuckDBPyConnection:
    """DuckDB with its Delta extension, from the package."""
    package = Path(duckdb_extension_delta.__file__).parent
    connection = duckdb.connect()
    connection.execute(f"LOAD '{package}/extensions/v{duckdb.__version__}/delta.duckdb_extension'")
    return connection


def results(root: Path) -> dict[str, object]:
    """What a contender's tables hold."""
    for name, path in TABLES.items():
        database().execute(f"CREATE OR REPLACE TEMP VIEW {name} AS FROM delta_scan('{root / 'utility' / path}')")
    return {what: database().execute(sql).fetchall()[0][0] for what, sql in RESULTS.items()}


def differences(of_contenders: dict[str, dict[str, object]]) -> list[str]:
    """Where a contender's result is not that of the first one."""
    first, *others = of_contenders
    return [
        f"{what}:\n    {first}: {shown(of_contenders[first][what])}\n    {other}: {shown(of_contenders[other][what])}"
        for other in others
        for what in RESULTS
        if of_contenders[other][what] != of_contenders[first][what]
    ]


def shown(value: object) -> str:
    """A value, cut to a line."""
    text = str(value)
    return text if len(text) <= 200 else text[:200] + "…"


def warm_up(lake: Path, contenders: list[str], work: Path) -> None:
    """Build lake's transform beforehand: in use it is built once, and cargo's memory is not lake's."""
    if "lake" in contenders:
        if not lake.exists():
            raise Failed(f"{lake} is not there: build it with `cargo build --release -p lake`, or name one with --lake")
        samples = sorted((PROJECT / "data" / "utility").glob("*.csv"))
        measure("lake", command("lake", lake, samples, fresh(work / "warm-up")))


def fresh(root: Path) -> Path:
    """An empty directory."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    return root


def run_size(size: int, contenders: list[str], lake: Path, repeat: int, work: Path) -> dict[str, list[Measured]]:
    """All contenders on one size, taking turns; Failed if their results differ."""
    directory = generate.data_directory(size)
    generate.generate(size, directory)
    files = sorted(directory.glob("*.csv"))
    for file in files:
        # Every contender finds the files in the page cache.
        with open(file, "rb") as content:
            while content.read(8 << 20):
                pass

    measured: dict[str, list[Measured]] = {contender: [] for contender in contenders}
    found: dict[str, dict[str, object]] = {}
    for turn in range(repeat):
        for contender in contenders:
            root = fresh(work / contender)
            run = measure(contender, command(contender, lake, files, root))
            print(f"  {size:,} rows, {contender}: {run.seconds:.1f} s", file=sys.stderr)
            measured[contender].append(run)
            found[contender] = results(root) if turn == 0 else found[contender]
            shutil.rmtree(root)
    if differing := differences(found):
        raise Failed(f"{size:,} rows: results differ, so there are no times to compare.\n" + "\n".join(differing))
    first = found[contenders[0]]
    print(
        f"{size:,} rows: equal results ({first['accepted, newest of each key']:,} readings, "
        f"{first['rejected']:,} rejected, {first['daily usage']:,} days of customers, "
        f"{first['accepted, usage']:,} kWh)"
    )
    return measured


def summary(size: int, runs: list[Measured]) -> dict:
    """The figures of one contender on one size: medians, and the highest memory."""
    seconds = statistics.median(run.seconds for run in runs)
    own = [run.report["peak_memory_bytes"] for run in runs if "peak_memory_bytes" in run.report]
    return {
        "seconds": round(seconds, 3),
        "seconds_of_each": [round(run.seconds, 3) for run in runs],
        "cpu_seconds": round(statistics.median(run.cpu_seconds for run in runs), 3),
        "rows_per_second": round(size / seconds),
        "peak_memory_bytes": max(run.peak_bytes for run in runs),
        "peak_memory_bytes_by_own_count": max(own, default=None),
    }


def table(rows: list[list[str]]) -> str:
    """Columns aligned, the first to the left."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(
        "  ".join(cell.ljust(width) if at == 0 else cell.rjust(width) for at, (cell, width) in enumerate(zip(row, widths)))
        for row in rows
    )


def report(figures: dict[int, dict[str, dict]]) -> str:
    """One table for each size; ratios are against the first contender, growth against the size before."""
    parts = []
    before: dict[str, dict] = {}
    for size, contenders in figures.items():
        baseline = next(iter(contenders.values()))
        rows = [[f"{size:,} rows", "seconds", "ratio", "CPU s", "rows/s", "memory", "ratio", "time ×", "memory ×"]]
        for name, figure in contenders.items():
            grown = before.get(name)
            rows.append([
                name,
                f"{figure['seconds']:.2f}",
                f"{figure['seconds'] / baseline['seconds']:.2f}",
                f"{figure['cpu_seconds']:.2f}",
                f"{figure['rows_per_second']:,}",
                f"{figure['peak_memory_bytes'] / 2**20:,.0f} MiB",
                f"{figure['peak_memory_bytes'] / baseline['peak_memory_bytes']:.2f}",
                f"{figure['seconds'] / grown['seconds']:.1f}" if grown else "",
                f"{figure['peak_memory_bytes'] / grown['peak_memory_bytes']:.1f}" if grown else "",
            ])
        parts.append(table(rows))
        before = contenders
    return "\n\n".join(parts)


def conditions(repeat: int) -> dict:
    """Under what the figures were taken."""
    versions = {}
    for name in ("duckdb", "polars", "deltalake"):
        versions[name] = __import__(name).__version__
    return {
        "taken_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load_at_start": round(os.getloadavg()[0], 1),
        "repetitions": repeat,
        "versions": versions,
    }


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("sizes", type=int, nargs="*", default=[1_000_000], help="rows (default: 1000000)")
    arguments.add_argument("--repeat", type=int, default=1, help="runs of each; times are medians (default: 1)")
    arguments.add_argument("--only", default="lake,duckdb,polars", help="contenders, the first is the measure of ratios")
    arguments.add_argument("--lake", type=Path, default=PROJECT / "target" / "release" / "lake", help="the binary")
    options = arguments.parse_args()
    contenders = options.only.split(",")
    work = OUT / "work"
    taken = conditions(options.repeat)
    if taken["load_at_start"] > 0.5 * taken["cores"]:
        print(f"The machine is busy (load {taken['load_at_start']}): times will be too high.", file=sys.stderr)
    try:
        warm_up(options.lake, contenders, work)
        measured = {
            size: run_size(size, contenders, options.lake, options.repeat, work) for size in sorted(options.sizes)
        }
    except Failed as failure:
        print(failure, file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
    figures = {
        size: {name: summary(size, runs) for name, runs in of_size.items()} for size, of_size in measured.items()
    }
    file = OUT / "compare.json"
    file.write_text(json.dumps({"conditions": taken, "sizes": figures}, indent=2) + "\n")
    print(f"\n{report(figures)}\n\nAs JSON, with the conditions: {file.relative_to(PROJECT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
