#!/usr/bin/env python3
"""The utility job in DuckDB + deltalake: `duckdb_job.py --root DIR FILE...`.

As a good engineer would write it for a first load: text columns, one pass of
checks, the newest row of a key, three Delta tables. Prints counts and seconds
as JSON. What it cannot give is listed in README.md.
"""

import argparse
import json
import os
import time
from pathlib import Path

import duckdb
from deltalake import DeltaTable, write_deltalake

COLUMNS = ["customer_id", "meter_id", "start_time", "end_time", "usage_kwh", "region"]

# The files come in the order of (received_at, name), and a table filled straight
# from a reader keeps the order of rows, so its `rowid` decides which row of a key
# is the newest. (Counting with row_number() would keep it in one query, and the
# reader on one core.) A short, long or undecodable row is left out by the reader
# and listed in `reject_errors`.
READ = """
CREATE TEMP TABLE text_row AS
SELECT *, file_index::BIGINT + 1 AS file_number
FROM read_csv($files, columns = {columns}, header = true, auto_detect = false,
              delim = ',', quote = '"', escape = '"', filename = '_file',
              store_rejects = true, rejects_limit = 0)
"""

# Most meters are spelled as they should be, and text functions are slow.
NORMALISE = """
CREATE TEMP MACRO normalise_meter(id) AS CASE
    WHEN regexp_full_match(id, '[A-Z]+[0-9]{7}') THEN id
    WHEN regexp_full_match(translate(upper(id), ' -', ''), '[A-Z]+[0-9]+') THEN
        regexp_extract(translate(upper(id), ' -', ''), '[A-Z]+')
        || repeat('0', 7 - len(regexp_extract(id, '[1-9][0-9 -]*$').translate(' -', '')))
        || regexp_extract(id, '[1-9][0-9 -]*$').translate(' -', '')
    ELSE upper(trim(id))
END
"""

# A decimal with more than three places would be rounded, not refused; compared
# with a wider one it shows. Text and reasons are kept for bad rows only.
CHECK = """
CREATE TEMP TABLE checked AS
WITH parsed AS (
    SELECT *, rowid AS file_row, to_timestamp($received[file_number]) AS received_at,
        TRY_CAST(start_time AS TIMESTAMPTZ) AS starts,
        TRY_CAST(end_time AS TIMESTAMPTZ) AS ends,
        TRY_CAST(usage_kwh AS DECIMAL(12, 3)) AS kwh,
        TRY_CAST(usage_kwh AS DECIMAL(18, 9)) IS NOT DISTINCT FROM kwh AS kwh_exact,
        normalise_meter(meter_id) AS meter_key,
        coalesce(
            customer_id <> '' AND meter_id <> ''
            AND kwh_exact AND kwh >= 0
            AND ends > starts AND starts <= received_at
            AND region IN ('north', 'south', 'east', 'west', 'centre'), false) AS good
    FROM text_row
)
SELECT
    good, customer_id, meter_key, starts, ends, kwh, region, received_at, _file, file_row,
    CASE WHEN NOT good THEN array_to_string(
        [ifnull(v, '') FOR v IN [customer_id, meter_id, start_time, end_time, usage_kwh, region]], ',') END AS raw,
    CASE WHEN NOT good THEN list_filter([
        CASE WHEN customer_id IS NULL THEN 'customer_id is required' END,
        CASE WHEN meter_id IS NULL THEN 'meter_id is required' END,
        CASE WHEN start_time IS NULL THEN 'start_time is required'
             WHEN starts IS NULL THEN 'start_time is no instant' END,
        CASE WHEN end_time IS NULL THEN 'end_time is required'
             WHEN ends IS NULL THEN 'end_time is no instant' END,
        CASE WHEN usage_kwh IS NULL THEN 'usage_kwh is required'
             WHEN kwh IS NULL OR NOT kwh_exact THEN 'usage_kwh is no decimal(12,3)' END,
        CASE WHEN region IS NULL THEN 'region is required'
             WHEN region NOT IN ('north', 'south', 'east', 'west', 'centre') THEN 'region is unknown' END,
        CASE WHEN kwh < 0 THEN 'usage is negative' END,
        CASE WHEN ends <= starts THEN 'reading does not end after it starts' END,
        CASE WHEN starts > received_at THEN 'reading is in the future' END
    ], lambda reason: reason IS NOT NULL) END AS reasons
FROM parsed
"""

REJECTED = """
SELECT _file AS file, NULL::BIGINT AS line, raw, reasons, received_at FROM checked WHERE NOT good
UNION ALL
SELECT any_value(file_path), line::BIGINT, any_value(csv_line), list(DISTINCT error_message),
    any_value(to_timestamp($received[file_id::BIGINT + 1]))
FROM reject_errors JOIN reject_scans USING (scan_id, file_id)
GROUP BY scan_id, file_id, line
"""

STANDARD = """
CREATE TEMP TABLE reading AS
SELECT
    customer_id, meter_key AS meter_id, starts AS start_time, ends AS end_time, kwh AS usage_kwh, region,
    CAST(starts AT TIME ZONE 'UTC' AS DATE) AS usage_date,
    received_at, _file, file_row, $loaded_at::TIMESTAMPTZ AS _loaded_at, 1::BIGINT AS _run
FROM checked
WHERE good AND file_row IN (SELECT max(file_row) FROM checked WHERE good GROUP BY meter_key, starts)
"""

DAILY = """
WITH hour AS (
    SELECT customer_id, usage_date, hour(start_time AT TIME ZONE 'UTC') AS hour_of_day,
        sum(usage_kwh) AS usage_kwh, count(*) AS readings,
        min(start_time) AS first_reading, max(start_time) AS last_reading
    FROM reading GROUP BY ALL
)
SELECT customer_id, usage_date, sum(usage_kwh)::DECIMAL(18, 3) AS usage_kwh, sum(readings)::BIGINT AS readings,
    min(first_reading) AS first_reading, max(last_reading) AS last_reading,
    arg_max(hour_of_day, (usage_kwh, -hour_of_day)) AS peak_hour, 1::BIGINT AS _run
FROM hour GROUP BY customer_id, usage_date
"""


def run(root: Path, files: list[str]) -> dict[str, int]:
    """Load `files` into new tables under `root`."""
    received = {file: os.stat(file).st_mtime for file in files}
    files = sorted(files, key=lambda file: (received[file], file))
    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")
    database.execute(NORMALISE)
    columns = str({name: "VARCHAR" for name in COLUMNS})
    instants = [received[file] for file in files]
    database.execute(READ.replace("{columns}", columns), {"files": files})
    database.execute(CHECK, {"received": instants})
    database.execute("DROP TABLE text_row")
    database.execute(STANDARD, {"loaded_at": time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime())})

    def write(zone: str, table: str, sql: str, partition_by: list[str] | None = None, **values: list) -> int:
        # A relation is an Arrow stream: it is written batch by batch.
        path = root / zone / table
        write_deltalake(path, database.sql(sql, params=values or None), partition_by=partition_by)
        return DeltaTable(path).count()

    rejected = write("rejection", "readings", REJECTED, received=instants)
    database.execute("DROP TABLE checked")
    return {
        "rejected": rejected,
        "readings": write("standard", "readings", "FROM reading", ["usage_date"]),
        "daily_usage": write("consumption", "daily_usage", DAILY),
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
