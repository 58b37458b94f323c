"""The default print block: what referees ask for, shown and stored with every notebook."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from cascadelab.display import Displayed, Summary, cell_number, publish_fact
from cascadelab.estimate.evidence import (
    DataNote,
    EnvironmentNote,
    Evidence,
    ModelNote,
    NotDone,
    SampleNote,
)
from cascadelab.estimate.hypothesis import HypothesisTest, frame_of_tests
from cascadelab.estimate.multiple import holm
from cascadelab.estimate.record import canonical_json, plain
from cascadelab.files import write_whole
from cascadelab.fingerprint import code_hash, commit, versions

__all__ = [
    "Block",
    "DataNote",
    "EnvironmentNote",
    "Evidence",
    "ModelNote",
    "NotDone",
    "SampleNote",
    "default_block",
]

_WATERMARK = "SYNTHETIC DATA"
_RUN_TIME = "run time, s"


@dataclass(frozen=True, kw_only=True, eq=False)
class Block(Displayed):
    """The printed block.

    Parameters
    ----------
    title : str
    content : dict
        JSON-plain, section by section; equal evidence gives equal content.
    sections : tuple of Summary
        What is shown, in order.
    shown_in : int
        Cell that has shown it when it was made; 0 outside a notebook.
    """

    title: str
    content: dict[str, Any]
    sections: tuple[Summary, ...]
    shown_in: int = field(default=0, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-plain content."""
        return self.content

    def to_json(self) -> str:
        """Canonical JSON: the same bytes for the same evidence."""
        return canonical_json(self.content) + "\n"

    def summary(self) -> Summary:
        """Return the first section; all of them are shown by printing the block."""
        return self.sections[0]

    def __str__(self) -> str:
        return "\n\n".join(str(section) for section in self.sections)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {
            "text/plain": str(self),
            "text/markdown": "\n\n".join(section.to_markdown() for section in self.sections),
            "text/html": "".join(section.to_html() for section in self.sections),
        }

    def _ipython_display_(self) -> None:
        """Show the block, unless it is the value of the cell that made and showed it."""
        if self.shown_in != cell_number():
            self._publish()

    def _publish(self) -> None:
        fact = {"kind": "block", "content": self.content}
        publish_fact(fact, self._repr_mimebundle_())


def default_block(evidence: Evidence, path: Path | str | None = None) -> Block:
    """Show the default print block and leave its JSON; the last call of every notebook.

    In a notebook the JSON travels with what is shown: the report runner writes it as
    ``block.json`` beside the executed notebook, and ``cascadelab block executed.ipynb`` as
    ``executed.block.json``. Nothing switches it off, neither a semicolon nor a variable that
    takes the result. Outside a notebook the block is printed.

    Parameters
    ----------
    evidence : Evidence
        Checked when made: an instrumental estimate without exclusion text, or an exposure stamped
        at or after its outcome, raises.
    path : Path or str or None
        JSON file to write as well, whole or not at all.

    Returns
    -------
    Block
        Shown already; as the value of the cell it is not shown twice.
    """
    sections = tuple(section(evidence) for section in _SECTIONS)
    environment = evidence.environment
    content = {
        "notebook": evidence.notebook,
        "claim": evidence.claim,
        "is_synthetic": _is_synthetic(evidence),
        "data": [_fields(note) for note in evidence.data],
        "sections": [_stored(section) for section in sections],
        "environment": {
            "seed": environment.seed,
            "parameters": plain(dict(environment.parameters)),
            "commit": _commit(evidence),
            "code_sha256": code_hash(),
            "packages": versions(),
        },
    }
    title = f"Print block: {evidence.notebook}"
    block = Block(title=title, content=content, sections=sections, shown_in=cell_number())
    if path is not None:
        write_whole(Path(path), block.to_json())
    block._publish()
    return block


def _fields(note: DataNote) -> dict[str, Any]:
    return {name: plain(getattr(note, name)) for name in DataNote.__slots__}


def _commit(evidence: Evidence) -> str:
    given = evidence.environment.commit
    return given if given is not None else commit() or "not from a git checkout"


def _stored(section: Summary) -> dict[str, Any]:
    rows = [[label, plain(value)] for label, value in section.rows if label != _RUN_TIME]
    frame = None if section.frame is None else plain(section.frame)
    return {"title": section.title, "rows": rows, "table": frame, "notes": list(section.notes)}


def _is_synthetic(evidence: Evidence) -> bool:
    return any(note.is_synthetic for note in evidence.data)


def _left_out(title: str, section: NotDone) -> Summary:
    return Summary(title=title, rows=[("not done", section.reason)])


def _data(evidence: Evidence) -> Summary:
    rows: list[tuple[str, object]] = [("notebook", evidence.notebook), ("claim", evidence.claim)]
    for number, note in enumerate(evidence.data, start=1):
        span = " to ".join(filter(None, (note.first_at, note.last_at))) or "no time stated"
        is_capped = math.isfinite(note.cap_share) and note.feed_rule != "complete"
        share = f", {note.cap_share:.1%} of windows at the cap" if is_capped else ""
        held = (
            f"{note.n_rows:,} rows, {note.n_gaps:,} gaps, {note.n_duplicates:,} duplicates; "
            f"feed: {note.feed_rule}{share}; price: {note.price_kind}"
        )
        units = f"; units: {note.units}" if note.units else ""
        rows += [
            (f"source {number}", f"{note.source}; {span}; licence: {note.licence}"),
            ("holds", held + units),
            ("SHA-256", note.sha256),
        ]
    notes = [_WATERMARK] if _is_synthetic(evidence) else []
    return Summary(title="1. Data", rows=rows, notes=notes)


def _sample(evidence: Evidence) -> Summary:
    sample = evidence.sample
    times = sample.times
    words = (
        f"not checked: {times.reason}"
        if isinstance(times, NotDone)
        else "asserted: every exposure strictly before its outcome"
    )
    rows: list[tuple[str, object]] = [
        ("sample rule", sample.rule),
        ("exclusions", sample.exclusions),
        ("events", len(sample.events)),
        ("event list", ", ".join(sample.events)),
        ("exposure before outcome", words),
    ]
    notes = ["A single event is a case study."] if len(sample.events) == 1 else []
    return Summary(title="2. Sample", rows=rows, notes=notes)


def _specifications(evidence: Evidence) -> Summary:
    title = "3. Specifications: OLS beside every identified estimate"
    if isinstance(evidence.estimates, NotDone):
        return _left_out(title, evidence.estimates)
    frame = pl.concat([estimate.to_frame() for estimate in evidence.estimates])
    notes = [f"{item.design} assumes: {item.assumption}" for item in evidence.estimates]
    return Summary(title=title, frame=frame, notes=notes)


def _instruments(evidence: Evidence) -> Summary:
    title = "4. Instruments"
    if isinstance(evidence.estimates, NotDone):
        return _left_out(title, evidence.estimates)
    rows: list[tuple[str, object]] = []
    for item in evidence.estimates:
        if not item.is_instrumental:
            continue
        rows.append((f"{item.design}: exclusion", item.exclusion))
        rows += [(f"{item.design}: {name}", value) for name, value in item.facts]
        rows += [
            (f"{item.design}: {part.name}, {part.level:.0%}", part.words) for part in item.sets
        ]
        for test in item.tests:
            value = test.reason or f"{test.statistic:.4g}, p = {test.p_value:.4g}"
            rows.append((f"{item.design}: {test.name} (null: {test.null})", value))
    return Summary(title=title, rows=rows or [("instruments", "none used")])


def _placebos(evidence: Evidence) -> Summary:
    title = "5. Placebos"
    if isinstance(evidence.placebos, NotDone):
        return _left_out(title, evidence.placebos)
    return Summary(title=title, frame=frame_of_tests(evidence.placebos))


def _stability(evidence: Evidence) -> Summary:
    title = "6. Stability"
    if isinstance(evidence.stability, NotDone):
        return _left_out(title, evidence.stability)
    frame = evidence.stability
    ends: list[tuple[str, object]] = [
        ("smallest estimate", frame["estimate"].min()),
        ("largest estimate", frame["estimate"].max()),
    ]
    return Summary(title=title, rows=ends, frame=frame)


def _gains(evidence: Evidence) -> Summary:
    title = "7. Gain"
    if isinstance(evidence.gains, NotDone):
        return _left_out(title, evidence.gains)
    frame = pl.concat([gain.to_frame() for gain in evidence.gains])
    rows: list[tuple[str, object]] = [
        (f"safety margin, {gain.kind}", gain.safety_margin) for gain in evidence.gains
    ]
    model = evidence.model
    if not isinstance(model, NotDone) and model.critical_shock is not None:
        rows.append(("critical shock of the fold, s_c", model.critical_shock))
    note = "Intervals of A come from the end-points of g; no mean of A is computed."
    own = [f"{gain.kind}: {gain.note}" for gain in evidence.gains if gain.note]
    return Summary(title=title, rows=rows, frame=frame, notes=[*own, note])


def _model(evidence: Evidence) -> Summary:
    title = "8. Model"
    model = evidence.model
    if isinstance(model, NotDone):
        return _left_out(title, model)
    rows: list[tuple[str, object]] = [
        ("solver status", model.solver_status),
        ("rounds", model.n_rounds),
        ("residual", model.residual),
        ("least fixed point certified", _or_reason(model.is_least)),
        ("out-of-sample error", _or_reason(model.forecast_error)),
        ("the same with g = 0", _or_reason(model.no_feedback_error)),
    ]
    notes = [f"Certificate: {model.certificate}"] if model.certificate else []
    return Summary(title=title, rows=rows, notes=notes)


def _or_reason(value: float | NotDone) -> object:
    return f"not done: {value.reason}" if isinstance(value, NotDone) else value


def _all_tests(evidence: Evidence) -> list[tuple[str, HypothesisTest]]:
    found = [("claim", test) for test in evidence.tests]
    if not isinstance(evidence.estimates, NotDone):
        found += [(item.design, test) for item in evidence.estimates for test in item.tests]
    if not isinstance(evidence.placebos, NotDone):
        found += [("placebo", test) for test in evidence.placebos]
    return found


def _multiple(evidence: Evidence) -> Summary:
    title = "9. Multiple testing"
    every = _all_tests(evidence)
    tests = [(where, test) for where, test in every if test.is_valid]
    rows: list[tuple[str, object]] = [("tests run", len(tests)), ("adjustment", "Holm")]
    rows += [(f"no p-value: {test.name}", test.reason) for _, test in every if not test.is_valid]
    if not tests:
        return Summary(title=title, rows=rows)
    frame = pl.DataFrame(
        {
            "where": [where for where, _ in tests],
            "test": [test.name for _, test in tests],
            "p_value": [test.p_value for _, test in tests],
            "holm_p_value": holm([test.p_value for _, test in tests]),
        }
    )
    return Summary(title=title, rows=rows, frame=frame)


def _environment(evidence: Evidence) -> Summary:
    environment = evidence.environment
    seed = "none: no number is drawn" if environment.seed is None else str(environment.seed)
    rows: list[tuple[str, object]] = [("seed", seed), ("commit", _commit(evidence))]
    rows.append(("code and data SHA-256", code_hash()))
    rows += [(f"parameter {name}", _given(v)) for name, v in environment.parameters.items()]
    rows += [(f"version of {name}", version) for name, version in versions().items()]
    if math.isfinite(environment.run_time_s):
        rows.append((_RUN_TIME, environment.run_time_s))
    return Summary(title="10. Environment", rows=rows)


def _given(value: object) -> str:
    """A parameter as it was given: an empty text is visible, a seed has no thousands."""
    return value or "empty" if isinstance(value, str) else str(plain(value))


_SECTIONS = (
    _data,
    _sample,
    _specifications,
    _instruments,
    _placebos,
    _stability,
    _gains,
    _model,
    _multiple,
    _environment,
)
