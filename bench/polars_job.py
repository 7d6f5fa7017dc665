#!/usr/bin/env python3
"""The utility job in Polars + deltalake: `polars_job.py --root DIR FILE...`.

As a good engineer would write it for a first load: one streaming query with the
checks and the newest row of a key, then three Delta tables. Prints counts and
seconds as JSON. What it cannot give is listed in README.md.
"""

import argparse
import json
import os
import time
from datetime import datetime, timezone
from pathlib import Path

import polars as pl
from deltalake import DeltaTable, write_deltalake

COLUMNS = ["customer_id", "meter_id", "start_time", "end_time", "usage_kwh", "region"]
REGIONS = ["north", "south", "east", "west", "centre"]
KEY = ["meter_id", "start_time"]
TEXT = "text_of_"


def instant(column: str) -> pl.Expr:
    """An ISO instant; without a zone it is UTC. Null where it is none."""
    text = pl.col(column).str.strip_suffix("Z")
    return text.str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", time_zone="UTC", strict=False)


def scan(files: dict[str, datetime]) -> pl.LazyFrame:
    """Every row as text, numbered through all files, which come oldest first.

    The header is skipped and one column more than expected is read: a surplus
    field lands in it instead of stopping the job. Bytes that are not UTF-8 turn
    into U+FFFD.
    """
    rows = pl.scan_csv(
        list(files),
        has_header=False,
        skip_rows=1,
        schema={name: pl.String for name in [*COLUMNS, "surplus"]},
        missing_columns="insert",
        truncate_ragged_lines=True,
        encoding="utf8-lossy",
        row_index_name="file_row",
        include_file_paths="_file",
    )
    received = pl.LazyFrame(
        {"_file": list(files), "received_at": list(files.values())},
        schema_overrides={"received_at": pl.Datetime("us", "UTC")},
    )
    return rows.join(received, on="_file", how="left", maintain_order="left")


def unreadable(column: str) -> pl.Expr:
    """There is text, and it is no value of the column's type."""
    return pl.col(TEXT + column).is_not_null() & pl.col(column).is_null()


FAULTS = {
    **{f"{name} is required": pl.col(TEXT + name).is_null() for name in COLUMNS},
    **{f"{name} is not UTF-8": pl.col(TEXT + name).str.contains("\ufffd", literal=True) for name in COLUMNS},
    "there is a field too many": pl.col("surplus").is_not_null(),
    "start_time is no instant": unreadable("start_time"),
    "end_time is no instant": unreadable("end_time"),
    "usage_kwh is no decimal(12,3)": unreadable("usage_kwh"),
    "region is unknown": ~pl.col("region").is_in(REGIONS),
    "usage is negative": pl.col("usage_kwh") < 0,
    "reading does not end after it starts": pl.col("end_time") <= pl.col("start_time"),
    "reading is in the future": pl.col("start_time") > pl.col("received_at"),
}
"""What makes a row bad, over the columns of `check`; null is no fault."""


def check(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Types the columns, keeps their text as `text_of_*` and adds `good`."""
    plain = pl.col("meter_id").str.strip_chars().str.to_uppercase()
    meter = plain.str.replace_all(" ", "", literal=True).str.replace_all("-", "", literal=True)
    letters = meter.str.strip_chars_end("0123456789")
    digits = meter.str.strip_prefix(letters).str.strip_chars_start("0").str.zfill(7)
    is_meter = meter.str.contains("^[A-Z]+[0-9]+$")
    number = pl.col("usage_kwh").cast(pl.Decimal(12, 3), strict=False)
    # A decimal with more than three places would be cut, not refused; compared with a wider one it shows.
    exact = pl.col("usage_kwh").cast(pl.Decimal(18, 9), strict=False) == number
    return (
        rows.with_columns(pl.col(COLUMNS).name.prefix(TEXT))
        .with_columns(
            meter_id=pl.when(is_meter).then(letters + digits).otherwise(plain),
            start_time=instant("start_time"),
            end_time=instant("end_time"),
            usage_kwh=pl.when(exact).then(number),
        )
        .with_columns(good=~pl.any_horizontal(fault.fill_null(False) for fault in FAULTS.values()))
    )


def newest(checked: pl.LazyFrame, run: dict[str, pl.Expr]) -> pl.LazyFrame:
    """The accepted rows, one for each key: the last in order of file and row."""
    return (
        checked.filter("good")
        .select([*COLUMNS, "received_at", "_file", "file_row"])
        .unique(KEY, keep="last", maintain_order=True)
        .with_columns(usage_date=pl.col("start_time").dt.date(), **run)
    )


def rejected(checked: pl.LazyFrame) -> pl.LazyFrame:
    """The rejected rows with every reason; the raw text is put together from the fields."""
    raw = pl.concat_str(pl.col([TEXT + name for name in COLUMNS]).fill_null(""), separator=",")
    reasons = pl.concat_list(pl.when(fault).then(pl.lit(reason)) for reason, fault in FAULTS.items()).list.drop_nulls()
    line = pl.lit(None, dtype=pl.Int64)
    return checked.filter(~pl.col("good")).select(
        file="_file", line=line, raw=raw, reasons=reasons, received_at="received_at"
    )


def daily(readings: pl.LazyFrame) -> pl.LazyFrame:
    """Usage of each customer and day, with the hour that used most (the earliest, where some are equal)."""
    by_hour = readings.group_by("customer_id", "usage_date", hour=pl.col("start_time").dt.hour().cast(pl.Int32)).agg(
        pl.col("usage_kwh").sum(),
        readings=pl.len().cast(pl.Int64),
        first_reading=pl.col("start_time").min(),
        last_reading=pl.col("start_time").max(),
    )
    peak = pl.col("hour").filter(pl.col("usage_kwh") == pl.col("usage_kwh").max()).min()
    return by_hour.group_by("customer_id", "usage_date").agg(
        pl.col("usage_kwh").sum(),
        pl.col("readings").sum(),
        pl.col("first_reading").min(),
        pl.col("last_reading").max(),
        peak_hour=peak,
        _run=pl.lit(1, dtype=pl.Int64),
    )


def run(root: Path, paths: list[str]) -> dict[str, int]:
    """Load the files into new tables under `root`."""
    received = {path: datetime.fromtimestamp(os.stat(path).st_mtime, timezone.utc) for path in paths}
    files = dict(sorted(received.items(), key=lambda file: (file[1], file[0])))
    checked = check(scan(files))
    run = {"_loaded_at": pl.lit(datetime.now(timezone.utc)), "_run": pl.lit(1, dtype=pl.Int64)}
    # Both from one reading of the files.
    readings, bad = pl.collect_all([newest(checked, run), rejected(checked)], engine="streaming")

    def write(zone: str, table: str, rows: pl.DataFrame, partition_by: list[str] | None = None) -> int:
        path = root / zone / table
        write_deltalake(path, rows, partition_by=partition_by)
        return DeltaTable(path).count()

    return {
        "rejected": write("rejection", "readings", bad),
        "daily_usage": write("consumption", "daily_usage", daily(readings.lazy()).collect(engine="streaming")),
        "readings": write("standard", "readings", readings, ["usage_date"]),
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--root", type=Path, required=True)
    arguments.add_argument("files", nargs="+")
    options = arguments.parse_args()
    started = time.monotonic()
    counts = run(options.root, options.files)
    print(json.dumps({**counts, "seconds": round(time.monotonic() - started, 3)}))


if __name__ == "__main__":
    main()
