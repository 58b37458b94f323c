"""The shared job: one cascade on a book of isolated longs, against NumPy by hand."""

from __future__ import annotations

import numpy as np

import cascadelab as cl
from benchmarks.timing import Ratio, compare
from cascadelab.rng import generator
from cascadelab.synthetic import draw_long_flow

SHOCK = -float(np.log(0.9))
LOG = cl.Coordinate(reference_price=100.0, scale="log")


def book(n_positions: int) -> tuple[cl.LedgerFlow, cl.LinearImpact]:
    """Book of the shared job and its linear impact in log-price."""
    flow = draw_long_flow(
        n_positions=n_positions,
        coordinate=LOG,
        maintenance_fraction=0.005,
        rng=generator(20251010),
    )
    return flow, cl.LinearImpact(slope_per_base=0.25 / flow.total_base)


def masks(thresholds: np.ndarray, sizes: np.ndarray, slope: float, shock: float = SHOCK) -> float:
    """What one would write by hand: compare every position with the mark, round by round."""
    move, sold = shock, 0.0
    while True:
        total = float(np.dot(thresholds <= move, sizes))
        if total <= sold:
            return move
        sold = total
        move = shock + slope * total


def one_shock(n_positions: int, floor: float, n_rounds: int = 15) -> Ratio:
    """One shock on an unsorted book, the curve's construction included."""
    flow, impact = book(n_positions)
    thresholds, sizes, slope = flow.thresholds, flow.sizes_base, impact.slope_per_base

    def job() -> float:
        fresh = cl.LedgerFlow(thresholds, sizes, LOG)
        return cl.solve(fresh, impact, SHOCK).move

    assert abs(job() - masks(thresholds, sizes, slope)) < 1e-12
    return Ratio(
        job=f"one shock, {n_positions:,} positions, unsorted",
        baseline="NumPy mask per round",
        ratio=compare(job, lambda: masks(thresholds, sizes, slope), n_rounds=n_rounds),
        floor=floor,
        n_rounds=n_rounds,
        note=f"{cl.solve(flow, impact, SHOCK).n_rounds} cascade rounds",
    )


def later_shocks(n_positions: int, floor: float) -> Ratio:
    """Twenty later shocks on a book that has been sorted before."""
    flow, impact = book(n_positions)
    thresholds, sizes, slope = flow.thresholds, flow.sizes_base, impact.slope_per_base
    shocks = np.linspace(0.10, 0.11, 20).tolist()
    flow.prepare()

    def job() -> list[float]:
        return [cl.solve(flow, impact, shock).move for shock in shocks]

    def by_hand() -> float:
        return masks(thresholds, sizes, slope, shocks[10])

    assert abs(job()[10] - by_hand()) < 1e-12
    return Ratio(
        job=f"later shocks on one book, {n_positions:,} positions",
        baseline="NumPy mask per round",
        ratio=compare(job, by_hand, n_rounds=9) * len(shocks),
        floor=floor,
        n_rounds=9,
        note="20 shocks timed together, one by hand",
    )


def later_shocks_by_size() -> Ratio:
    """How the time of later shocks depends on the size of the book."""

    def shocks_on(n_positions: int) -> tuple[cl.LedgerFlow, cl.LinearImpact]:
        flow, impact = book(n_positions)
        return flow.prepare(), impact

    small, large = shocks_on(10_000), shocks_on(1_000_000)
    shocks = np.linspace(0.10, 0.11, 20).tolist()
    ratio = compare(
        lambda: [cl.solve(*large, shock) for shock in shocks],
        lambda: [cl.solve(*small, shock) for shock in shocks],
        n_rounds=15,
    )
    return Ratio(
        job="later shocks, a book of 1,000,000",
        baseline="the same, a book of 10,000",
        ratio=ratio,
        floor=0.5,
        n_rounds=15,
        note="1 would be no dependence on size",
    )


def chain(n_positions: int) -> tuple[np.ndarray, np.ndarray, cl.LinearImpact, cl.Coordinate]:
    """Book in which each sale triggers the next one, in a shuffled order."""
    thresholds = generator(1).permutation(np.arange(1.0, n_positions + 1.0))
    impact = cl.LinearImpact(slope_per_base=1.0)
    return thresholds, np.ones(n_positions), impact, cl.Coordinate(reference_price=1e9)


def worst_case() -> list[Ratio]:
    """Chains: as many rounds as positions."""
    thresholds, sizes, impact, coordinate = chain(10_000)
    longer = chain(40_000)

    def job() -> cl.Cascade:
        return cl.solve(cl.LedgerFlow(thresholds, sizes, coordinate), impact, 1.0)

    def job_of_longer() -> cl.Cascade:
        return cl.solve(cl.LedgerFlow(longer[0], longer[1], coordinate), impact, 1.0)

    assert (job().n_rounds, job_of_longer().n_rounds) == (10_000, 40_000)

    def ten_times() -> None:
        for _ in range(10):
            job()

    by_hand = compare(ten_times, lambda: masks(thresholds, sizes, 1.0, 1.0), n_rounds=9)
    return [
        Ratio(
            job="chain of 10,000 rounds, unsorted",
            baseline="NumPy mask per round",
            ratio=10 * by_hand,
            floor=230.0,
            n_rounds=9,
            note="10,000 cascade rounds, all listed; 10 cascades timed together, one by hand",
        ),
        Ratio(
            job="chain of 40,000 rounds",
            baseline="chain of 10,000 rounds",
            ratio=compare(job_of_longer, job, n_rounds=25),
            floor=0.2,
            n_rounds=25,
            note="time may grow fivefold",
        ),
    ]


def ratios() -> list[Ratio]:
    """Return all ratios of this file."""
    return [
        one_shock(10_000, 0.7, 51),
        one_shock(100_000, 2.0, 31),
        one_shock(1_000_000, 3.0, 9),
        one_shock(10_000_000, 6.0, 3),
        later_shocks(1_000_000, 500.0),
        later_shocks_by_size(),
        *worst_case(),
    ]
