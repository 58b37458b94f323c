"""The files on top of a report: index, numbers, provenance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from cascadelab.files import write_whole
from cascadelab.fingerprint import code_hash, commit, json_hash, text_hash, versions
from cascadelab.report.build import waiting_record
from cascadelab.report.index import render_index
from cascadelab.report.spec import Specification
from cascadelab.report.store import as_json

__all__ = ["numbers_frame", "write_summary"]

Record = dict[str, Any]

_COLUMNS = {
    "notebook": pl.String,
    "title": pl.String,
    "parameters_id": pl.String,
    "name": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "unit": pl.String,
    "source": pl.String,
}


def write_summary(specification: Specification, records: dict[str, Record], out: Path) -> None:
    """Write index, numbers and provenance of the runs there are.

    Parameters
    ----------
    specification : Specification
        Gives the order, and the runs that are still to be made.
    records : dict
        Record by run id.
    out : Path

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    ordered = [records.get(run.id) or waiting_record(run) for run in specification.runs]
    numbers = numbers_frame([record for record in ordered if record["status"] == "done"])
    csv = numbers.write_csv()
    write_whole(out / "numbers.csv", csv)
    write_whole(out / "numbers.parquet", _parquet(numbers))
    write_whole(out / "provenance.json", as_json(_provenance(specification, ordered, csv)))
    write_whole(out / "index.html", render_index(specification.title, ordered, out))


def numbers_frame(records: list[Record]) -> pl.DataFrame:
    """Headline numbers of finished runs, one row each, in the order of the report."""
    rows = [
        {
            "notebook": record["notebook"],
            "title": record["title"],
            "parameters_id": record["parameters_id"],
            **{key: fact[key] for key in ("name", "unit", "source")},
            **{key: _float(fact[key]) for key in ("value", "low", "high")},
        }
        for record in records
        for fact in record["headlines"]
    ]
    return pl.DataFrame(rows, schema=_COLUMNS)


def _float(value: float | str | None) -> float | None:
    return None if value is None else float(value)


def _parquet(frame: pl.DataFrame) -> bytes:
    import io

    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def _provenance(specification: Specification, records: list[Record], csv: str) -> Record:
    runs = [_run(record) for record in records]
    return {
        "title": specification.title,
        "versions": versions(),
        "code_sha256": code_hash(),
        "commit": commit(),
        "numbers_sha256": text_hash(csv),
        "charts_sha256": json_hash([run.get("charts", []) for run in runs]),
        "runs": runs,
    }


def _run(record: Record) -> Record:
    kept = {key: record[key] for key in ("id", "notebook", "title", "status")}
    if record["status"] == "waiting":
        return kept
    details = {
        key: record[key] for key in ("parameters_id", "inputs", "quality", "error", "block_sha256")
    }
    charts = {chart["name"]: chart["sha256"] for chart in record["charts"]}
    return {**kept, **details, "charts": charts, **record["provenance"]}
