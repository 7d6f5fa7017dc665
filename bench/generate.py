#!/usr/bin/env python3
"""Write N rows of meter readings as CSV files: `generate.py 10000000`.

The same N gives the same bytes, with the same modification time, on every
machine (with the pinned DuckDB, whose `hash` is the source of chance). The rows
look like what a utility receives: hourly readings of many meters over 60 days,
in time order, cut into eight files of which each covers about a week; one
meter in three shares its customer with two others. In between are

* corrections, about 3 %: a reading that came before, with another value, half
  of them from the same file and half from any earlier one;
* bad rows, about 1 %: every fault of `FAULTS` equally often;
* things that are good and make readers stumble: quoted commas, quoted line
  breaks, letters outside ASCII, several spellings of one meter, instants
  without a time zone.

With `--clean` there are no bad rows and no quoted line breaks: what readers take
that stop at the first bad row, and that cut files at any line end.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import duckdb

FORMAT = 1
"""Goes up when the rows change, so that older data is written again."""

FILES = 8
HOURS = 60 * 24
RECEIVED_AT = 1_773_532_800
"""Modification time of every file: 2026-03-15T00:00:00Z, after all readings."""

BAD_BYTE = "\x01"
"""Stands for a byte that is not UTF-8 (0xFF) until the file is finished: SQL text cannot hold one."""

FAULTS = {
    "no customer": "concat_ws(',', '', meter, begins, ends, kwh, region)",
    "no meter": "concat_ws(',', customer, '', begins, ends, kwh, region)",
    "no usage": "concat_ws(',', customer, meter, begins, ends, '', region)",
    "start is no instant": "concat_ws(',', customer, meter, 'yesterday', ends, kwh, region)",
    "end is no day of the calendar": "concat_ws(',', customer, meter, begins, '2026-02-30T01:00:00Z', kwh, region)",
    "usage is text": "concat_ws(',', customer, meter, begins, ends, 'n/a', region)",
    "usage is too precise": "concat_ws(',', customer, meter, begins, ends, kwh || '7', region)",
    "usage is negative": "concat_ws(',', customer, meter, begins, ends, '-' || kwh, region)",
    "ends before it starts": "concat_ws(',', customer, meter, ends, begins, kwh, region)",
    "in the future": "concat_ws(',', customer, meter, '2999' || begins[5:], '2999' || ends[5:], kwh, region)",
    "unknown region": "concat_ws(',', customer, meter, begins, ends, kwh, 'atlantis')",
    "a field is missing": "concat_ws(',', customer, meter, begins, ends, kwh)",
    "a field too many": "concat_ws(',', customer, meter, begins, ends, kwh, region, 'kWh')",
    "not UTF-8": f"concat_ws(',', customer, meter || '{BAD_BYTE}', begins, ends, kwh, region)",
    "several at once": "concat_ws(',', '', meter, begins, 'soon', '-1.000', 'atlantis')",
}


def rows_sql(total: int, first: int, end: int, clean: bool = False) -> str:
    """The lines `first..end` of `total`, one text column, in order.

    A line's number alone decides its content. Numbers count through all meters
    of an hour, then through the hours; a correction takes meter and hour from an
    earlier number. `hash(line, 'salt')` gives each decision a die of its own.
    """
    meters = max(1, -(-total // HOURS))
    bad_of_hundred = 0 if clean else 1
    market = "concat('\"Markthalle ', meter_no // 3, ', Halle 2\"')" if clean else (
        "'\"Markthalle ' || meter_no // 3 || chr(10) || 'Halle 2\"'")
    faults = "\n".join(f"WHEN {n} THEN {sql}" for n, sql in enumerate(FAULTS.values()))
    return f"""
    WITH line AS (
        SELECT range AS line FROM range({first}, {end})
    ), slot AS (
        SELECT line, CASE
            WHEN line = 0 OR hash(line, 'correction') % 100 >= 3 THEN line
            WHEN hash(line, 'reach') % 2 = 0 THEN line - 1 - (hash(line, 'near') % least(line, 5000::BIGINT))::BIGINT
            ELSE (hash(line, 'far') % line)::BIGINT
        END AS slot
        FROM line
    ), reading AS (
        SELECT line, slot % {meters} AS meter_no, slot // {meters} AS hour_no FROM slot
    ), field AS (
        SELECT
            line,
            CASE
                WHEN meter_no // 3 % 200 = 7 THEN '"Stadtwerke Süd, Nr. ' || meter_no // 3 || '"'
                WHEN meter_no // 3 % 2000 = 11 THEN {market}
                ELSE printf('C%06d', meter_no // 3)
            END AS customer,
            CASE hash(line, 'spelling') % 20
                WHEN 0 THEN ' m-' || meter_no || ' '
                WHEN 1 THEN 'm' || meter_no
                WHEN 2 THEN printf('M %07d', meter_no)
                ELSE printf('M%07d', meter_no)
            END AS meter,
            strftime(TIMESTAMP '2026-01-01 00:00:00' + to_hours(hour_no), '%Y-%m-%dT%H:%M:%S')
                || CASE WHEN hash(line, 'zone') % 64 = 0 THEN '' ELSE 'Z' END AS begins,
            strftime(TIMESTAMP '2026-01-01 01:00:00' + to_hours(hour_no), '%Y-%m-%dT%H:%M:%SZ') AS ends,
            -- In thousandths, so that no float is involved; more in the evening than at night, so that days have a peak.
            200 + hash(line, 'usage') % 1500 + 150 * (12 - least((hour_no + 5) % 24, (43 - hour_no % 24) % 24)) AS wh,
            printf('%d.%03d', wh // 1000, wh % 1000) AS kwh,
            ['north', 'south', 'east', 'west', 'centre'][1 + meter_no // 3 % 5] AS region
        FROM reading
    )
    SELECT CASE
        WHEN hash(line, 'bad') % 100 < {bad_of_hundred} THEN CASE hash(line, 'fault') % {len(FAULTS)} {faults} END
        ELSE concat_ws(',', customer, meter, begins, ends, kwh, region)
    END AS "customer_id,meter_id,start_time,end_time,usage_kwh,region"
    FROM field
    """


def write_file(database: duckdb.DuckDBPyConnection, total: int, number: int, directory: Path, clean: bool) -> None:
    """Write file `number` under a temporary name, then put it in its place."""
    first, end = total * number // FILES, total * (number + 1) // FILES
    draft = directory / f".part-{number}"
    # The text is CSV already: nothing may be quoted again, hence the delimiter that never occurs.
    database.execute(
        f"COPY ({rows_sql(total, first, end, clean)}) TO '{draft}' (FORMAT csv, QUOTE '', ESCAPE '', DELIMITER '\x02')"
    )
    target = directory / f"readings-{number}.csv"
    bad_byte = bytes.maketrans(BAD_BYTE.encode(), b"\xff")
    with open(draft, "rb") as source, open(target, "wb") as out:
        while chunk := source.read(8 << 20):
            out.write(chunk.translate(bad_byte))
    draft.unlink()
    os.utime(target, (RECEIVED_AT, RECEIVED_AT))


def generate(total: int, directory: Path, clean: bool = False) -> None:
    """Fill `directory`, unless it already holds just this."""
    mark = directory / ".complete.json"
    wanted = {"rows": total, "format": FORMAT, "duckdb": duckdb.__version__}
    if mark.exists() and json.loads(mark.read_text()) == wanted:
        return
    directory.mkdir(parents=True, exist_ok=True)
    mark.unlink(missing_ok=True)
    started = time.monotonic()
    database = duckdb.connect()
    for number in range(FILES):
        write_file(database, total, number, directory, clean)
    mark.write_text(json.dumps(wanted))
    size = sum(file.stat().st_size for file in directory.glob("*.csv"))
    seconds = time.monotonic() - started
    print(f"{directory}: {total:,} rows, {size / 1e6:,.0f} MB in {seconds:.1f} s", file=sys.stderr)


def data_directory(total: int, clean: bool = False) -> Path:
    """Where the data of a size lives."""
    return Path(__file__).parent / "data" / f"{'clean' if clean else 'utility'}-{total}"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("rows", type=int, nargs="+", help="how many rows, for instance 1000000")
    arguments.add_argument("--clean", action="store_true", help="without bad rows and quoted line breaks")
    options = arguments.parse_args()
    for total in options.rows:
        generate(total, data_directory(total, options.clean), options.clean)


if __name__ == "__main__":
    main()
