"""Answers SQL over Delta tables with DuckDB, as CSV without a header.

    query_delta.py SQL NAME=DIRECTORY...     # each NAME is a view of the table there
"""

import sys

from check_tables import duckdb_with_delta


def main() -> None:
    sql, *tables = sys.argv[1:]
    database = duckdb_with_delta()
    for table in tables:
        name, directory = table.split("=", 1)
        database.execute(f"CREATE VIEW {name} AS SELECT * FROM delta_scan('{directory}')")
    for row in database.execute(sql).fetchall():
        print(",".join(str(value) for value in row))


if __name__ == "__main__":
    main()
