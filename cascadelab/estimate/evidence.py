"""What a notebook hands to its print block: data, sample, estimates, model, or why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from cascadelab.errors import ReportError
from cascadelab.estimate.checks import assert_predetermined
from cascadelab.estimate.gain import Gain
from cascadelab.estimate.hypothesis import HypothesisTest
from cascadelab.estimate.identify import ExposureTimes, IdentifiedEstimate

__all__ = [
    "DataNote",
    "EnvironmentNote",
    "Evidence",
    "ModelNote",
    "NotDone",
    "SampleNote",
]


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
        Share of windows at the feed's cap, fraction; NaN where there is no cap to be at.
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
        F(y*) - y* of a fixed point; what does not add up of a simulation. The unit of the model.
    is_least : bool or NotDone
        Whether the fixed point was checked to be the least one.
    forecast_error, no_feedback_error : float or NotDone
        Out of sample, model and g = 0; not done where nothing is forecast.
    certificate : str
        How `is_least` was checked.
    critical_shock : float or None
        Shock at which the resting point jumps, where the model has a fold.
    """

    solver_status: str
    n_rounds: int
    residual: float
    is_least: bool | NotDone
    forecast_error: float | NotDone
    no_feedback_error: float | NotDone
    certificate: str = ""
    critical_shock: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EnvironmentNote:
    """Seed and parameters; versions, commit and code hash are added from the installation.

    Parameters
    ----------
    seed : int or None
        None where no number is drawn.
    parameters : mapping
        The notebook's parameters cell.
    commit : str or None
        None takes that of the checkout the package runs from.
    run_time_s : float
        Printed where given, never stored: the stored block is the same on every run. A report
        keeps the run times of its notebooks in ``times.json``.
    """

    seed: int | None
    parameters: Mapping[str, object] = field(default_factory=dict)
    commit: str | None = None
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
    tests : tuple of HypothesisTest
        Of the claim itself, where no estimate carries them; adjusted together with all others.
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
    tests: tuple[HypothesisTest, ...] = ()

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
