"""Notes of the print block: of a file, of simulated data, and a draft to fill in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from cascadelab.estimate.block import (
    DataNote,
    EnvironmentNote,
    Evidence,
    NotDone,
    SampleNote,
)

__all__ = ["draft_evidence", "file_note", "synthetic_note"]


def file_note(
    path: Path | str, *, source: str, licence: str, span: tuple[str, str], n_rows: int
) -> DataNote:
    """Return the note of one file with its SHA-256; `span` is first and last time, UTC."""
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    first, last = span
    return DataNote(
        source=f"{source} ({Path(path).name})",
        sha256=digest,
        licence=licence,
        first_at=first,
        last_at=last,
        n_rows=n_rows,
    )


def synthetic_note(what: str, *, n_rows: int) -> DataNote:
    """Return the note of simulated data; the block then carries the watermark."""
    return DataNote(
        source=what,
        sha256="none: simulated from the seed",
        licence="that of the project",
        first_at="none",
        last_at="none",
        n_rows=n_rows,
        price_kind="none",
        is_synthetic=True,
    )


def draft_evidence(
    notebook: str,
    claim: str,
    *,
    data: tuple[DataNote, ...],
    sample: SampleNote,
    seed: int,
    parameters: Mapping[str, object],
) -> Evidence:
    """Return evidence with every analysis left out; replace what the notebook did.

    Sections that stay out are printed as not part of the question, so that nobody takes them for
    forgotten.
    """
    out = NotDone(reason="not part of this notebook's question")
    return Evidence(
        notebook=notebook,
        claim=claim,
        data=data,
        sample=sample,
        estimates=out,
        placebos=out,
        stability=out,
        gains=out,
        model=out,
        environment=EnvironmentNote(seed=seed, parameters=parameters),
    )
