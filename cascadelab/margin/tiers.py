"""Tier tables: maintenance that grows with the position, looked up where it is needed.

Two conventions exist. *Marginal*: :math:`MM = N m_k - a_k` with a deduction that makes the
requirement continuous (Binance, Bybit, Gate, Hyperliquid). *Whole*: the tier's rate applies to
the whole position and the requirement jumps at each floor (OKX, BitMEX, Deribit).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.errors import ParameterError
from cascadelab.margin.errors import TierTableError
from cascadelab.units import FloatArray, IntArray

__all__ = [
    "TierTable",
    "maintenance_at_rate",
    "next_deduction",
    "rates_at_risk_limit",
    "rates_linear_in_size",
]

#: A published deduction may be rounded to this many settlement units.
_DEDUCTION_SLACK = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class TierTable:
    """Floors, rates, deductions and leverage caps of one symbol, checked when made.

    Parameters
    ----------
    floor : ndarray of shape (n_tiers,)
        Lowest notional of each tier, settlement units (coin for coin-margined contracts).
    rate : ndarray of shape (n_tiers,)
        Maintenance rate of each tier, in (0, 1).
    deduction : ndarray of shape (n_tiers,)
        Cumulative maintenance deduction, settlement units; zeros for whole-position tables.
    max_leverage : ndarray of shape (n_tiers,)
        Highest leverage allowed; infinite where the table gives none.
    cap : float
        Upper end of the last tier; infinite where the table has none.
    is_marginal : bool
        True: deduction convention. False: the tier's rate applies to the whole position.
    symbol, as_of, source : str
        What the table is of, its day (ISO) or edition, and where the numbers come from.
    """

    floor: FloatArray
    rate: FloatArray
    deduction: FloatArray
    max_leverage: FloatArray
    cap: float = math.inf
    is_marginal: bool = True
    symbol: str = ""
    as_of: str = ""
    source: str = field(default="", repr=False)

    @classmethod
    def from_floors(
        cls,
        floor: npt.ArrayLike,
        rate: npt.ArrayLike,
        *,
        max_leverage: npt.ArrayLike | None = None,
        is_marginal: bool = True,
        symbol: str = "",
    ) -> TierTable:
        """Table from floors and rates; the deductions follow from continuity.

        Parameters
        ----------
        floor, rate : array_like of shape (n_tiers,)
            As in :class:`TierTable`.
        max_leverage : array_like of shape (n_tiers,), optional
        is_marginal : bool
        symbol : str

        Returns
        -------
        TierTable

        Raises
        ------
        TierTableError
            Names the first row out of order.

        Notes
        -----
        :math:`a_k = a_{k-1} + F_k (m_k - m_{k-1})`, :math:`a_0 = 0`.

        Examples
        --------
        >>> TierTable.from_floors([0, 50_000, 250_000], [0.004, 0.005, 0.01]).deduction.round(6)
        array([   0.,   50., 1300.])
        """
        floors, rates = np.asarray(floor, float), np.asarray(rate, float)
        _check_shape(symbol, floors, rates)
        steps = floors[1:] * np.diff(rates) if is_marginal else np.zeros(floors.size - 1)
        table = cls(
            floor=floors,
            rate=rates,
            deduction=np.concatenate([[0.0], np.cumsum(steps)]),
            max_leverage=np.full(floors.size, np.inf)
            if max_leverage is None
            else np.asarray(max_leverage, float),
            is_marginal=is_marginal,
            symbol=symbol,
        )
        return table

    @classmethod
    def from_rows(
        cls,
        rows: Sequence[Sequence[float | None]],
        *,
        symbol: str = "",
        as_of: str = "",
        source: str = "",
    ) -> TierTable:
        """Marginal table from rows (floor, cap, rate, maximum leverage, deduction).

        Parameters
        ----------
        rows : sequence of five numbers each
            A cap of None in the last row means no upper end.
        symbol, as_of, source : str
            Kept with the table and named in errors.

        Returns
        -------
        TierTable

        Raises
        ------
        TierTableError
            Names the first row that leaves a gap, overlaps its neighbour, or whose deduction
            breaks continuity by more than half a unit.
        """
        name = f"{symbol} {as_of}".strip()
        if not rows:
            raise TierTableError.in_row(name, 0, "is missing", "at least one row")
        numbers = np.array([[math.inf if x is None else x for x in row] for row in rows], float)
        floor, cap, rate, leverage, deduction = numbers.T
        _check_joins(name, floor, cap)
        table = cls(
            floor=floor,
            rate=rate,
            deduction=deduction,
            max_leverage=leverage,
            cap=float(cap[-1]),
            symbol=symbol,
            as_of=as_of,
            source=source,
        )
        _check_deduction(name, table)
        return table

    @classmethod
    def from_leverage(
        cls, floor: npt.ArrayLike, max_leverage: npt.ArrayLike, *, symbol: str = ""
    ) -> TierTable:
        """Table of a venue that charges half the initial rate at the tier's maximum leverage.

        Notes
        -----
        :math:`m_k = 1/(2 L_k)`: the user's own leverage plays no part (Hyperliquid).
        """
        leverage = np.asarray(max_leverage, float)
        return cls.from_floors(floor, 0.5 / leverage, max_leverage=leverage, symbol=symbol)

    @classmethod
    def flat(cls, rate: float, *, max_leverage: float = math.inf) -> TierTable:
        """Table of one tier: the same rate at every size."""
        return cls.from_floors([0.0], [rate], max_leverage=[max_leverage])

    def __post_init__(self) -> None:
        name = f"{self.symbol} {self.as_of}".strip()
        _check_shape(name, self.floor, self.rate)
        _check_rows(name, self.floor, self.rate, self.max_leverage)

    @property
    def n_tiers(self) -> int:
        """Number of tiers."""
        return int(self.floor.size)

    def tier_of(self, notional: npt.ArrayLike) -> IntArray:
        """Index of the tier that holds each notional; a floor belongs to its own tier.

        Raises
        ------
        ParameterError
            If a notional is negative or not finite; names the row.
        """
        value = np.atleast_1d(np.asarray(notional, dtype=np.float64))
        bad = ~(np.isfinite(value) & (value >= 0))
        if bad.any():
            row = int(np.argmax(bad))
            raise ParameterError(
                f"notional of row {row} is {value[row]}; expected a finite number of at least 0. "
                f"Pass unsigned notionals."
            )
        return self.tier_index(np.asarray(notional, dtype=np.float64))

    def tier_index(self, notional: FloatArray | float) -> IntArray:
        """Index of the tier that holds each notional, without the checks of :meth:`tier_of`."""
        return np.searchsorted(self.floor, notional, side="right") - 1

    def lookup(self, notional: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Maintenance rate and deduction at each notional.

        Parameters
        ----------
        notional : array_like of shape (n,)
            Unsigned, settlement units. Above the cap the last tier holds.

        Returns
        -------
        tuple of ndarray of shape (n,)
            Rate, and deduction in settlement units.
        """
        tier = self.tier_of(notional)
        return np.asarray(self.rate[tier]), np.asarray(self.deduction[tier])

    def maintenance(self, notional: npt.ArrayLike) -> FloatArray:
        """Maintenance margin at each notional, settlement units: :math:`N m_k - a_k`."""
        rate, deduction = self.lookup(notional)
        return np.asarray(np.asarray(notional, dtype=np.float64) * rate - deduction)

    def leverage_cap(self, notional: npt.ArrayLike) -> FloatArray:
        """Highest leverage allowed at each notional; 0 above the cap of the last tier.

        Examples
        --------
        >>> table = TierTable.from_floors([0.0, 100.0], [0.01, 0.02], max_leverage=[50.0, 25.0])
        >>> table.leverage_cap([99.0, 100.0, 1e9])
        array([50., 25., 25.])
        """
        cap = self.max_leverage[self.tier_of(notional)]
        return np.where(np.asarray(notional) > self.cap, 0.0, cap)

    def to_frame(self) -> pl.DataFrame:
        """One row per tier: floor, cap, rate, maximum leverage, deduction."""
        return pl.DataFrame(
            {
                "floor": self.floor,
                "cap": np.append(self.floor[1:], self.cap),
                "maintenance_fraction": self.rate,
                "max_leverage": self.max_leverage,
                "deduction": self.deduction,
            }
        )


def next_deduction(
    floor: float, rate: float, previous_rate: float, previous_deduction: float
) -> float:
    """Deduction of a tier from the one below: :math:`a_{k-1} + F_k (m_k - m_{k-1})`."""
    return previous_deduction + floor * (rate - previous_rate)


def rates_at_risk_limit(
    position: npt.ArrayLike,
    base_limit: float,
    step: float,
    base_maintenance: float,
    base_initial: float,
) -> tuple[FloatArray, FloatArray]:
    r"""Maintenance and initial rate of a BitMEX risk limit, for the whole position.

    Parameters
    ----------
    position : array_like of shape (n,)
        Unsigned position value, units of the limit (XBT).
    base_limit, step : float
        Limit without a step, and size of a step, same units.
    base_maintenance, base_initial : float
        Rates at the base limit.

    Returns
    -------
    tuple of ndarray of shape (n,)

    Notes
    -----
    :math:`k = \max(0, \lceil (P - base)/step \rceil)`; each step adds the base *maintenance*
    rate to both. At the boundary the worked example of the venue counts 300 as k = 1.
    """
    excess = (np.asarray(position, dtype=np.float64) - base_limit) / step
    k = np.maximum(np.ceil(excess - 1e-12), 0.0)
    return np.asarray(base_maintenance * (1.0 + k)), np.asarray(base_initial + k * base_maintenance)


def rates_linear_in_size(
    size_base: npt.ArrayLike, base_rate: float, rate_per_unit: float
) -> FloatArray:
    """Rate that grows with the size and applies to the whole position (Deribit)."""
    return np.asarray(base_rate + rate_per_unit * np.abs(size_base))


def _check_shape(name: str, floor: FloatArray, rate: FloatArray) -> None:
    if floor.ndim != 1 or floor.size == 0 or floor.shape != rate.shape:
        raise TierTableError.in_row(
            name,
            0,
            f"has floors of shape {floor.shape} and rates of shape {rate.shape}",
            "two lists of one length, at least one tier",
        )


def _check_rows(name: str, floor: FloatArray, rate: FloatArray, leverage: FloatArray) -> None:
    if floor[0] != 0:
        raise TierTableError.in_row(name, 0, f"starts at {floor[0]:g}", "a first floor of 0")
    for row in range(floor.size):
        if not 0 < rate[row] < 1:
            raise TierTableError.in_row(
                name, row, f"has maintenance rate {rate[row]:g}", "a rate in (0, 1)"
            )
        if not leverage[row] > 0:
            raise TierTableError.in_row(
                name, row, f"has maximum leverage {leverage[row]:g}", "a positive leverage"
            )
        if row and not floor[row] > floor[row - 1]:
            raise TierTableError.in_row(
                name, row, f"has floor {floor[row]:g} after {floor[row - 1]:g}", "rising floors"
            )
        if row and not rate[row] > rate[row - 1]:
            raise TierTableError.in_row(
                name, row, f"has rate {rate[row]:g} after {rate[row - 1]:g}", "rising rates"
            )


def _check_joins(name: str, floor: FloatArray, cap: FloatArray) -> None:
    for row in range(floor.size):
        if not cap[row] > floor[row]:
            raise TierTableError.in_row(
                name,
                row,
                f"ends at {cap[row]:g}, not above its floor {floor[row]:g}",
                "a cap above the floor",
            )
        if row and floor[row] > cap[row - 1]:
            raise TierTableError.in_row(
                name,
                row,
                f"starts at {floor[row]:g}, leaving a gap after {cap[row - 1]:g}",
                "a floor equal to the cap of the row before",
            )
        if row and floor[row] < cap[row - 1]:
            raise TierTableError.in_row(
                name,
                row,
                f"starts at {floor[row]:g}, overlapping the row that ends at {cap[row - 1]:g}",
                "a floor equal to the cap of the row before",
            )


def _check_deduction(name: str, table: TierTable) -> None:
    expected = np.concatenate([[0.0], np.cumsum(table.floor[1:] * np.diff(table.rate))])
    slack = _DEDUCTION_SLACK + 1e-9 * np.abs(expected)
    off = ~(np.abs(expected - table.deduction) <= slack)
    if off.any():
        row = int(np.argmax(off))
        raise TierTableError.in_row(
            name,
            row,
            f"has deduction {table.deduction[row]:g}",
            f"{expected[row]:g}, which makes the requirement continuous",
        )


def maintenance_at_rate(
    notional: npt.ArrayLike, rate: npt.ArrayLike, deduction: npt.ArrayLike = 0.0
) -> FloatArray:
    """Maintenance of a notional at a known rate and deduction: :math:`N m - a`."""
    return np.asarray(
        np.asarray(notional, dtype=np.float64) * np.asarray(rate) - np.asarray(deduction)
    )
