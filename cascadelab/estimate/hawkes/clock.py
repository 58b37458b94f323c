"""Does an engine release events on a clock? A periodogram of the distinct event times."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cascadelab.display import Summary
from cascadelab.errors import ParameterError
from cascadelab.estimate.hawkes.inputs import check_positive
from cascadelab.estimate.hawkes.kernel import EventTimes, event_times
from cascadelab.estimate.record import Record
from cascadelab.units import FloatArray

if TYPE_CHECKING:
    import altair as alt

__all__ = ["ClockTest", "detect_clock"]

#: Concentration on the clock's phase that counts as a clock (1 is exact).
_CONCENTRATED = 0.35
#: Power over the median of neighbouring frequencies that a clock must reach.
_PROMINENT = 25.0
#: Longest stretch searched at once, in longest periods.
_MOST_PERIODS = 720


@dataclass(frozen=True, kw_only=True, eq=False)
class ClockTest(Record):
    """Result of :func:`detect_clock`.

    Parameters
    ----------
    period_s : float
        Best period, whether or not it counts as a clock.
    concentration : float
        Length of the mean phase vector, 0 to 1.
    prominence : float
        Power over that of neighbouring frequencies.
    p_value : float
        Null: distinct times have no period; corrected for all frequencies tried.
    tied_share : float
        Share of events stamped at the same time as the one before.
    is_clock : bool
    """

    period_s: float
    concentration: float
    prominence: float
    p_value: float
    tied_share: float
    is_clock: bool

    def plot(self) -> alt.TopLevelMixin:
        """Altair chart of concentration, power and p-value against what makes a clock."""
        import polars as pl

        from cascadelab.charts.checks import limit_chart

        verdict = "clock found" if self.is_clock else "no clock"
        rows = [
            ("concentration of phases [1]", self.concentration, _CONCENTRATED, "at least"),
            ("power over neighbours [1]", self.prominence, _PROMINENT, "at least"),
            ("p-value [1], null: no period", self.p_value, 0.001, "below"),
        ]
        names = ["measure", "value", "limit", "limit_name"]
        return limit_chart(
            pl.DataFrame(rows, schema=names, orient="row"),
            title=f"Engine: {verdict}, best period {self.period_s:.4g} s",
            words=f"A clock must pass all three; {self.tied_share:.1%} of events share a stamp",
        )

    def summary(self) -> Summary:
        """Return period, concentration, p-value and verdict."""
        rows: list[tuple[str, object]] = [
            ("engine clock found", self.is_clock),
            ("best period, s", self.period_s),
            ("phase concentration", self.concentration),
            ("power over neighbours", self.prominence),
            ("p-value (null: no period)", self.p_value),
            ("tied events", self.tied_share),
        ]
        note = "Batches fake self-excitation: fit counts per engine step." if self.is_clock else ""
        return Summary(title="Engine clock", rows=rows, notes=[note] if note else [])


def detect_clock(
    times_s: npt.ArrayLike,
    duration_s: float,
    *,
    resolution_s: float,
    longest_s: float = 120.0,
) -> ClockTest:
    r"""Search periods between three resolutions and `longest_s` for a release clock.

    Parameters
    ----------
    times_s : array_like of shape (n,)
    duration_s : float
    resolution_s : float
        Resolution of the stamps; periods below three of them, or below 1/65,536 of the window
        searched, are not looked for.
    longest_s : float
        Longest period searched; at most a tenth of the window is used. Of a window of more than
        720 of them (a day) the busiest part of that length is searched, so that short periods
        are seen; the period found is then made exact on the whole window.

    Returns
    -------
    ClockTest

    Notes
    -----
    Rayleigh power :math:`|\sum_j e^{2\pi i f t_j}|^2/N` of the distinct times on a grid of half
    resolutions. Under no period it is unit exponential at each frequency. A clock must be
    significant after correction, concentrated (mean phase vector of at least 0.35) and stand 25
    times above its neighbours, since clustering raises low frequencies as well. Of several
    harmonics the longest period wins.
    """
    check_positive(resolution_s=resolution_s, longest_s=longest_s)
    events = event_times(times_s, duration_s)
    tied = float(np.mean(np.diff(events.times_s) == 0))
    start, length = _busiest(events, _MOST_PERIODS * longest_s)
    times = events.times_s[(events.times_s >= start) & (events.times_s <= start + length)] - start
    distinct = np.unique(np.round(times / resolution_s).astype(np.int64))
    longest = min(longest_s, length / 10.0)
    if 3.0 * resolution_s >= longest:
        raise ParameterError(
            f"resolution_s is {resolution_s:g}; expected less than a third of {longest:g} s, the "
            f"longest period searched. Use finer stamps or a longer window."
        )
    power, frequency = _periodogram(
        distinct.astype(np.float64) * resolution_s, length, resolution_s
    )
    shortest = max(3.0 * resolution_s, 8.0 * length / 2**19)
    kept = (frequency >= 1.0 / longest) & (frequency <= 1.0 / shortest)
    prominence = power / _neighbours(power)
    candidates = np.flatnonzero(kept)
    concentration = np.sqrt(power / distinct.size)
    good = (concentration >= _CONCENTRATED) & (prominence >= _PROMINENT) & kept
    best = int(candidates[np.argmax(power[candidates])])
    strong = np.flatnonzero(good & (power >= 0.7 * power[best]))
    if strong.size:
        first = int(strong[0])
        near = np.arange(max(first - 4, 0), min(first + 5, power.size))
        best = int(near[np.argmax(power[near])])
    p_value = -math.expm1(candidates.size * math.log1p(-math.exp(-min(float(power[best]), 700.0))))
    is_clock = bool(strong.size) and p_value < 0.001 and distinct.size >= 8
    return ClockTest(
        period_s=1.0 / _refined(events, float(frequency[best]), start, length),
        concentration=float(concentration[best]),
        prominence=float(prominence[best]),
        p_value=p_value,
        tied_share=tied,
        is_clock=is_clock,
    )


def _busiest(events: EventTimes, length_s: float) -> tuple[float, float]:
    """Start and length of the stretch with most events; the window itself if not longer."""
    if events.duration_s <= length_s:
        return 0.0, events.duration_s
    times = events.times_s
    stops = np.searchsorted(times, times + length_s, side="right")
    return float(times[int(np.argmax(stops - np.arange(times.size)))]), length_s


def _refined(events: EventTimes, frequency: float, start_s: float, length_s: float) -> float:
    """Frequency of most power on ever longer stretches around the first, up to the window.

    A frequency from a stretch of length L is known to about 1/(8 L): over a window of many
    stretches it would drift by whole steps.
    """
    distinct = np.unique(events.times_s)
    while length_s < events.duration_s:
        before, length_s = length_s, min(2.0 * length_s, events.duration_s)
        start_s = min(max(start_s - before / 2.0, 0.0), events.duration_s - length_s)
        near = distinct[(distinct >= start_s) & (distinct <= start_s + length_s)] - start_s
        grid = frequency + np.arange(-8, 9) / (8.0 * length_s)
        power = [float(np.abs(np.exp(2j * np.pi * f * near).sum())) for f in grid]
        frequency = float(grid[int(np.argmax(power))])
    return frequency


def _periodogram(
    times: FloatArray, duration_s: float, resolution_s: float
) -> tuple[FloatArray, FloatArray]:
    """Rayleigh power on a frequency grid four times finer than one over the window."""
    step = max(resolution_s / 2.0, duration_s / 2**19)
    n_bins = math.ceil(duration_s / step) + 1
    size = 1 << math.ceil(math.log2(4 * n_bins))
    counts = np.bincount(np.round(times / step).astype(np.int64), minlength=n_bins)
    spectrum = np.fft.rfft(counts.astype(np.float64), size)
    power = np.abs(spectrum) ** 2 / times.size
    return power, np.asarray(np.fft.rfftfreq(size, step) + 1e-300, dtype=np.float64)


def _neighbours(power: FloatArray, reach: int = 200) -> FloatArray:
    """Mean power of the surroundings, the nearest 40 grid points left out."""
    cumulated = np.concatenate([[0.0], np.cumsum(power)])
    index = np.arange(power.size)

    def total(half: int) -> tuple[FloatArray, FloatArray]:
        low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, power.size)
        return cumulated[high] - cumulated[low], (high - low).astype(np.float64)

    wide, n_wide = total(reach)
    narrow, n_narrow = total(40)
    return np.maximum((wide - narrow) / np.maximum(n_wide - n_narrow, 1.0), 1e-12)
