"""Answers SQL over Delta tables with DuckDB, as CSV without a header.

    query_delta.py SQL NAME=PLACE...     # each NAME is a view of the table there

A place is a directory, or the URL of one in S3, which is reached as AWS_ENDPOINT_URL,
AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY say.
"""

import os
import sys
from urllib.parse import urlsplit

import duckdb
import duckdb_extension_httpfs
from check_tables import duckdb_with_delta, load


def reach_s3(database: duckdb.DuckDBPyConnection) -> None:
    """Loads what DuckDB reads S3 with, and says where that is."""
    load(database, duckdb_extension_httpfs, "httpfs")
    endpoint = urlsplit(os.environ["AWS_ENDPOINT_URL"])
    key, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    database.execute(
        f"CREATE SECRET (TYPE s3, KEY_ID '{key}', SECRET '{secret}', REGION 'us-east-1', "
        f"ENDPOINT '{endpoint.netloc}', URL_STYLE 'path', USE_SSL {endpoint.scheme == 'https'})"
    )


def main() -> None:
    sql, *tables = sys.argv[1:]
    database = duckdb_with_delta()
    if any("=s3://" in table for table in tables):
        reach_s3(database)
    for table in tables:
        name, directory = table.split("=", 1)
        database.execute(f"CREATE VIEW {name} AS SELECT * FROM delta_scan('{directory}')")
    for row in database.execute(sql).fetchall():
        print(",".join(str(value) for value in row))


if __name__ == "__main__":
    main()
