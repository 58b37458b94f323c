"""Oracles: which price a protocol believes, and how late. One reading per step, no look-ahead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cascadelab.errors import ParameterError, require_positive
from cascadelab.units import FloatArray

__all__ = [
    "DelayedOracle",
    "LastOracle",
    "MedianOracle",
    "Oracle",
    "PushOracle",
    "Reader",
    "TwapOracle",
    "path",
]


class Reader(Protocol):
    """An oracle at work: fed the venues' prices step by step."""

    def read(self, prices: FloatArray) -> float:
        """Oracle price once the venues trade at `prices`, shape (n_venues,)."""
        ...


class Oracle(Protocol):
    """How venue prices become the price a protocol uses."""

    def reader(self, step_s: float) -> Reader:
        """Return a fresh reader for steps of some seconds."""
        ...


def path(oracle: Oracle, prices: npt.ArrayLike, step_s: float = 1.0) -> FloatArray:
    """Oracle price along given venue prices.

    Parameters
    ----------
    oracle : Oracle
    prices : array_like of shape (n_steps,) or (n_steps, n_venues)
        Quote per base.
    step_s : float
        Seconds between rows.

    Returns
    -------
    ndarray of shape (n_steps,)

    Examples
    --------
    >>> path(MedianOracle(), [[100.0, 101.0, 40.0]])
    array([100.])
    """
    table = np.asarray(prices, dtype=np.float64)
    table = table[:, None] if table.ndim == 1 else table
    reader = oracle.reader(step_s)
    return np.array([reader.read(row) for row in table])


def _whole_steps(oracle: object, field: str, step_s: float) -> int:
    """Steps in the seconds of a field; an average or a delay of part of a step is not silent."""
    if not (np.isfinite(step_s) and step_s > 0):
        raise ParameterError(f"step_s is {step_s!r}; expected positive seconds. Pass some.")
    n_steps = float(getattr(oracle, field)) / step_s
    if abs(n_steps - round(n_steps)) > 1e-9 * max(n_steps, 1.0):
        raise ParameterError.out_of_range(oracle, field, f"a multiple of the step, {step_s} s")
    return round(n_steps)


@dataclass(frozen=True, kw_only=True, slots=True)
class LastOracle:
    """Last price of one venue.

    Parameters
    ----------
    venue : int
        Column of the venue.
    """

    venue: int = 0

    def reader(self, step_s: float) -> Reader:
        """Return a fresh reader."""
        return _LastReader(self.venue)


class _LastReader:
    def __init__(self, venue: int) -> None:
        self.venue = venue

    def read(self, prices: FloatArray) -> float:
        """Price of the venue."""
        if not 0 <= self.venue < len(prices):
            raise ParameterError(
                f"LastOracle.venue is {self.venue}; expected a column of {len(prices)} venues, "
                f"counted from 0. Correct it."
            )
        return float(prices[self.venue])


@dataclass(frozen=True, slots=True)
class MedianOracle:
    """Median over all venues: one venue alone cannot move it far."""

    def reader(self, step_s: float) -> Reader:
        """Return a fresh reader."""
        return _MedianReader()


class _MedianReader:
    def read(self, prices: FloatArray) -> float:
        """Median of the venues."""
        return float(np.median(prices))


@dataclass(frozen=True, kw_only=True, slots=True)
class TwapOracle:
    """Time-weighted average of the median over a window; shorter at the start.

    Parameters
    ----------
    window_s : float
        Seconds, positive, a multiple of the step.
    """

    window_s: float

    def __post_init__(self) -> None:
        require_positive(self, "window_s")

    def reader(self, step_s: float) -> Reader:
        """Return a fresh reader; ParameterError if the window is no multiple of the step."""
        return _TwapReader(_whole_steps(self, "window_s", step_s))


class _TwapReader:
    def __init__(self, n_steps: int) -> None:
        self.ring = np.zeros(n_steps)
        self.n_seen = 0

    def read(self, prices: FloatArray) -> float:
        """Mean of the last medians."""
        self.ring[self.n_seen % len(self.ring)] = np.median(prices)
        self.n_seen += 1
        return float(self.ring[: min(self.n_seen, len(self.ring))].mean())


@dataclass(frozen=True, kw_only=True, slots=True)
class PushOracle:
    """Pushed when the median has moved far enough, or has not been pushed for long enough.

    Parameters
    ----------
    deviation_fraction : float
        Relative move since the last push that causes a push (inclusive), positive.
    heartbeat_s : float
        Longest time without a push, seconds, positive.
    """

    deviation_fraction: float
    heartbeat_s: float

    def __post_init__(self) -> None:
        require_positive(self, "deviation_fraction", "heartbeat_s")

    def reader(self, step_s: float) -> Reader:
        """Return a fresh reader."""
        return _PushReader(self.deviation_fraction, self.heartbeat_s / step_s)


class _PushReader:
    def __init__(self, deviation: float, n_steps: float) -> None:
        self.deviation, self.n_steps = deviation, n_steps
        self.price, self.age = float("nan"), 0

    def read(self, prices: FloatArray) -> float:
        """Price of the last push."""
        now = float(np.median(prices))
        self.age += 1
        is_first = np.isnan(self.price)
        if (
            is_first
            or self.age >= self.n_steps
            or (abs(now - self.price) >= self.deviation * self.price * (1.0 - 1e-12))
        ):
            self.price, self.age = now, 0
        return self.price


@dataclass(frozen=True, kw_only=True, slots=True)
class DelayedOracle:
    """Another oracle, read late.

    Parameters
    ----------
    source : Oracle
    delay_s : float
        Seconds, a multiple of the step; before that, the first reading.
    """

    source: Oracle
    delay_s: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.delay_s) and self.delay_s >= 0):
            raise ParameterError.out_of_range(self, "delay_s", "a finite number of at least 0")

    def reader(self, step_s: float) -> Reader:
        """Return a fresh reader; ParameterError if the delay is no multiple of the step."""
        return _DelayedReader(self.source.reader(step_s), _whole_steps(self, "delay_s", step_s))


class _DelayedReader:
    def __init__(self, source: Reader, n_steps: int) -> None:
        self.source, self.n_steps = source, n_steps
        self.seen: list[float] = []

    def read(self, prices: FloatArray) -> float:
        """Reading of some steps ago."""
        self.seen.append(self.source.read(prices))
        return self.seen[max(len(self.seen) - 1 - self.n_steps, 0)]
