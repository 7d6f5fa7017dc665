#!/usr/bin/env python3
"""What other readers make of raw files: `other_readers.py < jobs.json`.

Standard input is a JSON array of jobs. Each names a reader of `READERS` (or a
writer of `WRITERS`), a file, its columns with their declared types, and options. For
every job, in order, standard output gets a line `{"rows": …}`, or `{"failed": …}`
with the reason, and then a line per row: a JSON array of values in one form.

    text        as it is                decimal     all digits of its scale
    integers    their digits            date        YYYY-MM-DD
    booleans    true, false             timestamp   microseconds since 1970, UTC
    float64     its bits, in hex        json        without white space between tokens
    list        an array                struct      an object
    map         an array of arrays of key and value

Every form but the nested ones is a string. NULL is null.
"""

import csv
import io
import json
import struct
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow
import pyarrow.parquet

Type = str | dict[str, Any]
"""The name of a scalar, or `{"list": type}`, `{"map": type}`, `{"struct": {name: type}}`."""

Job = dict[str, Any]
Rows = Iterable[list[Any]]

EPOCH = datetime(1970, 1, 1)
MICROSECOND = timedelta(microseconds=1)


def main() -> None:
    csv.field_size_limit(sys.maxsize)
    out = sys.stdout
    for job in json.load(sys.stdin):
        try:
            if job.get("writer"):
                WRITERS[job["writer"]](job)
                rows = []
            else:
                rows = list(READERS[job["reader"]](job))
        except Exception as e:  # Whatever it is: the test shows it, with the file.
            out.write(json.dumps({"failed": f"{type(e).__name__}: {e}"}) + "\n")
            continue
        out.write(json.dumps({"rows": len(rows)}) + "\n")
        for row in rows:
            out.write(json.dumps(row) + "\n")


# Python's own csv and json.


def python_csv(job: Job) -> Rows:
    """Fields as `csv` finds them; values as the standard library parses them.

    `csv` does not tell a quoted empty field from one without quotes: an empty text is never NULL here.
    """
    columns, options = job["columns"], job["options"]
    dialect: dict[str, Any] = {"delimiter": options["delimiter"], "strict": True}
    if options["quote"]:
        dialect |= {"quotechar": options["quote"], "doublequote": not options["escape"]}
    else:
        dialect |= {"quoting": csv.QUOTE_NONE, "quotechar": None}
    if options["escape"]:
        dialect["escapechar"] = options["escape"]
    with opened(job) as file:
        records = csv.reader(file, **dialect)
        if options["header"]:
            names = next(records)
            assert names == [column["name"] for column in columns], names
        for record in records:
            assert len(record) == len(columns), record
            yield [
                field if column["type"] == "text" else None if field == "" else form(parsed(field, column["type"]), column["type"])
                for field, column in zip(record, columns)
            ]


def opened(job: Job) -> io.TextIOWrapper:
    """The text of a file, unpacked; no line end is changed."""
    options = job["options"]
    if options.get("compression"):
        file = pyarrow.input_stream(job["file"], compression=options["compression"])
    else:
        file = open(job["file"], "rb")
    return io.TextIOWrapper(file, encoding=codec(job), newline="")


def codec(job: Job) -> str:
    """The encoding as Python names it: a byte order mark of UTF-8 is skipped."""
    encoding = job["options"].get("encoding") or "utf-8"
    return {"utf-8": "utf-8-sig", "utf-16le": "utf-16-le", "utf-16be": "utf-16-be"}.get(encoding, encoding)


def parsed(text: str, type: str) -> Any:
    """The value that a text says."""
    match type:
        case "text" | "json":
            return text
        case "boolean":
            return {"true": True, "false": False}[text.lower()]
        case "int32" | "int64":
            # JSON has `1.0` and `1e3` for whole numbers as well.
            return int(text) if text.lstrip("+-").isdigit() else whole(Decimal(text))
        case "float64":
            return float(text)
        case "date":
            return date.fromisoformat(text)
        case "timestamp":
            return datetime.fromisoformat(text)
    assert type.startswith("decimal"), type
    return Decimal(text)


def whole(number: Decimal) -> int:
    assert number == int(number), number
    return int(number)


class Number(str):
    """A number in JSON, as it is written."""


def python_ndjson(job: Job) -> Rows:
    """Every line as `json` parses it; numbers are exact."""
    with opened(job) as file:
        for line in file.read().split("\n"):
            if line.strip():
                yield declared(json.loads(line, parse_float=Number, parse_int=Number), job)


def python_json(job: Job) -> Rows:
    """An array of objects as `json` parses it; numbers are exact."""
    text = opened(job).read()
    for record in json.loads(text, parse_float=Number, parse_int=Number):
        yield declared(record, job)


def python_json_sequence(job: Job) -> Rows:
    """One object after the other, as `json` parses each."""
    text = opened(job).read()
    decoder = json.JSONDecoder(parse_float=Number, parse_int=Number)
    at = 0
    while rest := text[at:].lstrip(" \t\r\n"):
        record, end = decoder.raw_decode(rest)
        at = len(text) - len(rest) + end
        yield declared(record, job)


def declared(record: dict[str, Any], job: Job) -> list[Any]:
    return [form(meant(record.get(column["name"]), column["type"]), column["type"]) for column in job["columns"]]


def meant(value: Any, type: Type) -> Any:
    """A value of JSON as what is declared."""
    if value is None:
        return None
    if type == "json":
        return compact(value)
    if isinstance(type, str):
        return value if isinstance(value, bool) else parsed(value, type)
    if "list" in type:
        return [meant(element, type["list"]) for element in value]
    if "map" in type:
        return {key: meant(element, type["map"]) for key, element in value.items()}
    return {name: meant(value.get(name), field) for name, field in type["struct"].items()}


def compact(value: Any) -> str:
    """JSON without white space, numbers as they were."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, list):
        return "[" + ",".join(map(compact, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name, ensure_ascii=False)}:{compact(v)}" for name, v in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


# DuckDB.


def duckdb_csv(job: Job) -> Rows:
    """`read_csv`, told everything that it would guess."""
    options = job["options"]
    settings = [
        "auto_detect = false",
        "allow_quoted_nulls = false",
        "nullstr = ''",
        "max_line_size = 16777216",
        "buffer_size = 67108864",
        # Otherwise it takes a line end from within quotes for that of the file.
        f"new_line = {literal(repr(options['line_end'])[1:-1])}",
        f"header = {str(options['header']).lower()}",
        f"delim = {literal(options['delimiter'])}",
        f"quote = {literal(options['quote'])}",
        f"escape = {literal(options['escape'] or options['quote'])}",
        f"comment = {literal(options['comment'])}",
        f"parallel = {str(options['parallel']).lower()}",
        *compression(job),
    ]
    return duckdb_rows(job, "read_csv", settings)


def duckdb_ndjson(job: Job) -> Rows:
    return duckdb_read_json(job, "newline_delimited")


def duckdb_json(job: Job) -> Rows:
    return duckdb_read_json(job, "array")


def duckdb_json_sequence(job: Job) -> Rows:
    return duckdb_read_json(job, "unstructured")


def duckdb_read_json(job: Job, format: str) -> Rows:
    settings = [f"format = {literal(format)}", "maximum_object_size = 16777216", *compression(job)]
    return duckdb_rows(job, "read_json", settings)


def compression(job: Job) -> list[str]:
    return [f"compression = {literal(job['options'].get('compression') or 'uncompressed')}"]


def duckdb_parquet(job: Job) -> Rows:
    return duckdb_rows(job, "read_parquet", None)


def duckdb_rows(job: Job, function: str, settings: list[str] | None) -> Iterator[list[Any]]:
    columns = job["columns"]
    arguments = [literal(job["file"])]
    if settings is not None:
        types = ", ".join(f"{literal(column['name'])}: {literal(sql_type(column['type']))}" for column in columns)
        arguments += [f"columns = {{{types}}}", *settings]
    # What a file stores otherwise is read as what is declared; other formats are told with the columns.
    selected = ", ".join(selection(column, cast=settings is None) for column in columns)
    connection = utc()
    answer = connection.execute(f"SELECT {selected} FROM {function}({', '.join(arguments)})")
    while rows := answer.fetchmany(1000):
        for row in rows:
            yield [form(value, column["type"]) for value, column in zip(row, columns)]


def selection(column: dict[str, Any], cast: bool) -> str:
    name = '"' + column["name"].replace('"', '""') + '"'
    if cast:
        name += "::" + sql_type(column["type"])
    # An instant as a number, because Python's would need a database of time zones.
    return f"epoch_us({name})" if column["type"] == "timestamp" else name


def utc() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def sql_type(type: Type) -> str:
    if isinstance(type, str):
        names = {
            "text": "VARCHAR", "json": "JSON", "boolean": "BOOLEAN", "int32": "INTEGER", "int64": "BIGINT",
            "float64": "DOUBLE", "date": "DATE", "timestamp": "TIMESTAMPTZ",
        }
        return names.get(type, type)
    if "list" in type:
        return sql_type(type["list"]) + "[]"
    if "map" in type:
        return f"MAP(VARCHAR, {sql_type(type['map'])})"
    return "STRUCT(" + ", ".join(f'"{name}" {sql_type(field)}' for name, field in type["struct"].items()) + ")"


def literal(text: str | None) -> str:
    return "'" + (text or "").replace("'", "''") + "'"


# Files stored in another way.


def pack(job: Job) -> None:
    """A file in another encoding, or compressed in three pieces."""
    text = Path(job["plain"]).read_bytes().decode("utf-8-sig")
    encoding = {"utf-8-sig": "utf-8"}.get(codec(job), codec(job))
    data = text.encode(encoding)
    if codec_name := job["options"]["compression"]:
        third = len(data) // 3
        pieces = data[:third], data[third : 2 * third], data[2 * third :]
        data = b"".join(packed(piece, codec_name) for piece in pieces)
    Path(job["file"]).write_bytes(data)


def packed(data: bytes, compression: str) -> bytes:
    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, compression) as out:
        out.write(data)
    return sink.getvalue().to_pybytes()


# Parquet files by other writers, of values in the one form.


def pyarrow_writes(job: Job) -> None:
    """A Parquet file; a column may be stored as another type than the one it is declared as."""
    columns, options = job["columns"], job["options"]
    rows = read_form(job)
    arrays = [
        pyarrow.array(values, arrow_type(column["type"])).cast(stored_type(column))
        for column, values in zip(columns, zip(*rows) if rows else [()] * len(columns))
    ]
    table = pyarrow.table(arrays, names=[column["name"] for column in columns])
    pyarrow.parquet.write_table(
        table, job["file"], compression=options["compression"], row_group_size=options["row_group_rows"],
        data_page_version=options["page_version"], use_dictionary=options["dictionary"], data_page_size=options["page_bytes"],
        use_deprecated_int96_timestamps=options["int96"],
    )


def duckdb_writes(job: Job) -> None:
    """A Parquet file, of rows that DuckDB gets from Arrow."""
    columns, options = job["columns"], job["options"]
    rows = read_form(job)
    arrays = [
        pyarrow.array(values, arrow_type(column["type"]))
        for column, values in zip(columns, zip(*rows) if rows else [()] * len(columns))
    ]
    table = pyarrow.table(arrays, names=[column["name"] for column in columns])
    connection = utc()
    connection.register("declared", table)
    connection.execute(
        f"COPY declared TO {literal(job['file'])} (FORMAT parquet, CODEC {literal(options['compression'])}, "
        f"ROW_GROUP_SIZE {options['row_group_rows']})"
    )


def read_form(job: Job) -> list[list[Any]]:
    """The rows that a test wrote, a line each."""
    with open(job["rows"], encoding="utf-8") as lines:
        return [
            [unformed(value, column["type"]) for value, column in zip(json.loads(line), job["columns"])]
            for line in lines
        ]


def unformed(value: Any, type: Type) -> Any:
    """What a value in the one form is to Arrow."""
    if value is None:
        return None
    if type == "timestamp":
        return int(value)
    if type == "float64":
        return struct.unpack(">d", bytes.fromhex(value))[0]
    if isinstance(type, str):
        return parsed(value, type)
    if "list" in type:
        return [unformed(element, type["list"]) for element in value]
    if "map" in type:
        return [(key, unformed(element, type["map"])) for key, element in value]
    return {name: unformed(value[name], field) for name, field in type["struct"].items()}


def arrow_type(type: Type) -> pyarrow.DataType:
    if isinstance(type, str):
        if type.startswith("decimal"):
            precision, scale = type.removeprefix("decimal(").removesuffix(")").split(", ")
            return pyarrow.decimal128(int(precision), int(scale))
        return {
            "text": pyarrow.string(), "json": pyarrow.string(), "boolean": pyarrow.bool_(), "int32": pyarrow.int32(),
            "int64": pyarrow.int64(), "float64": pyarrow.float64(), "date": pyarrow.date32(),
            "timestamp": pyarrow.timestamp("us", "UTC"),
        }[type]
    if "list" in type:
        return pyarrow.list_(arrow_type(type["list"]))
    if "map" in type:
        return pyarrow.map_(pyarrow.string(), arrow_type(type["map"]))
    return pyarrow.struct([(name, arrow_type(field)) for name, field in type["struct"].items()])


def stored_type(column: dict[str, Any]) -> pyarrow.DataType:
    """The type in the file: `timestamp[ns]`, `decimal(20, 4)`, or another of Arrow's own names."""
    stored = column.get("stored")
    if stored is None:
        return arrow_type(column["type"])
    if stored.startswith("decimal"):
        return arrow_type(stored)
    if stored == "dictionary":
        return pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    if stored == "int96":
        return pyarrow.timestamp("ns", "UTC")
    if stored.startswith("timestamp"):
        unit, _, zone = stored.removeprefix("timestamp[").removesuffix("]").partition(", ")
        return pyarrow.timestamp(unit, zone or None)
    return pyarrow.type_for_alias(stored)


# The one form.


def form(value: Any, type: Type) -> Any:
    if value is None:
        return None
    if isinstance(type, str):
        return scalar_form(value, type)
    if "list" in type:
        return [form(element, type["list"]) for element in value]
    if "map" in type:
        entries = value.items() if isinstance(value, dict) else value
        return [[key, form(element, type["map"])] for key, element in entries]
    return {name: form(value[name], field) for name, field in type["struct"].items()}


def scalar_form(value: Any, type: str) -> str:
    match type:
        case "text" | "json":
            return value
        case "boolean":
            return {True: "true", False: "false"}[value]
        case "int32" | "int64":
            return str(int(value))
        case "float64":
            return struct.pack(">d", value).hex()
        case "date":
            return value.isoformat()
        case "timestamp":
            return str(value if isinstance(value, int) else microseconds(value))
    scale = int(type.removesuffix(")").split(", ")[1])
    digits = f"{value:.{scale}f}"
    assert Decimal(digits) == value, f"{value} is no {type}"
    return digits.removeprefix("-") if Decimal(digits) == 0 else digits


def microseconds(instant: datetime) -> int:
    """Since 1970. Nothing is added to the instant, which may be at the end of what Python has."""
    offset = instant.utcoffset() or timedelta()
    return (instant.replace(tzinfo=None) - EPOCH - offset) // MICROSECOND


READERS: dict[str, Callable[[Job], Rows]] = {
    "Python's csv": python_csv,
    "Python's json, line by line": python_ndjson,
    "Python's json": python_json,
    "Python's json, object by object": python_json_sequence,
    "DuckDB's read_csv": duckdb_csv,
    "DuckDB's read_json, line by line": duckdb_ndjson,
    "DuckDB's read_json": duckdb_json,
    "DuckDB's read_json, object by object": duckdb_json_sequence,
    "DuckDB's read_parquet": duckdb_parquet,
}
WRITERS: dict[str, Callable[[Job], None]] = {"pyarrow": pyarrow_writes, "DuckDB": duckdb_writes, "the packer": pack}

if __name__ == "__main__":
    main()
