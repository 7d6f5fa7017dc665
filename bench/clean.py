#!/usr/bin/env python3
"""Compare lake with DataFusion on clean data: `clean.py append 10000000`, `clean.py reading 1000000 10000000`.

`append`: lake runs a pipeline whose table has no key; DataFusion reads the same
files and writes the same columns to Parquet, with the same compression, and
checks nothing. `reading`: nothing is written; lake's reader and DataFusion's
CSV scan read the same files with the same types on all cores.

Every run is a process of its own, in turns. Rows, and for `reading` sums over
all values, have to be equal before any time is shown.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

import compare
import generate
from compare import OUT, PROJECT, Failed, Measured, fresh, measure

PIPELINE = PROJECT / "bench" / "append_job" / "pipeline.yaml"
EQUAL = ("rows", "text", "instants", "numbers")


def command(job: str, contender: str, options: argparse.Namespace, files: list[Path], root: Path) -> list[str]:
    """How a contender is started."""
    names = [str(file) for file in files]
    if job == "reading":
        return [str(options.bench), f"read-{contender}", *names]
    if contender == "datafusion":
        return [str(options.bench), "copy-datafusion", str(root), *names]
    pattern = f"readings={files[0].parent}/*.csv"
    return [str(options.lake), "run", str(PIPELINE), "--root", str(root), "--input", pattern, "--output", "json"]


def facts(job: str, run: Measured) -> dict[str, object]:
    """What has to be equal."""
    if job == "reading":
        return {name: run.report[name] for name in EQUAL}
    rows = run.report["rows"] if "rows" in run.report else run.report["inputs"]["readings"]["accepted"]
    return {"rows": rows}


def run_size(job: str, size: int, options: argparse.Namespace, work: Path) -> dict[str, list[Measured]]:
    """Both contenders on one size, taking turns."""
    directory = generate.data_directory(size, clean=True)
    generate.generate(size, directory, clean=True)
    files = sorted(directory.glob("*.csv"))
    for file in files:
        with open(file, "rb") as content:
            while content.read(8 << 20):
                pass
    measured: dict[str, list[Measured]] = {"datafusion": [], "lake": []}
    for _ in range(options.repeat):
        for contender, runs in measured.items():
            root = fresh(work / contender)
            runs.append(measure(contender, command(job, contender, options, files, root)))
            print(f"  {size:,} rows, {contender}: {runs[-1].seconds:.2f} s", file=sys.stderr)
    found = {contender: facts(job, runs[0]) for contender, runs in measured.items()}
    if found["lake"] != found["datafusion"] or found["lake"]["rows"] != size:
        raise Failed(f"{size:,} rows: results differ, so there are no times to compare: {found}")
    return measured


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("job", choices=["append", "reading"])
    arguments.add_argument("sizes", type=int, nargs="*", default=[1_000_000], help="rows (default: 1000000)")
    arguments.add_argument("--repeat", type=int, default=3, help="runs of each; times are medians (default: 3)")
    release = PROJECT / "target" / "release"
    arguments.add_argument("--lake", type=Path, default=release / "lake", help="the binary")
    arguments.add_argument("--bench", type=Path, default=release / "examples" / "bench", help="the other program")
    options = arguments.parse_args()
    work = OUT / "work"
    taken = compare.conditions(options.repeat)
    try:
        if options.job == "append":
            generate.generate(1000, generate.data_directory(1000, clean=True), clean=True)
            files = sorted(generate.data_directory(1000, clean=True).glob("*.csv"))
            # In use the transform is built once, and cargo's time is not lake's.
            measure("lake", command("append", "lake", options, files, fresh(work / "warm-up")))
        measured = {size: run_size(options.job, size, options, work) for size in sorted(options.sizes)}
    except Failed as failure:
        print(failure, file=sys.stderr)
        return 1
    finally:
        compare.shutil.rmtree(work, ignore_errors=True)
    figures = {
        size: {name: compare.summary(size, runs) for name, runs in of_size.items()} for size, of_size in measured.items()
    }
    for size, of_size in measured.items():
        pairs = zip(of_size["lake"], of_size["datafusion"])
        ratio = statistics.median(lake.seconds / other.seconds for lake, other in pairs)
        print(f"{size:,} rows: lake takes {ratio:.2f} times as long as DataFusion (median of {options.repeat} pairs)")
    file = OUT / f"{options.job}.json"
    file.write_text(json.dumps({"conditions": taken, "sizes": figures}, indent=2) + "\n")
    print(f"\n{compare.report(figures)}\n\nAs JSON, with the conditions: {file.relative_to(PROJECT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
