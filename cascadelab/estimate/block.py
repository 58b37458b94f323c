"""The default print block: what referees ask for, printed and stored beside every notebook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import polars as pl

from cascadelab.display import Displayed, Summary
from cascadelab.errors import ReportError
from cascadelab.estimate.checks import assert_predetermined
from cascadelab.estimate.gain import Gain
from cascadelab.estimate.hypothesis import HypothesisTest
from cascadelab.estimate.identify import ExposureTimes, IdentifiedEstimate
from cascadelab.estimate.multiple import holm
from cascadelab.estimate.record import canonical_json, plain
from cascadelab.files import write_whole

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

_PACKAGES = ("numpy", "scipy", "polars", "statsmodels", "altair")
_WATERMARK = "SYNTHETIC DATA"


@dataclass(frozen=True, kw_only=True, slots=True)
class NotDone:
    """A section that a notebook leaves out, with the reason; the reason is printed.

    Parameters
    ----------
    reason : str
        One sentence; an empty one is refused.
    """

    reason: str

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise ReportError(
                "A section was left out without a reason. Expected one sentence. Give reason=."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class DataNote:
    """One data source of the notebook.

    Parameters
    ----------
    source, sha256, licence : str
    first_at, last_at : str
        UTC span, ISO.
    n_rows, n_gaps, n_duplicates : int
    feed_rule : str
        What the venue leaves out; "complete" if nothing.
    cap_share : float
        Share of windows at the feed's cap, fraction.
    price_kind : str
        last, mark or index; which triggers and which is regressed.
    units : str
    is_synthetic : bool
    """

    source: str
    sha256: str
    licence: str
    first_at: str
    last_at: str
    n_rows: int
    n_gaps: int = 0
    n_duplicates: int = 0
    feed_rule: str = "complete"
    cap_share: float = 0.0
    price_kind: str = "last"
    units: str = ""
    is_synthetic: bool = False


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SampleNote:
    """Sample rule, exclusions, events and the times that prove no look-ahead.

    Parameters
    ----------
    rule, exclusions : str
    events : tuple of str
    times : ExposureTimes or NotDone
        Asserted when the block is made.
    """

    rule: str
    exclusions: str
    events: tuple[str, ...]
    times: ExposureTimes | NotDone


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelNote:
    """Solver certificate and forecast error against no feedback.

    Parameters
    ----------
    solver_status : str
    n_rounds : int
    residual : float
    is_least : bool
        Certificate that the fixed point is the least one.
    forecast_error, no_feedback_error : float
        Out of sample, model and g = 0.
    """

    solver_status: str
    n_rounds: int
    residual: float
    is_least: bool
    forecast_error: float
    no_feedback_error: float


@dataclass(frozen=True, kw_only=True, slots=True)
class EnvironmentNote:
    """Seed, parameters and commit; versions are added from the installation.

    Parameters
    ----------
    seed : int
    parameters : mapping
        The notebook's parameters cell.
    commit : str
    run_time_s : float
        Printed, not stored: the stored block is the same on every run.
    """

    seed: int
    parameters: Mapping[str, object] = field(default_factory=dict)
    commit: str = "not given"
    run_time_s: float = float("nan")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Evidence:
    """Everything the block prints; each section is given or left out with a reason.

    Parameters
    ----------
    notebook, claim : str
        Name, and the pre-registered claim with the statistic that would refute it.
    data : tuple of DataNote
    sample : SampleNote
    estimates : tuple of IdentifiedEstimate, or NotDone
    placebos : tuple of HypothesisTest, or NotDone
    stability : polars.DataFrame, or NotDone
        Columns ``variant``, ``estimate``, ``low``, ``high``.
    gains : tuple of Gain, or NotDone
    model : ModelNote, or NotDone
    environment : EnvironmentNote
    """

    notebook: str
    claim: str
    data: tuple[DataNote, ...]
    sample: SampleNote
    estimates: tuple[IdentifiedEstimate, ...] | NotDone
    placebos: tuple[HypothesisTest, ...] | NotDone
    stability: pl.DataFrame | NotDone
    gains: tuple[Gain, ...] | NotDone
    model: ModelNote | NotDone
    environment: EnvironmentNote

    def __post_init__(self) -> None:
        if not self.claim.strip():
            raise ReportError("The claim is empty. Expected the pre-registered claim. Write it.")
        if not self.data:
            raise ReportError("No data note. Expected one per source. Add a DataNote.")
        if not isinstance(self.estimates, NotDone):
            for estimate in self.estimates:
                _check_exclusion(estimate)
        if not isinstance(self.stability, NotDone):
            missing = {"variant", "estimate", "low", "high"} - set(self.stability.columns)
            if missing:
                raise ReportError(
                    f"The stability table lacks {sorted(missing)}. Expected variant, estimate, "
                    f"low, high. Add the columns."
                )
        if not isinstance(self.sample.times, NotDone):
            assert_predetermined(self.sample.times.exposure_at, self.sample.times.outcome_at)


def _check_exclusion(estimate: IdentifiedEstimate) -> None:
    if estimate.is_instrumental and not estimate.exclusion.strip():
        raise ReportError(
            f"{estimate.design}: the exclusion text is empty. Expected why the instrument has no "
            f"direct effect on the outcome. Write exclusion= before reporting this estimate."
        )


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
    """

    title: str
    content: dict[str, Any]
    sections: tuple[Summary, ...]

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


def default_block(evidence: Evidence, path: Path | str | None = None) -> Block:
    """Make the default print block and store it as JSON; the last call of every notebook.

    Parameters
    ----------
    evidence : Evidence
        Checked when made: an instrumental estimate without exclusion text, or an exposure stamped
        at or after its outcome, raises.
    path : Path or str or None
        JSON file to write, whole or not at all. None writes nothing, for use without a file.

    Returns
    -------
    Block
        Display it as the last line of a cell.
    """
    sections = (
        _data(evidence),
        _sample(evidence),
        _specifications(evidence),
        _instruments(evidence),
        _placebos(evidence),
        _stability(evidence),
        _gains(evidence),
        _model(evidence),
        _multiple(evidence),
        _environment(evidence),
    )
    content = {
        "notebook": evidence.notebook,
        "claim": evidence.claim,
        "is_synthetic": _is_synthetic(evidence),
        "sections": [_stored(section) for section in sections],
        "environment": {
            "seed": evidence.environment.seed,
            "parameters": plain(dict(evidence.environment.parameters)),
            "commit": evidence.environment.commit,
            "packages": _versions(),
        },
    }
    block = Block(title=f"Print block: {evidence.notebook}", content=content, sections=sections)
    if path is not None:
        write_whole(Path(path), block.to_json())
    return block


def _stored(section: Summary) -> dict[str, Any]:
    rows = [[label, plain(value)] for label, value in section.rows if label != "run time, s"]
    frame = None if section.frame is None else plain(section.frame)
    return {"title": section.title, "rows": rows, "table": frame, "notes": list(section.notes)}


def _is_synthetic(evidence: Evidence) -> bool:
    return any(note.is_synthetic for note in evidence.data)


def _left_out(title: str, section: NotDone) -> Summary:
    return Summary(title=title, rows=[("not done", section.reason)])


def _data(evidence: Evidence) -> Summary:
    rows = [{name: getattr(note, name) for name in DataNote.__slots__} for note in evidence.data]
    head: list[tuple[str, object]] = [("notebook", evidence.notebook), ("claim", evidence.claim)]
    notes = [_WATERMARK] if _is_synthetic(evidence) else []
    return Summary(title="1. Data", rows=head, frame=pl.DataFrame(rows), notes=notes)


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
    from cascadelab.estimate.hypothesis import frame_of_tests

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
    margins: list[tuple[str, object]] = [
        (f"safety margin, {gain.kind}", gain.safety_margin) for gain in evidence.gains
    ]
    note = "Intervals of A come from the end-points of g; no mean of A is computed."
    return Summary(title=title, rows=margins, frame=frame, notes=[note])


def _model(evidence: Evidence) -> Summary:
    title = "8. Model"
    model = evidence.model
    if isinstance(model, NotDone):
        return _left_out(title, model)
    rows: list[tuple[str, object]] = [
        ("solver status", model.solver_status),
        ("rounds", model.n_rounds),
        ("residual", model.residual),
        ("least fixed point certified", model.is_least),
        ("out-of-sample error", model.forecast_error),
        ("the same with g = 0", model.no_feedback_error),
    ]
    return Summary(title=title, rows=rows)


def _all_tests(evidence: Evidence) -> list[tuple[str, HypothesisTest]]:
    found = []
    if not isinstance(evidence.estimates, NotDone):
        found += [(item.design, test) for item in evidence.estimates for test in item.tests]
    if not isinstance(evidence.placebos, NotDone):
        found += [("placebo", test) for test in evidence.placebos]
    return [(where, test) for where, test in found if test.is_valid]


def _multiple(evidence: Evidence) -> Summary:
    title = "9. Multiple testing"
    tests = _all_tests(evidence)
    rows: list[tuple[str, object]] = [("tests run", len(tests)), ("adjustment", "Holm")]
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


def _versions() -> dict[str, str]:
    from cascadelab import __version__

    return {"cascadelab": __version__} | {name: metadata.version(name) for name in _PACKAGES}


def _environment(evidence: Evidence) -> Summary:
    environment = evidence.environment
    rows: list[tuple[str, object]] = [("seed", environment.seed), ("commit", environment.commit)]
    rows += [(f"parameter {name}", value) for name, value in environment.parameters.items()]
    rows += [(f"version of {name}", version) for name, version in _versions().items()]
    rows.append(("run time, s", environment.run_time_s))
    return Summary(title="10. Environment", rows=rows)
