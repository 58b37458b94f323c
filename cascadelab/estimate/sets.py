"""Confidence sets that may be unbounded, disjoint or empty, told as they are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cascadelab.display import Summary, number
from cascadelab.estimate.record import Record
from cascadelab.units import FloatArray

if TYPE_CHECKING:
    import altair as alt

__all__ = ["ConfidenceSet", "set_below"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ConfidenceSet(Record):
    """A union of closed intervals; end-points may be infinite.

    Parameters
    ----------
    name : str
    level : float
        Confidence level, fraction.
    intervals : tuple of (low, high)
        In increasing order, disjoint; empty tuple for the empty set.

    Examples
    --------
    >>> both = ((-np.inf, -1.0), (2.0, np.inf))
    >>> print(ConfidenceSet(name="AR", level=0.95, intervals=both).words)
    (-inf, -1] or [2, inf)
    """

    name: str
    level: float
    intervals: tuple[tuple[float, float], ...]

    @property
    def kind(self) -> str:
        """``"empty"``, ``"bounded"``, ``"half-line"``, ``"disjoint"`` or ``"whole line"``."""
        if not self.intervals:
            return "empty"
        if len(self.intervals) > 1:
            return "disjoint"
        low, high = self.intervals[0]
        n_infinite = math.isinf(low) + math.isinf(high)
        return ("bounded", "half-line", "whole line")[n_infinite]

    @property
    def is_bounded(self) -> bool:
        """Whether no end-point is infinite (the empty set is bounded)."""
        return all(math.isfinite(end) for pair in self.intervals for end in pair)

    def __contains__(self, value: float) -> bool:
        return any(low <= value <= high for low, high in self.intervals)

    @property
    def words(self) -> str:
        """Return the set in interval notation."""
        if not self.intervals:
            return "empty set"
        return " or ".join(
            ("(" if math.isinf(low) else "[")
            + f"{low:.{_digits(low, high)}g}, {high:.{_digits(low, high)}g}"
            + (")" if math.isinf(high) else "]")
            for low, high in self.intervals
        )

    def plot(self) -> alt.TopLevelMixin:
        """Altair chart of the set; an arrow where it has no end, words where nothing can be drawn.

        The empty set and the whole line have no end to draw: the chart says what they mean.
        """
        import polars as pl

        from cascadelab.charts.checks import interval_chart, words_chart

        title = f"{self.name}: {self.level:.0%} confidence set"
        if any(math.isnan(end) for pair in self.intervals for end in pair):
            return words_chart(title, f"Not available: an end is not a number ({self.words}).")
        if self.kind == "empty":
            return words_chart(title, "Empty: no value is compatible with the data and the model.")
        if self.kind == "whole line":
            return words_chart(title, "The whole line: the data exclude no value at this level.")
        rows = [
            {"label": f"part {place}", "low": low, "high": high, "value": None}
            for place, (low, high) in enumerate(self.intervals, start=1)
        ]
        frame = pl.DataFrame(rows, schema_overrides={"value": pl.Float64})
        frame = frame.with_columns(pl.lit(self.kind).alias("label")) if len(rows) == 1 else frame
        return interval_chart(
            frame,
            axis="value of the parameter [its unit]",
            title=title,
            words=f"{self.kind}: {self.words}",
        )

    def summary(self) -> Summary:
        """Return level, kind and the set in interval notation."""
        rows: list[tuple[str, object]] = [
            ("level", number(self.level)),
            ("kind", self.kind),
            ("set", self.words),
        ]
        return Summary(title=self.name, rows=rows)


def _digits(low: float, high: float) -> int:
    """Digits that tell the two ends apart, with two digits of their distance; 5 to 17."""
    width, size = high - low, max(abs(low), abs(high))
    if not (0 < width < math.inf):
        return 5
    return min(max(math.ceil(math.log10(size / width)) + 2, 5), 17)


def set_below(
    gap: Callable[[FloatArray], FloatArray], *, centre: float, scale: float
) -> tuple[tuple[float, float], ...]:
    """Intervals on which ``gap(x) <= 0``, over the whole real line.

    Parameters
    ----------
    gap : callable
        Continuous; takes and returns vectors.
    centre, scale : float
        Where the detail is: the line is mapped by ``x = centre + scale * tan(angle)``.

    Returns
    -------
    tuple of (low, high)
        Infinite ends where `gap` stays at or below zero a billion scales away.
    """
    from scipy import optimize

    def at(angle: FloatArray) -> FloatArray:
        return gap(centre + scale * np.tan(angle))

    edge = 0.5 * math.pi * (1 - 1e-9)
    angles = np.linspace(-edge, edge, 4001)
    values = at(angles)
    inside = values <= 0
    ends: list[float] = []
    for position in np.flatnonzero(inside[1:] != inside[:-1]):
        pair = (float(angles[position]), float(angles[position + 1]))
        root = optimize.brentq(lambda angle: float(at(np.array([angle]))[0]), *pair, xtol=1e-15)
        ends.append(centre + scale * math.tan(root))
    if inside[0]:
        ends.insert(0, -math.inf)
    if inside[-1]:
        ends.append(math.inf)
    return tuple(zip(ends[::2], ends[1::2], strict=True))
