"""Notes of the print block: of files, of simulated data, of a solved model, of what is left out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from cascadelab.cascade import Cascade
from cascadelab.errors import ParameterError
from cascadelab.estimate.evidence import DataNote, ModelNote, NotDone
from cascadelab.estimate.facts import load_facts
from cascadelab.files import shipped
from cascadelab.fingerprint import file_hash
from cascadelab.history import catalogue
from cascadelab.history.quality import Quality
from cascadelab.ledger_flow import LedgerFlow
from cascadelab.margin.records import load_records
from cascadelab.units import FloatArray

__all__ = [
    "file_note",
    "is_least",
    "left_out",
    "model_note",
    "quality_data_note",
    "rule_notes",
    "shipped_notes",
    "synthetic_note",
    "variants",
]

_READERS: dict[str, tuple[Callable[[], pl.DataFrame], str | None]] = {
    "episodes": (catalogue.episodes, "started_at"),
    "figures": (catalogue.figures, None),
    "intraday_figures": (catalogue.intraday, "started_at"),
    "minute_figures_2025-10-10": (catalogue.minutes, "minute_at"),
    "facts": (load_facts, None),
}
_SECTIONS = ("estimates", "placebos", "stability", "gains", "model")
#: Moves between the shock and the end at which a curve is checked.
_N_CHECKED = 4_001


def file_note(
    path: Path | str, *, source: str, licence: str, span: tuple[str, str], n_rows: int
) -> DataNote:
    """Return the note of one file with its SHA-256; `span` is first and last time, UTC."""
    first, last = span
    return DataNote(
        source=f"{source} ({Path(path).name})",
        sha256=file_hash(Path(path)),
        licence=licence,
        first_at=first,
        last_at=last,
        n_rows=n_rows,
    )


def quality_data_note(quality: Quality, *, licence: str) -> DataNote:
    """Return the note of a file that a reader has read, from what the reader found in it."""
    share = quality.capped_share
    return DataNote(
        source=quality.source,
        sha256=quality.sha256,
        licence=licence,
        first_at="" if quality.first_at is None else quality.first_at.isoformat(),
        last_at="" if quality.last_at is None else quality.last_at.isoformat(),
        n_rows=quality.n_rows,
        n_gaps=quality.n_missing,
        n_duplicates=quality.n_exact_duplicates,
        feed_rule=quality.feed_rule or "nothing is known to be withheld",
        cap_share=float("nan") if share is None else share,
        units=quality.quantity_unit,
    )


def shipped_notes(*names: str) -> tuple[DataNote, ...]:
    """Notes of shipped tables: ``"episodes"``, ``"figures"``, ``"facts"`` and the like.

    Raises
    ------
    ParameterError
        There is no such table.
    """
    notes = []
    for name in names:
        if name not in _READERS:
            raise ParameterError.unknown("shipped table", name, _READERS)
        reader, time = _READERS[name]
        rows = reader()
        ends = ("", "") if time is None else (str(rows[time].min()), str(rows[time].max()))
        note = file_note(
            shipped("data", "facts" if name == "facts" else "catalogue", f"{name}.csv"),
            source="our own tabulation",
            licence="MIT",
            span=ends,
            n_rows=rows.height,
        )
        rule = "published figures, totals are lower bounds"
        units = "stated in every row" if time != "minute_at" else "stated in the header"
        notes.append(
            replace(
                note,
                feed_rule=rule,
                cap_share=math.nan,
                price_kind="as published",
                units=units,
            )
        )
    return tuple(notes)


def rule_notes(venues: Sequence[str]) -> tuple[DataNote, ...]:
    """Notes of the shipped records and rate tables of some venues.

    Raises
    ------
    ParameterError
        There is no such venue.
    """
    notes = []
    known = load_records()
    for name in venues:
        if name not in known:
            raise ParameterError.unknown("venue", name, known)
        found = known[name]
        files = [("records", f"{name}.json", found.rules_as_of)]
        files += [("tiers", table, "") for table in found.tier_tables]
        for folder, file, day in files:
            path = shipped("data", "venues", folder, file)
            notes.append(
                DataNote(
                    source=f"venue rules ({folder}/{file})",
                    sha256=file_hash(path),
                    licence="facts; that of the project",
                    first_at=day or path.stem.removeprefix(f"{name}_"),
                    last_at="",
                    n_rows=len(json.loads(path.read_text(encoding="utf-8")).get("symbols", ())),
                    feed_rule="rules as documented, of the day named",
                    cap_share=math.nan,
                    price_kind="none",
                    units="fractions; notional in the venue's settlement currency",
                )
            )
    return tuple(notes)


def synthetic_note(what: str, *, n_rows: int) -> DataNote:
    """Return the note of simulated data; the block then carries the watermark."""
    return DataNote(
        source=what,
        sha256="none: simulated from the seed",
        licence="that of the project",
        first_at="",
        last_at="",
        n_rows=n_rows,
        price_kind="none",
        is_synthetic=True,
    )


def left_out(**reasons: str) -> dict[str, Any]:
    """Sections that a notebook leaves out, each with its own reason, to pass on to Evidence.

    Parameters
    ----------
    **reasons : str
        By section: ``estimates``, ``placebos``, ``stability``, ``gains``, ``model``.

    Raises
    ------
    ParameterError
        A name is no section.
    ReportError
        A reason is empty.

    Examples
    --------
    >>> left_out(gains="no impact enters")["gains"].reason
    'no impact enters'
    """
    for name in reasons:
        if name not in _SECTIONS:
            raise ParameterError.unknown("section", name, _SECTIONS)
    return {name: NotDone(reason=reason) for name, reason in reasons.items()}


def variants(
    names: pl.Expr | str, estimate: str, frame: pl.DataFrame, *, ends: tuple[str, str] | None = None
) -> pl.DataFrame:
    """Stability table of the print block from columns of a frame.

    Parameters
    ----------
    names : polars.Expr or str
        What was varied; becomes ``variant``.
    estimate : str
        Column of the estimate.
    frame : polars.DataFrame
    ends : (low, high), optional
        Columns of the interval; left out, the ends are null.
    """
    variant = pl.col(names) if isinstance(names, str) else names
    low, high = (pl.col(end) for end in ends) if ends else (pl.lit(None), pl.lit(None))
    return frame.select(
        variant=variant.cast(pl.String),
        estimate=pl.col(estimate).cast(pl.Float64),
        low=low.cast(pl.Float64),
        high=high.cast(pl.Float64),
    )


def model_note(
    cascade: Cascade,
    *,
    forecast_error: float | NotDone,
    no_feedback_error: float | NotDone,
    critical_shock: float | None = None,
) -> ModelNote:
    """Note of a solved cascade, with the least fixed point checked anew.

    Parameters
    ----------
    cascade : Cascade
    forecast_error, no_feedback_error : float or NotDone
        Out of sample, of the model and at g = 0, in the same unit.
    critical_shock : float or None
        Where the model has a fold.
    """
    found, words = is_least(cascade)
    return ModelNote(
        solver_status=cascade.status,
        n_rounds=cascade.n_rounds,
        residual=cascade.residual,
        is_least=found,
        forecast_error=forecast_error,
        no_feedback_error=no_feedback_error,
        certificate=words,
        critical_shock=critical_shock,
    )


def is_least(cascade: Cascade) -> tuple[bool, str]:
    """Check without the solver that no smaller move than the cascade's is a fixed point.

    Parameters
    ----------
    cascade : Cascade

    Returns
    -------
    is_least : bool
        Whether F(y) = s + I(Q(y)) lies above y from the shock up to where the cascade stopped,
        and no further than rounding from it there.
    words : str
        How it was checked.

    Notes
    -----
    A book is flat between its thresholds, so that it is enough to look just below each of them.
    A curve is looked at on a grid only; its solver has bounds between grid points.
    """
    moves, reached = (
        _book_steps(cascade, cascade.flow)
        if isinstance(cascade.flow, LedgerFlow)
        else _curve_steps(cascade)
    )
    scale = max(abs(cascade.move), 1.0)
    is_above = bool(np.all(reached >= moves - 1e-12 * scale))
    is_fixed = cascade.status == "book_exhausted" or abs(cascade.residual) <= 1e-9 * scale
    where = "just below every threshold" if isinstance(cascade.flow, LedgerFlow) else "on a grid"
    words = (
        f"F(y) >= y {where} from the shock to the end ({moves.size:,} moves), "
        f"found without the solver."
    )
    return is_above and is_fixed and cascade.status != "not_converged", words


def _book_steps(cascade: Cascade, flow: LedgerFlow) -> tuple[FloatArray, FloatArray]:
    """Thresholds on the way, and F just below each of them."""
    order = np.argsort(flow.thresholds, kind="stable")
    thresholds = flow.thresholds[order]
    before = np.concatenate([[0.0], np.cumsum(flow.sizes_base[order])])
    passed = np.unique(thresholds[(thresholds > cascade.shock) & (thresholds <= cascade.move)])
    below = before[np.searchsorted(thresholds, passed, side="left")]
    return passed, cascade.shock + np.asarray(cascade.impact.move(below))


def _curve_steps(cascade: Cascade) -> tuple[FloatArray, FloatArray]:
    moves = np.linspace(cascade.shock, cascade.move, _N_CHECKED)
    quantities = np.asarray(cascade.flow.quantity(moves))
    return moves, cascade.shock + np.asarray(cascade.impact.move(quantities))
