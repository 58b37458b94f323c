"""All benchmarks: `make bench` prints the table and writes BENCHMARKS.md."""

from __future__ import annotations

import importlib
import platform
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.timing import Ratio
from cascadelab.display import frame_rows, render_markdown
from cascadelab.files import write_whole

FOLDER = Path(__file__).resolve().parent
HEADER = """# Benchmarks

Ratios of medians, job and baseline timed in turn in one process: above 1 the job is faster than its
baseline. Written by `make bench`; absolute times are left out, as they differ between machines.

"""


def main() -> None:
    """Run every `bench_*.py`, print the table, write BENCHMARKS.md."""
    rows: list[Ratio] = []
    for path in sorted(FOLDER.glob("bench_*.py")):
        rows += importlib.import_module(f"benchmarks.{path.stem}").ratios()
    frame = pl.DataFrame(
        {
            "job": [row.job for row in rows],
            "against": [row.baseline for row in rows],
            "ratio": [f"{row.ratio:.3g}" for row in rows],
            "aimed at": [f"{row.floor:.3g}" for row in rows],
            "reached": ["yes" if row.ratio >= row.floor else "no" for row in rows],
            "rounds": [row.n_rounds for row in rows],
            "note": [row.note for row in rows],
        }
    )
    table = render_markdown(frame.columns, frame_rows(frame))
    versions = (
        f"Python {platform.python_version()}, numpy {np.__version__}, polars {pl.__version__}."
    )
    write_whole(FOLDER.parent / "BENCHMARKS.md", f"{HEADER}{table}\n\n{versions}\n")
    print(table)


if __name__ == "__main__":
    main()
