"""The loop gain with its uncertainty, and the interval of the amplification it implies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.display import Summary, number
from cascadelab.errors import DataError, ParameterError
from cascadelab.estimate.checks import fraction, vector
from cascadelab.estimate.hawkes.fit import HawkesFit
from cascadelab.estimate.identify import IdentifiedEstimate
from cascadelab.estimate.record import Record
from cascadelab.estimate.result import critical_value

if TYPE_CHECKING:
    import altair as alt

    from cascadelab.cascade import Cascade

__all__ = [
    "Consistency",
    "Gain",
    "amplification",
    "amplification_quantiles",
    "consistency",
    "gain_estimate",
    "gain_from_draws",
    "gain_from_hawkes",
    "gain_from_response",
    "model_gain",
    "range_gain",
    "secant_gain",
]

#: Terms whose slope is the impact itself; every other slope is on sales and is minus the impact.
_POSITIVE_TERMS = ("impact", "signed flow", "flow (calm)", "flow (cascade)")


#: Words of which a unit of quantity holds one.
_QUANTITIES = frozenset({"base", "contract", "contracts", "coin", "coins", "usd", "eth", "btc"})


def amplification(gain: float) -> float:
    """Amplification 1/(1 - g); infinite for a gain of 1 or more.

    Examples
    --------
    >>> amplification(0.5), amplification(1.0)
    (2.0, inf)
    """
    return math.inf if gain >= 1.0 else 1.0 / (1.0 - gain)


@dataclass(frozen=True, kw_only=True, eq=False)
class Gain(Record):
    """A loop gain with its interval; the amplification is an interval only, never a mean.

    Parameters
    ----------
    kind : str
        How it was estimated, such as ``"structural"``.
    value : float
    std_error : float
        NaN where only an interval is known.
    low, high : float
        End-points of the interval.
    level : float
    share_at_least_one : float
        Probability of g >= 1: from the normal, or the share of bootstrap draws.
    note : str
    """

    kind: str
    value: float
    std_error: float
    low: float
    high: float
    level: float
    share_at_least_one: float
    note: str = ""

    @property
    def amplification_interval(self) -> tuple[float, float]:
        """Interval of A from the end-points of that of g; infinite from g = 1 on."""
        return amplification(self.low), amplification(self.high)

    @property
    def safety_margin(self) -> float:
        """One minus the upper end of the gain; negative when criticality is not excluded."""
        return 1.0 - self.high

    def to_frame(self) -> pl.DataFrame:
        """Return one row: kind, gain, low, high, a_low, a_high, share_at_least_one."""
        a_low, a_high = self.amplification_interval
        return pl.DataFrame(
            {
                "kind": [self.kind],
                "gain": [self.value],
                "low": [self.low],
                "high": [self.high],
                "a_low": [a_low],
                "a_high": [a_high],
                "share_at_least_one": [self.share_at_least_one],
            }
        )

    def plot(self) -> alt.TopLevelMixin:
        """Altair chart of the gain with its interval and the line g = 1."""
        from cascadelab.charts.estimate import consistency_chart

        return consistency_chart(self.to_frame())

    def summary(self) -> Summary:
        """Return gain, interval, interval of A and P(g >= 1)."""
        a_low, a_high = self.amplification_interval
        interval = f"[{self.low:.4g}, {self.high:.4g}]"
        rows: list[tuple[str, object]] = [
            ("gain g", self.value),
            ("standard error", self.std_error),
            (f"{self.level:.0%} interval of g", interval),
            (f"{self.level:.0%} interval of A", f"[{number(a_low, 4)}, {number(a_high, 4)}]"),
            ("P(g >= 1)", self.share_at_least_one),
            ("safety margin, 1 - upper end", self.safety_margin),
        ]
        notes = ["The mean of A does not exist near g = 1 and is not computed."]
        return Summary(
            title=f"Loop gain, {self.kind}",
            rows=rows,
            notes=notes + ([self.note] * bool(self.note)),
        )


def _normal(kind: str, value: float, error: float, level: float, note: str = "") -> Gain:
    from scipy import stats

    if not (math.isfinite(value) and error >= 0):
        raise DataError(
            f"Gain {value:g} with error {error:g}. Expected finite numbers and an error of at "
            f"least 0. Check the estimate behind it."
        )
    half = critical_value(level) * error
    share = float(stats.norm.sf((1.0 - value) / error)) if error > 0 else float(value >= 1.0)
    return Gain(
        kind=kind,
        value=value,
        std_error=error,
        low=value - half,
        high=value + half,
        level=level,
        share_at_least_one=share,
        note=note,
    )


def _check_is_impact(estimate: IdentifiedEstimate) -> None:
    """Raise unless the unit of the estimate is a price move per quantity that is sold."""
    _, _, quantity = estimate.unit.partition(" per ")
    words = set(quantity.lower().replace("(", " ").replace(",", " ").split())
    if words & _QUANTITIES:
        return
    raise DataError(
        f"{estimate.design}: {estimate.term!r} has the unit {estimate.unit or 'none'!r}, which is "
        f"no impact: times a density it is no gain. Expected a price move per quantity sold, such "
        f"as 'fraction per base sold'. Use a slope on sales (S1, S2, S3, S5 or S8)."
    )


def gain_estimate(
    impact: IdentifiedEstimate | tuple[float, float],
    density: float,
    *,
    density_std_error: float = 0.0,
    level: float = 0.95,
) -> Gain:
    r"""Structural gain: identified impact times the density read off positions.

    Parameters
    ----------
    impact : IdentifiedEstimate or (value, std_error)
        Impact per base unit (or contract, or other unit of quantity, as its unit says). Slopes on
        sales (positive when sold) are turned, since they are minus the impact. A plain pair must
        hold the positive impact.
    density : float
        Base units that are sold per unit of fall, in the units of the impact; positive.
    density_std_error : float
        0 when it is read off a complete ledger.
    level : float

    Returns
    -------
    Gain

    Raises
    ------
    DataError
        Impact or density is not positive, so that ln g does not exist; or the estimate is no
        price move per quantity: the jump of S4, the gaps of S6 and S7, the exposure slope of S9.

    Notes
    -----
    Delta method on the logarithm:
    :math:`se(g)/g = \sqrt{(se_\lambda/\lambda)^2+(se_\rho/\rho)^2}`. The interval of A
    transforms the end-points; a delta-method error of A is invalid near g = 1.

    Examples
    --------
    >>> gain = gain_estimate((0.05, 0.0075), 16.0)
    >>> round(gain.low, 3), round(gain.high, 3), round(gain.share_at_least_one, 3)
    (0.565, 1.035, 0.048)
    """
    if isinstance(impact, IdentifiedEstimate):
        _check_is_impact(impact)
        sign = 1.0 if impact.term in _POSITIVE_TERMS else -1.0
        slope, error = sign * impact.estimate, impact.std_error
    else:
        slope, error = vector(impact, "impact and its error", 2).tolist()
    if error < 0 or density_std_error < 0:
        raise DataError(
            f"Standard errors {error:g} and {density_std_error:g}. Expected none below 0. "
            f"Check their order."
        )
    if not (slope > 0 and density > 0):
        raise DataError(
            f"Impact {slope:g} and density {density:g}. Expected both positive: sales push prices "
            f"down and falls cause sales. Check signs and units."
        )
    gain = slope * density
    relative = math.hypot(error / slope, density_std_error / density)
    return _normal("structural", gain, gain * relative, level)


def gain_from_draws(
    value: float, draws: npt.ArrayLike, *, kind: str = "bootstrap", level: float = 0.95
) -> Gain:
    """Gain with the percentile interval of bootstrap draws of shape (n_draws,)."""
    sample = vector(draws, "draws of the gain")
    if sample.size < 20 or not math.isfinite(value):
        raise DataError(
            f"{sample.size} draws of a gain of {value:g}. Expected 20 or more and a finite gain. "
            f"Draw more."
        )
    tail = 0.5 * (1.0 - fraction(level, "level"))
    low, high = (float(end) for end in np.quantile(sample, [tail, 1.0 - tail]))
    return Gain(
        kind=kind,
        value=float(value),
        std_error=float(sample.std(ddof=1)),
        low=low,
        high=high,
        level=level,
        share_at_least_one=float(np.mean(sample >= 1.0)),
        note=f"{sample.size} draws, percentile interval.",
    )


def amplification_quantiles(
    gain_draws: npt.ArrayLike, probabilities: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95)
) -> pl.DataFrame:
    """Quantiles of A from draws of g; infinite where the gain is 1 or more.

    The amplification has a heavy tail, P(A > a) ~ f(1)/a, so that its mean does not exist and is
    not offered.

    Examples
    --------
    >>> amplification_quantiles([0.0, 0.5, 1.2], [0.0, 0.5, 1.0])["amplification"].to_list()
    [1.0, 2.0, inf]
    """
    gains = np.sort(vector(gain_draws, "draws of the gain"))
    values = []
    for probability in probabilities:
        if not 0.0 <= probability <= 1.0:
            raise ParameterError(f"A probability is {probability!r}; expected one in [0, 1].")
        position = min(math.ceil(probability * gains.size), gains.size) - 1
        values.append(amplification(float(gains[max(position, 0)])))
    return pl.DataFrame({"probability": list(probabilities), "amplification": values})


def secant_gain(
    total_drop: float, exogenous_drop: float, *, exogenous_range: tuple[float, float] | None = None
) -> Gain:
    """Secant gain of one event: the endogenous share of the fall.

    Parameters
    ----------
    total_drop : float
        Whole fall y*, positive.
    exogenous_drop : float
        Part s that the shock alone explains, in (0, total_drop].
    exogenous_range : (low, high), optional
        Range of s that is defensible; gives the interval by its end-points.

    Notes
    -----
    1 - s/y*; the amplification is y*/s exactly. A single event is a case study.

    Examples
    --------
    >>> gain = secant_gain(317.81 - 0.10, 317.81 - 224.48)
    >>> round(gain.value, 3), round(amplification(gain.value), 3)
    (0.706, 3.404)
    """
    low, high = exogenous_range or (exogenous_drop, exogenous_drop)
    if not 0 < low <= exogenous_drop <= high <= total_drop < math.inf:
        raise ParameterError(
            f"exogenous drop {exogenous_drop:g} in [{low:g}, {high:g}] of a fall of "
            f"{total_drop:g}; expected 0 < low <= drop <= high <= fall, all finite. Check the "
            f"prices."
        )
    return range_gain(
        "event secant",
        1.0 - exogenous_drop / total_drop,
        (1.0 - high / total_drop, 1.0 - low / total_drop),
        note="One event: a case study. The range is that of the exogenous part.",
    )


def range_gain(kind: str, value: float, ends: tuple[float, float], *, note: str) -> Gain:
    """Gain with a range of defensible values in place of a sampling interval.

    Parameters
    ----------
    kind : str
        What it is, such as ``"event secant"``.
    value : float
    ends : (low, high)
        Holds `value`.
    note : str
        What the range is over.

    Returns
    -------
    Gain
        ``share_at_least_one`` is 1, 0, or NaN where the range holds 1: no probability is known.

    Raises
    ------
    ParameterError
        The value is outside its range.

    Examples
    --------
    >>> range_gain("venue", 0.5, (0.4, 0.6), note="over starts").amplification_interval
    (1.6666666666666667, 2.5)
    """
    low, high = ends
    rounding = 1e-9 * max(abs(value), 1.0)
    if not low - rounding <= value <= high + rounding:
        raise ParameterError(
            f"The gain {value:g} is outside its range [{low:g}, {high:g}]. Expected it inside. "
            f"Check the ends."
        )
    share = float(low >= 1.0) if (low >= 1.0) == (high >= 1.0) else math.nan
    return Gain(
        kind=kind,
        value=float(value),
        std_error=math.nan,
        low=float(low),
        high=float(high),
        level=1.0,
        share_at_least_one=share,
        note=note,
    )


def model_gain(cascade: Cascade, *, ends: tuple[float, float] | None = None, note: str) -> Gain:
    """Secant gain of a solved model: the endogenous share of its move.

    Parameters
    ----------
    cascade : Cascade
        Something must have moved.
    ends : (low, high), optional
        Range over the assumptions that were varied; left out, the value alone, which is exact
        for the model and says nothing of the assumptions.
    note : str
        Which assumptions the number rests on.
    """
    value = cascade.secant_gain
    return range_gain("model secant", value, ends or (value, value), note=note)


def gain_from_hawkes(fit: HawkesFit, *, level: float = 0.95) -> Gain:
    """Branching ratio as a gain: they agree if impact and density are stationary."""
    return _normal("Hawkes", fit.branching_ratio, fit.branching_error, level)


def gain_from_response(
    total: tuple[float, float], direct: tuple[float, float], *, level: float = 0.95
) -> Gain:
    """Endogenous share 1 - direct/total from an impulse response.

    Parameters
    ----------
    total, direct : (value, std_error)
        Long-run response to a unit of external news, and the response without feedback; same
        sign and unit. Errors are taken as independent.
    level : float

    Examples
    --------
    >>> gain_from_response((2.0, 0.0), (1.0, 0.0)).value
    0.5
    """
    numbers = vector([*total, *direct], "responses and their errors")
    if (numbers[[1, 3]] < 0).any():
        raise DataError(
            f"Standard errors {total[1]:g} and {direct[1]:g}. Expected none below 0. Check their "
            f"order."
        )
    if not total[0] * direct[0] > 0:
        raise DataError(
            f"Responses {total[0]:g} and {direct[0]:g}. Expected the same sign, not 0. "
            f"Check the horizon."
        )
    ratio = direct[0] / total[0]
    error = abs(ratio) * math.hypot(total[1] / total[0], direct[1] / direct[0])
    return _normal("impulse response", 1.0 - ratio, error, level)


@dataclass(frozen=True, kw_only=True, eq=False)
class Consistency(Record):
    """Several estimates of the gain on one axis: they agree only if the mechanism is right.

    Parameters
    ----------
    gains : tuple of Gain
    """

    gains: tuple[Gain, ...]

    @property
    def do_overlap(self) -> bool:
        """Whether all intervals share a point."""
        return max(gain.low for gain in self.gains) <= min(gain.high for gain in self.gains)

    def to_frame(self) -> pl.DataFrame:
        """Return one row per estimate."""
        return pl.concat([gain.to_frame() for gain in self.gains])

    def summary(self) -> Summary:
        """Return the estimates and whether their intervals overlap."""
        rows: list[tuple[str, object]] = [("all intervals overlap", self.do_overlap)]
        note = "Overlap is consistent with the mechanism; it does not prove it."
        return Summary(
            title="Consistency of the gain", rows=rows, frame=self.to_frame(), notes=[note]
        )

    def plot(self) -> alt.TopLevelMixin:
        """Altair chart of all estimates on the axis of g, with the line g = 1."""
        from cascadelab.charts.estimate import consistency_chart

        return consistency_chart(self.to_frame())


def consistency(gains: Sequence[Gain]) -> Consistency:
    """Put estimates of the gain side by side; at least two are needed."""
    if len(gains) < 2:
        raise DataError(f"{len(gains)} estimate of the gain. Expected at least two to compare.")
    return Consistency(gains=tuple(gains))
