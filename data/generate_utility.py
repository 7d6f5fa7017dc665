#!/usr/bin/env python3
"""Writes `data/utility/`: four days of meter readings as a small utility sends them.

One file for each day, hourly readings of fourteen meters of nine customers. The
same bytes come out every time. In between is what such files really hold:

* corrections of earlier readings, in the same file and in later ones;
* rows that are bad, each in its own way (`FAULTS`);
* one meter spelled in many ways, quoted values, a value with a line break, an
  instant with another zone or none, a file with CRLF line ends.
"""

import random
from datetime import datetime, timedelta
from pathlib import Path

HEADER = "customer_id,meter_id,start_time,end_time,usage_kwh,region"
FIRST_DAY = datetime(2026, 2, 2)
DAYS = 4
CRLF_DAY = 2
HOUR = timedelta(hours=1)

# Customer, region, meters, and usage in watt-hours: by night and at most.
CUSTOMERS = [
    ("C-1001", "north", [42], 180, 900),
    ("C-1002", "north", [43, 44], 150, 1_400),
    ("C-1003", "east", [57], 90, 600),
    ("C-1004", "east", [58], 210, 1_100),
    ("C-1005", "south", [101, 102], 320, 2_100),
    ("C-1006", "south", [103], 140, 800),
    ("C-1007", "west", [211], 170, 950),
    ("Bäckerei Lindner, Filiale 2", "west", [305, 306], 2_400, 9_800),
    ("C-1009", "centre", [7001, 7002], 400, 3_000),
]
# Moves in on the last evening; the name was typed with a line break, which is legal CSV.
NEWCOMER = ('Markthalle\nStand "7"', "centre", 7003)

SPELLINGS = ["M{:07}", "M{:07}", "M{:07}", "m{:07}", " m-{} ", "M {:07}", "M-{:04}"]

FAULTS = {
    0: [
        lambda row: row | {"customer_id": ""},
        lambda row: row | {"usage_kwh": "n/a"},
        lambda row: row | {"usage_kwh": "-" + row["usage_kwh"]},
        lambda row: row | {"region": "nroth"},
        lambda row: row | {"end_time": row["start_time"], "start_time": row["end_time"]},
        lambda row: row | {"region": None},
    ],
    1: [
        lambda row: row | {"meter_id": ""},
        lambda row: row | {"start_time": "03.02.2026 14:00"},
        lambda row: row | {"usage_kwh": row["usage_kwh"] + "25"},
        lambda row: row | {"region": "north\n(new)"},
        lambda row: {name: value.replace("2026", "2999") for name, value in row.items()},
        lambda row: row | {"region": row["region"] + ",checked by hand"},
        lambda row: row | {"customer_id": "", "usage_kwh": "-1.000", "end_time": "soon", "region": "NORTH"},
    ],
    2: [
        lambda row: row | {"usage_kwh": ""},
        lambda row: row | {"start_time": ""},
        lambda row: row | {"end_time": "2026-02-30T10:00:00Z"},
        lambda row: row | {"customer_id": "C-10\udcff4"},
        lambda row: row | {"usage_kwh": "1.2.3"},
        lambda row: row | {"end_time": row["start_time"]},
    ],
    3: [
        lambda row: row | {"region": ""},
        lambda row: row | {"end_time": ""},
        lambda row: row | {"usage_kwh": "12345678901.000"},
        lambda row: row | {"customer_id": "\udce9t\udce9", "region": "unknown"},
    ],
}
"""Bad rows by day. A lone surrogate stands for a byte that is not UTF-8; None leaves the field out."""

OPEN_QUOTE = 'C-1002,"M0000043,2026-02-05T23:00:00Z,2026-02-06T00:00:00Z,0.412,north'
"""The last line of the last file: the quote is never closed."""


def usage(chance: random.Random, night: int, most: int, hour: int) -> str:
    """In kWh: little by night, most at seven in the evening."""
    from_peak = min((hour - 19) % 24, (19 - hour) % 24)
    watt_hours = night + (most - night) * (12 - from_peak) // 12
    watt_hours = watt_hours * chance.randint(85, 115) // 100
    return f"{watt_hours // 1000}.{watt_hours % 1000:03}"


def reading(chance: random.Random, customer: str, region: str, meter: int, start: datetime, kwh: str) -> dict[str, str]:
    """One row, its meter and instants written in one of the usual ways."""
    begins, ends = start.strftime("%Y-%m-%dT%H:%M:%SZ"), (start + HOUR).strftime("%Y-%m-%dT%H:%M:%SZ")
    style = chance.random()
    if style < 0.03:
        begins = begins.removesuffix("Z")
    elif style < 0.05:
        begins = (start + HOUR).strftime("%Y-%m-%dT%H:%M:%S+01:00")
    return {
        "customer_id": customer,
        "meter_id": chance.choice(SPELLINGS).format(meter),
        "start_time": begins,
        "end_time": ends,
        "usage_kwh": kwh,
        "region": region,
    }


def day_of_readings(chance: random.Random, day: int) -> list[dict[str, str]]:
    """All meters, hour by hour."""
    rows = []
    for hour in range(24):
        start = FIRST_DAY + timedelta(days=day, hours=hour)
        for customer, region, meters, night, most in CUSTOMERS:
            for meter in meters:
                rows.append(reading(chance, customer, region, meter, start, usage(chance, night, most, hour)))
        if day == DAYS - 1 and hour >= 18:
            customer, region, meter = NEWCOMER
            rows.append(reading(chance, customer, region, meter, start, usage(chance, 300, 1_200, hour)))
    return rows


def corrections(chance: random.Random, day: int, count: int) -> list[dict[str, str]]:
    """Other values for readings of this day or an earlier one."""
    rows = []
    for _ in range(count):
        customer, region, meters, night, most = chance.choice(CUSTOMERS)
        hour = chance.randrange(24)
        start = FIRST_DAY + timedelta(days=chance.randint(max(0, day - 2), day), hours=hour)
        kwh = usage(chance, night, most, hour)
        rows.append(reading(chance, customer, region, chance.choice(meters), start, kwh))
    return rows


def line(row: dict[str, str | None]) -> str:
    """A row as CSV. A value with a comma in a region is two fields on purpose."""
    fields = []
    for name, value in row.items():
        if value is None:
            continue
        if any(mark in value for mark in '"\n') or (name == "customer_id" and ("," in value or value == "C-1004")):
            value = '"' + value.replace('"', '""') + '"'
        fields.append(value)
    return ",".join(fields)


def file_of_day(day: int) -> bytes:
    """The whole file of a day."""
    chance = random.Random(f"utility {day}")
    rows = day_of_readings(chance, day)
    for make_bad in FAULTS[day]:
        # A bad row comes beside the good one of its hour: the meter tries again.
        at = chance.randrange(len(rows))
        rows.insert(at, make_bad(rows[at]))
    for row in corrections(chance, day, 12):
        rows.insert(chance.randint(len(rows) // 2, len(rows)), row)
    lines = [HEADER, *map(line, rows)]
    if day == DAYS - 1:
        lines.append(OPEN_QUOTE)
    line_end = "\r\n" if day == CRLF_DAY else "\n"
    return "".join(text + line_end for text in lines).encode(errors="surrogateescape")


def main() -> None:
    directory = Path(__file__).parent / "utility"
    directory.mkdir(exist_ok=True)
    for day in range(DAYS):
        name = f"readings-{FIRST_DAY + timedelta(days=day):%Y-%m-%d}.csv"
        (directory / name).write_bytes(file_of_day(day))


if __name__ == "__main__":
    main()
