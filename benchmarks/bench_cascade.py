"""The shared job: one cascade on a book of isolated longs, against NumPy by hand."""

from __future__ import annotations

import numpy as np

import cascadelab as cl
from benchmarks.timing import Ratio, compare
from cascadelab.margin import FlatRules
from cascadelab.synthetic import draw_long_ledger

SHOCK = -float(np.log(0.9))


def book(n_positions: int) -> tuple[cl.LedgerFlow, cl.LinearImpact]:
    """Book of the shared job and its linear impact in log-price."""
    ledger = draw_long_ledger(n_positions=n_positions, reference_price=100.0, seed=20251010)
    coordinate = cl.Coordinate(reference_price=100.0, scale="log")
    flow = cl.ledger_flow(ledger, FlatRules(), coordinate)
    return flow, cl.LinearImpact(slope_per_base=0.25 / flow.total_base)


def masks(thresholds: np.ndarray, sizes: np.ndarray, slope: float) -> float:
    """What one would write by hand: compare every position with the mark, round by round."""
    move, sold = SHOCK, 0.0
    while True:
        total = float(np.dot(thresholds <= move, sizes))
        if total <= sold:
            return move
        sold = total
        move = SHOCK + slope * total


def one_shock(n_positions: int, floor: float) -> Ratio:
    """One shock on an unsorted book, the curve's construction included."""
    flow, impact = book(n_positions)
    thresholds, sizes, slope = flow.thresholds, flow.sizes_base, impact.slope_per_base

    def job() -> float:
        fresh = cl.LedgerFlow(thresholds, sizes, flow.coordinate)
        return cl.solve(fresh, impact, SHOCK).move

    assert abs(job() - masks(thresholds, sizes, slope)) < 1e-12
    n_rounds = cl.solve(flow, impact, SHOCK).n_rounds
    return Ratio(
        job=f"one shock, {n_positions:,} positions, unsorted",
        baseline="NumPy mask per round",
        ratio=compare(job, lambda: masks(thresholds, sizes, slope)),
        floor=floor,
        n_rounds=7,
        note=f"{n_rounds} cascade rounds",
    )


def ratios() -> list[Ratio]:
    """Return all ratios of this file."""
    return [one_shock(10_000, 0.7), one_shock(100_000, 1 / 1.2), one_shock(1_000_000, 1.0)]
