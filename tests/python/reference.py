"""What the utility job must make of raw files, in plain Python.

Nothing here is shared with lake: the standard library's `csv`, `decimal` and
`datetime` read the bytes, and the rules are written down a second time, slow and
obvious. Times are whole microseconds since 1970 in UTC, as in the tables.
"""

import codecs
import csv
import io
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

COLUMNS = ("customer_id", "meter_id", "start_time", "end_time", "usage_kwh", "region")
REGIONS = ("north", "south", "east", "west", "centre")

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MICROSECOND = timedelta(microseconds=1)

INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?", re.ASCII)
USAGE = re.compile(r"[+-]?0*\d{1,9}(\.\d{1,3})?", re.ASCII)
METER = re.compile(r"([A-Za-z]+)0*([0-9]*)", re.ASCII)


class Reading(NamedTuple):
    """A row of `standard/readings`, without the columns that depend on the run."""

    meter_id: str
    start_time: int
    customer_id: str
    end_time: int
    usage_kwh: Decimal
    region: str
    usage_date: date
    received_at: int
    file: str
    line: int


class Rejected(NamedTuple):
    """A row of `rejection/readings`; `faults` says what is wrong, one entry for each reason."""

    file: str
    line: int
    byte_offset: int
    raw: str
    received_at: int
    faults: tuple[str, ...]


class DailyUsage(NamedTuple):
    """A row of `consumption/daily_usage`, without the run."""

    customer_id: str
    usage_date: date
    usage_kwh: Decimal
    readings: int
    first_reading: int
    last_reading: int
    peak_hour: int


class Record(NamedTuple):
    """One record of a file; `fields` is None where quotes leave them undefined."""

    line: int
    byte_offset: int
    raw: bytes
    fields: list[bytes] | None


class Expected(NamedTuple):
    """The three tables."""

    readings: list[Reading]
    rejected: list[Rejected]
    daily_usage: list[DailyUsage]


def expected(files: Iterable[Path]) -> Expected:
    """What the tables hold after the files were loaded, in whatever order and number of runs."""
    accepted: list[Reading] = []
    rejected: list[Rejected] = []
    for file in files:
        for row in rows(file):
            (accepted if isinstance(row, Reading) else rejected).append(row)
    readings = newest(accepted)
    return Expected(readings, rejected, daily_usage(readings))


def rows(file: Path) -> Iterator[Reading | Rejected]:
    """Every record of a file but the header, as what becomes of it."""
    received_at = os.stat(file).st_mtime_ns // 1000
    records = list(split(file.read_bytes()))
    names = [name.decode() for name in records[0].fields or []]
    for record in records[1:]:
        values, faults = check(names, record.fields, received_at)
        if faults:
            yield Rejected(file.name, record.line, record.byte_offset, text(record.raw), received_at, tuple(faults))
        else:
            yield Reading(**values, received_at=received_at, file=file.name, line=record.line)


def split(content: bytes) -> Iterator[Record]:
    """The records of a file, header included; blank lines are none.

    Latin-1 gives every byte a character of its own, so that `csv` can split
    bytes that are not UTF-8. A quote that is never closed spoils its line only.
    """
    mark = len(codecs.BOM_UTF8) if content.startswith(codecs.BOM_UTF8) else 0
    lines = [line.decode("latin-1") for line in io.BytesIO(content[mark:])]
    offsets = [mark]
    for line in lines:
        offsets.append(offsets[-1] + len(line))
    at = 0
    while at < len(lines):
        reader = csv.reader((lines[number] for number in range(at, len(lines))), strict=True)
        try:
            fields = [field.encode("latin-1") for field in next(reader)]
            end = at + reader.line_num
        except csv.Error:
            fields, end = None, at + 1
        raw = content[offsets[at] : offsets[end]].removesuffix(b"\n").removesuffix(b"\r")
        if raw:
            yield Record(at + 1, offsets[at], raw, fields)
        at = end


def check(names: list[str], fields: list[bytes] | None, received_at: int) -> tuple[dict, list[str]]:
    """The values of a record, and all that is wrong with it."""
    if fields is None:
        return {}, ["quote"]
    if len(fields) != len(names):
        return {}, ["field count"]
    values: dict = {}
    faults = []
    raw = dict(zip(names, fields))
    for column in COLUMNS:
        try:
            values[column] = parse(column, raw[column].decode())
        except UnicodeDecodeError:
            faults.append(f"{column}: not UTF-8")
        except ValueError as error:
            faults.append(f"{column}: {error}")
    starts, ends, usage = (values.get(column) for column in ("start_time", "end_time", "usage_kwh"))
    if usage is not None and usage < 0:
        faults.append("negative usage")
    if starts is not None and ends is not None and ends <= starts:
        faults.append("ends before it starts")
    if starts is not None and starts > received_at:
        faults.append("in the future")
    if "region" in values and values["region"] not in REGIONS:
        faults.append("unknown region")
    if starts is not None:
        values["usage_date"] = day_and_hour(starts)[0]
    return values, faults


def parse(column: str, value: str) -> str | int | Decimal:
    """A value in its column's type, or ValueError."""
    if value == "":
        raise ValueError("required")
    if column in ("start_time", "end_time"):
        return instant(value)
    if column == "usage_kwh":
        if not USAGE.fullmatch(value):
            raise ValueError("not a decimal(12,3)")
        return Decimal(value)
    return meter(value) if column == "meter_id" else value


def instant(value: str) -> int:
    """Microseconds since 1970; an instant without a zone is UTC."""
    if not INSTANT.fullmatch(value):
        raise ValueError("not an instant")
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return (moment - EPOCH) // MICROSECOND


def meter(value: str) -> str:
    """Letters and a number in one spelling; any other identifier is trimmed and upper-case."""
    trimmed = value.strip()
    together = re.sub(r"[\s-]", "", trimmed)
    found = METER.fullmatch(together)
    if found and together[-1].isdigit():
        letters, number = found.groups()
        return letters.upper() + number.rjust(7, "0")
    return trimmed.upper()


def text(raw: bytes) -> str:
    """Bytes as the tables show them: where they are not UTF-8, bad ones as `\\xNN` and backslashes doubled."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.replace(b"\\", b"\\\\").decode(errors="lake.escape")


def escape(error: UnicodeError) -> tuple[str, int]:
    """Keeps the bytes that could not be decoded."""
    return "".join(f"\\x{byte:02X}" for byte in error.object[error.start : error.end]), error.end


codecs.register_error("lake.escape", escape)


def newest(readings: Iterable[Reading]) -> list[Reading]:
    """One row for each meter and start: the one received last, by file and line where that is equal."""
    winner: dict[tuple[str, int], Reading] = {}
    for reading in sorted(readings, key=lambda row: (row.received_at, row.file, row.line)):
        winner[reading.meter_id, reading.start_time] = reading
    return list(winner.values())


def daily_usage(readings: Iterable[Reading]) -> list[DailyUsage]:
    """One row for each customer and UTC day."""
    groups: dict[tuple[str, date], list[Reading]] = defaultdict(list)
    for reading in readings:
        groups[reading.customer_id, reading.usage_date].append(reading)
    days = []
    for (customer, day), group in groups.items():
        by_hour: dict[int, Decimal] = defaultdict(Decimal)
        for reading in group:
            by_hour[day_and_hour(reading.start_time)[1]] += reading.usage_kwh
        starts = [reading.start_time for reading in group]
        peak = min(by_hour, key=lambda hour: (-by_hour[hour], hour))
        days.append(DailyUsage(customer, day, sum(by_hour.values()), len(group), min(starts), max(starts), peak))
    return days


def day_and_hour(micros: int) -> tuple[date, int]:
    """The UTC day and hour of a time."""
    moment = EPOCH + micros * MICROSECOND
    return moment.date(), moment.hour
