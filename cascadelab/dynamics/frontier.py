"""The trade-off of an engine's clock: price against bad debt as the check interval grows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.dynamics.engine import simulate
from cascadelab.dynamics.settings import Market
from cascadelab.errors import ParameterError

__all__ = ["check_interval_frontier"]


def check_interval_frontier(
    market: Market,
    fundamental_price: npt.ArrayLike,
    check_intervals_s: Sequence[float],
    *,
    step_s: float = 1.0,
    n_offsets: int = 1,
) -> pl.DataFrame:
    """Run one market along one path under several check intervals.

    Parameters
    ----------
    market : Market
        Its clock is replaced in the interval only.
    fundamental_price : array_like of shape (n_steps + 1,)
        Quote per base.
    check_intervals_s : sequence of float
        Seconds, whole numbers of steps; 0: all the time.
    step_s : float
        Seconds.
    n_offsets : int
        Runs per interval, the first check shifted evenly within it; results are their means,
        so that a fall just before or after a check does not decide, and least and most of two.

    Returns
    -------
    polars.DataFrame
        ``check_interval_s``, ``largest_move`` (coordinate units), ``largest_move_fraction`` (of
        the first price), ``closed_base``, ``bad_debt_quote``, ``shortfall_quote``, ``n_rounds``:
        means; ``least_move_fraction``, ``most_move_fraction``, ``least_bad_debt_quote``,
        ``most_bad_debt_quote``: over the offsets.
    """
    if not n_offsets >= 1:
        raise ParameterError(f"n_offsets is {n_offsets!r}; expected at least 1. Pass a count.")
    path = np.asarray(fundamental_price, dtype=np.float64)
    rows = []
    for interval in check_intervals_s:
        clock = dataclasses.replace(market.clock, check_interval_s=float(interval))
        timed = dataclasses.replace(market, clock=clock)
        n_steps = round(interval / step_s)
        shifts = sorted({round(n_steps * i / n_offsets) for i in range(n_offsets)})
        found = []
        for shift in shifts:
            led = np.concatenate([np.full(shift, path[0]), path])
            run = simulate(timed, led, step_s=step_s)
            lowest = float(run.price.min())
            values = (run.largest_move, 1.0 - lowest / path[0], run.closed_base)
            found.append((*values, run.bad_debt_quote, run.shortfall_quote, float(run.n_rounds)))
        spread = np.array(found)[:, [1, 3]]
        ends = np.column_stack([spread.min(axis=0), spread.max(axis=0)]).ravel().tolist()
        rows.append((float(interval), *np.mean(found, axis=0).tolist(), *ends))
    names = ["largest_move", "largest_move_fraction", "closed_base", "bad_debt_quote"]
    ranges = ["least_move_fraction", "most_move_fraction"]
    ranges += ["least_bad_debt_quote", "most_bad_debt_quote"]
    schema = ["check_interval_s", *names, "shortfall_quote", "n_rounds", *ranges]
    return pl.DataFrame(rows, schema=schema, orient="row")
