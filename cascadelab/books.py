"""Books of positions from what is known of them: open interest, mixes of leverage, loans."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.errors import ParameterError
from cascadelab.ledger_flow import LedgerFlow
from cascadelab.margin import liquidation_price
from cascadelab.schema import LEVERAGE_MIX, check
from cascadelab.units import Coordinate, FloatArray

__all__ = ["exponential_entries", "flow_from_mix", "lending_flow"]


def exponential_entries(
    *, price: float, mean_distance: float, n_entries: int
) -> tuple[FloatArray, FloatArray]:
    r"""Entry prices of a book built while the price rose, at even quantiles.

    Parameters
    ----------
    price : float
        Price now, quote per base, positive.
    mean_distance : float
        Mean log distance of an entry below the price, positive: an assumption.
    n_entries : int
        Number of entry prices, at least 1.

    Returns
    -------
    prices, weights : ndarray of shape (n_entries,)
        Entry prices :math:`p e^{-dX}`, X standard exponential, and equal weights summing to 1.
    """
    if not (0 < price < np.inf and 0 < mean_distance < np.inf):
        raise ParameterError(
            f"price is {price!r} and mean_distance {mean_distance!r}; expected positive numbers. "
            f"Pass both."
        )
    if not isinstance(n_entries, int) or n_entries < 1:
        raise ParameterError(
            f"n_entries is {n_entries!r}; expected a whole number of at least 1. Pass one."
        )
    quantiles = (np.arange(n_entries) + 0.5) / n_entries
    distance = -mean_distance * np.log1p(-quantiles)
    return price * np.exp(-distance), np.full(n_entries, 1.0 / n_entries)


def flow_from_mix(
    open_interest_base: npt.ArrayLike,
    entry_price: npt.ArrayLike,
    leverage_mix: pl.DataFrame,
    maintenance_fraction: float,
    coordinate: Coordinate,
) -> LedgerFlow:
    """Forced-flow curve from open interest by entry price and an assumed mix of leverage.

    Parameters
    ----------
    open_interest_base : array_like of shape (n_entries,)
        Open interest of the coordinate's side entered at each price, base units, at least 0.
    entry_price : array_like of shape (n_entries,)
        Quote per base, positive.
    leverage_mix : polars.DataFrame
        ``leverage`` (entry notional over margin, positive) and ``share`` (at least 0, summing to
        1): the same at every entry price.
    maintenance_fraction : float
        Maintenance margin over notional, in [0, 1).
    coordinate : Coordinate
        Positions whose liquidation price the market has passed before (a negative threshold)
        cannot exist any more: they are left out, and the rest is scaled up to the open interest.

    Returns
    -------
    LedgerFlow
        One row per entry price and leverage that can still exist.

    Raises
    ------
    SchemaError
        If the mix lacks a column, or a row of it breaks a rule.
    ParameterError
        If the shapes differ, an amount, a price or the maintenance fraction is out of its range,
        the shares do not sum to 1, or no position can exist.
    """
    size, entry = (
        np.asarray(values, dtype=np.float64) for values in (open_interest_base, entry_price)
    )
    mix = check(leverage_mix, LEVERAGE_MIX)
    leverage, share = mix["leverage"].to_numpy(), mix["share"].to_numpy()
    if size.ndim != 1 or size.shape != entry.shape:
        raise ParameterError(
            f"open_interest_base has shape {size.shape} and entry_price {entry.shape}; expected "
            f"two one-dimensional arrays of one length. Pass one entry price for each."
        )
    if not (np.isfinite(size) & (size >= 0)).all():
        row = int(np.argmin(np.isfinite(size) & (size >= 0)))
        raise ParameterError(
            f"open_interest_base of row {row} is {size[row]}; expected a finite amount of at least "
            f"0. The side is that of the coordinate."
        )
    if not abs(share.sum() - 1.0) < 1e-9:
        raise ParameterError(
            f"The shares of leverage_mix are {share.tolist()} and sum to {share.sum():.6g}; "
            f"expected 1. Correct the mix."
        )
    if not (0 <= maintenance_fraction < 1 and (entry > 0).all() and np.isfinite(entry).all()):
        raise ParameterError(
            f"maintenance_fraction is {maintenance_fraction!r} and the lowest entry_price "
            f"{entry.min(initial=np.inf)!r}; expected [0, 1) and positive finite prices. Correct "
            f"them."
        )
    prices = np.repeat(entry, len(leverage))
    sizes = (size[:, None] * share).ravel()
    sign = 1.0 if coordinate.side == "long" else -1.0
    margin = prices / np.tile(leverage, len(entry))
    due = liquidation_price(prices, np.full(prices.shape, sign), margin, maintenance_fraction)
    thresholds = coordinate.move_to(due)
    can_exist = ~(thresholds < 0)
    kept = float(sizes[can_exist].sum())
    if not kept > 0:
        raise ParameterError(
            "Every position of the mix would have been liquidated before; expected some that "
            "can exist. Lower the leverages or raise the entry prices."
        )
    scale = float(sizes.sum()) / kept
    return LedgerFlow(thresholds[can_exist], sizes[can_exist] * scale, coordinate)


def lending_flow(
    collateral_base: npt.ArrayLike,
    debt_quote: npt.ArrayLike,
    liquidation_threshold: npt.ArrayLike,
    coordinate: Coordinate,
    *,
    close_fraction: float = 1.0,
    bonus_fraction: float = 0.0,
) -> LedgerFlow:
    r"""Forced-flow curve of collateralised loans.

    Parameters
    ----------
    collateral_base : array_like of shape (n_loans,)
        Collateral, base units, at least 0.
    debt_quote : array_like of shape (n_loans,)
        Debt, quote, at least 0; a loan without debt is never liquidated.
    liquidation_threshold : array_like of shape (n_loans,) or float
        LT: share of the collateral's value up to which debt is allowed, in (0, 1].
    coordinate : Coordinate
        Side ``"long"``: falls of the collateral's price in the debt's unit.
    close_fraction : float
        Share of the debt repaid by one liquidation, in (0, 1].
    bonus_fraction : float
        Discount given to the liquidator, over the debt repaid, at least 0.

    Returns
    -------
    LedgerFlow
        Liquidated at :math:`p=debt/(LT\cdot collateral)`; sold is the collateral worth
        :math:`f\,debt\,(1+bonus)` at that price, at most all of it.

    Raises
    ------
    ParameterError
        If a parameter is out of its range.
    """
    if coordinate.side != "long":
        raise ParameterError(
            "The coordinate measures a rise, and collateral is sold as its price falls; expected "
            "the side 'long'. Pass Coordinate(side='long')."
        )
    given = [
        np.asarray(values, dtype=np.float64)
        for values in (collateral_base, debt_quote, liquidation_threshold)
    ]
    try:
        collateral, debt, threshold = np.broadcast_arrays(*given)
    except ValueError:
        raise ParameterError(
            f"Collateral, debt and threshold have the shapes {[one.shape for one in given]}; "
            f"expected one value per loan in each. Take them from one table."
        ) from None
    if not (0 < close_fraction <= 1 and bonus_fraction >= 0):
        raise ParameterError(
            f"close_fraction is {close_fraction!r} and bonus_fraction {bonus_fraction!r}; "
            f"expected (0, 1] and at least 0. Pass both as fractions."
        )
    bad = ~((collateral >= 0) & (debt >= 0) & (threshold > 0) & (threshold <= 1))
    if bad.any():
        row = int(np.argmax(bad))
        raise ParameterError(
            f"Loan {row} has the collateral {collateral[row]}, the debt {debt[row]} and the "
            f"threshold {threshold[row]}; expected amounts of at least 0 and a threshold in "
            f"(0, 1]. Correct or drop it."
        )
    has_debt = (debt > 0) & (collateral > 0)
    price = np.full(debt.shape, np.nan)
    np.divide(debt, threshold * collateral, out=price, where=has_debt)
    sold = np.zeros(debt.shape)
    np.divide(close_fraction * debt * (1.0 + bonus_fraction), price, out=sold, where=has_debt)
    return LedgerFlow(coordinate.move_to(price), np.minimum(sold, collateral), coordinate)
