"""Makes the Parquet files that other writers have written: python make_parquet.py.

The versions that made those beside it: pyarrow 26.0.1, duckdb 1.5.5.
"""

import datetime as dt
import decimal
import pathlib

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).parent
ROWS = 3000

table = pa.table(
    {
        "id": pa.array(range(ROWS), pa.uint16()),
        "name": pa.array([f"name {n % 7}" for n in range(ROWS)]).dictionary_encode(),
        "price": pa.array(
            [None if n % 11 == 0 else decimal.Decimal(n) / 100 for n in range(ROWS)],
            pa.decimal128(9, 2),
        ),
        "at": pa.array(
            [dt.datetime(2026, 3, 1) + dt.timedelta(seconds=n) for n in range(ROWS)],
            pa.timestamp("ns"),
        ),
        "day": pa.array([dt.date(9999, 12, 31)] * ROWS),
        "tags": pa.array([[str(n), None][: n % 3] for n in range(ROWS)], pa.list_(pa.string())),
        "more": pa.array([[("k", n)] for n in range(ROWS)], pa.map_(pa.string(), pa.int32())),
        "text": pa.array([str(n) for n in range(ROWS)], pa.large_string()),
    }
)
pq.write_table(
    table,
    HERE / "pyarrow.parquet",
    compression="snappy",
    use_deprecated_int96_timestamps=True,
    write_page_checksum=True,
    data_page_size=2000,
    row_group_size=2000,
)

duckdb.sql(
    f"""
    COPY (
        SELECT
            n::INTEGER AS id,
            'name ' || n % 7 AS name,
            CASE WHEN n % 11 <> 0 THEN (n / 100)::DECIMAL(9, 2) END AS price,
            TIMESTAMP '2026-03-01' + to_seconds(n) AS at,
            DATE '9999-12-31' AS day,
            [n::VARCHAR, NULL][1:n % 3] AS tags,
            MAP {{'k': n::INTEGER}} AS more,
            n::VARCHAR AS text
        FROM range({ROWS}) AS numbers(n)
    ) TO '{HERE / "duckdb.parquet"}' (FORMAT parquet, COMPRESSION gzip, ROW_GROUP_SIZE 2048)
    """
)
