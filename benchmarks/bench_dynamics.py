"""The loop through time: a day, many paths, cross margin, one shock with the whole engine."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import polars as pl

import cascadelab as cl
from benchmarks.timing import Ratio, compare
from cascadelab import dynamics
from cascadelab.dynamics.cross import RadiusSearch, _CrossEngine
from cascadelab.margin import FlatRules, venue
from cascadelab.margin.waterfall import WaterfallRules
from cascadelab.synthetic import draw_long_ledger

PRICE = cl.Coordinate(reference_price=100.0)
DAY_S = 86_400
DECAY = dynamics.ExponentialDecay(rate_per_s=1 / 60)


def two_sided(n_positions: int) -> cl.Ledger:
    """Longs and shorts in equal parts, a few of them large enough to be closed in tranches."""
    rng = np.random.default_rng(2)
    sign = np.where(rng.random(n_positions) < 0.5, 1.0, -1.0)
    leverage = 2 + 38 * rng.beta(1.3, 8.0, n_positions)
    notional = np.exp(9.0 + 1.4 * rng.standard_normal(n_positions))
    entry = 100.0 * np.exp(-sign * 0.02 * rng.standard_exponential(n_positions))
    return cl.Ledger.from_arrays(
        entry_price=entry, size_base=sign * notional / entry, leverage=leverage, market="BTC"
    )


def day_market(n_positions: int, ranking: str) -> dynamics.Market:
    """Market of the benchmark: the gain of the loop is the same whatever the number."""
    book = dynamics.slice_book(two_sided(n_positions), venue("hyperliquid", symbol="BTC"))
    depth = float(np.abs(book.size_base).sum())
    market = dynamics.Market(
        book=book,
        coordinate=PRICE,
        impact=cl.LinearImpact(slope_per_base=8.0 / depth),
        decay=DECAY,
        clock=dynamics.Clock(check_interval_s=1.0),
        waterfall=WaterfallRules(fund_quote=1e-5 * depth, ranking=ranking),
    )
    book.prepare(PRICE)
    return market


def day_path() -> np.ndarray:
    """A day of seconds with two sudden falls."""
    path = dynamics.draw_path(
        np.random.default_rng(11), n_steps=DAY_S, step_s=1.0, start_price=100.0,
        volatility_per_year=0.8,
    )  # fmt: skip
    path[30_000:] *= 0.95
    path[60_000:] *= 0.94
    return path


def day_by_masks(market: dynamics.Market, path: np.ndarray) -> tuple[int, float]:
    """What one would write by hand: every position compared with the price at every second.

    Without auto-deleveraging; a round per second, decay, fund and bad debt as in the job.
    """
    book, slope = market.book, market.impact.slope_per_base
    left = math.exp(-DECAY.rate_per_s)
    sides = []
    for sign in (1.0, -1.0):
        rows = np.flatnonzero((book.size_base * sign > 0) & np.isfinite(book.trigger_price))
        size = np.abs(book.size_base[rows])
        sides.append([sign, book.trigger_price[rows].copy(), size, book.bankruptcy_price[rows]])
    state, fund, debt, n_closed = 0.0, market.waterfall.fund_quote, 0.0, 0
    for fundamental in path.tolist():
        state *= left
        price = fundamental - slope * state
        for side in sides:
            sign, trigger, size, bankrupt = side
            due = trigger >= price if sign > 0 else trigger <= price
            if not due.any():
                continue
            state += sign * float(size[due].sum())
            fill = fundamental - slope * state
            gap = sign * (fill - bankrupt[due]) * size[due]
            debt += float(np.maximum(-gap, 0.0).sum())
            fund += float(gap.sum())
            n_closed += int(due.sum())
            trigger[due] = -np.inf if sign > 0 else np.inf
    return n_closed, debt


def a_day() -> list[Ratio]:
    path, plain, full = day_path(), day_market(100_000, ""), day_market(100_000, "pro_rata")
    run = dynamics.simulate(plain, path)
    n_closed, debt = day_by_masks(plain, path)
    assert sum(run.n_closed) == n_closed
    assert math.isclose(run.bad_debt_quote, debt, rel_tol=1e-9)
    whole = dynamics.simulate(full, path)
    n_adl = sum(batch.adl_base > 0 for batch in whole.batches)
    small, large = day_market(10_000, "pro_rata"), day_market(1_000_000, "pro_rata")
    note = f"{n_closed:,} slices closed in {len(whole.batches):,} batches, {n_adl} with ADL"
    return [
        Ratio(
            job="a day of seconds, 1e5 isolated accounts, tranches, fund, ADL",
            baseline="NumPy masks per second, without ADL",
            ratio=compare(
                lambda: dynamics.simulate(full, path),
                lambda: day_by_masks(full, path),
                n_rounds=3,
            ),
            floor=20.0,
            n_rounds=3,
            note=note,
        ),
        Ratio(
            job="the same, 1e6 accounts",
            baseline="the same, 1e4 accounts",
            ratio=compare(
                lambda: dynamics.simulate(large, path), lambda: dynamics.simulate(small, path)
            ),
            floor=1 / 3,
            n_rounds=7,
            note="time(1e6)/time(1e4) at most 3",
        ),
    ]


def channels() -> Ratio:
    """A day in which trend followers trade at every step and makers withdraw."""
    plain, path = day_market(100_000, ""), day_path()
    trend = 0.1 / plain.impact.slope_per_base
    busy = dataclasses.replace(
        plain,
        mechanisms=(
            dynamics.MomentumFlow(base_per_move=trend),
            dynamics.PanicDepth(scale=30.0),
        ),
    )
    run = dynamics.simulate(busy, path)
    return Ratio(
        job="a day of seconds, 1e5 accounts, with momentum and panic at every step",
        baseline="the same without channels",
        ratio=compare(
            lambda: dynamics.simulate(busy, path), lambda: dynamics.simulate(plain, path)
        ),
        floor=1 / 20,
        n_rounds=7,
        note=f"{len(run.batches):,} batches; at most 20 times the plain day",
    )


def many_paths() -> Ratio:
    market = day_market(100_000, "")
    paths = dynamics.draw_paths(
        np.random.default_rng(3), n_paths=1000, n_steps=7200, step_s=1.0, start_price=100.0,
        volatility_per_year=3.0,
    )  # fmt: skip
    n_single = 100

    def singles() -> list[dynamics.Run]:
        return [dynamics.simulate(market, path) for path in paths[:: 1000 // n_single]]

    many = dynamics.simulate_paths(market, paths)
    for i, run in zip(range(0, 1000, 1000 // n_single), singles(), strict=True):
        assert math.isclose(many.last_price[i], run.price[-1], rel_tol=1e-9)
    ratio = compare(lambda: dynamics.simulate_paths(market, paths), singles, n_rounds=3)
    return Ratio(
        job="1,000 paths of two hours",
        baseline="a loop over single paths (100 timed, times 10)",
        ratio=ratio * 1000 / n_single,
        floor=7.0,
        n_rounds=3,
        note=f"1e5 accounts, {many.n_rounds.mean():.0f} rounds a path",
    )


def cross_market(n_accounts: int, n_assets: int) -> dynamics.CrossMarket:
    rng = np.random.default_rng(1)
    held = rng.random((n_accounts, n_assets)) < 0.4
    holdings = rng.standard_normal((n_accounts, n_assets)) * held
    notional = np.abs(holdings) @ np.full(n_assets, 100.0)
    equity = notional / rng.uniform(2, 30, n_accounts) + 1.0
    book = dynamics.CrossBook(
        assets=[f"asset {i}" for i in range(n_assets)],
        holdings_base=holdings,
        cash_quote=equity - holdings @ np.full(n_assets, 100.0),
        maintenance_base=0.01 * np.abs(holdings),
    )
    return dynamics.CrossMarket(book=book, impact=2e-4 * np.eye(n_assets), decay=DECAY)


def cross_margin() -> Ratio:
    market = cross_market(100_000, 10)
    paths = dynamics.draw_paths(
        np.random.default_rng(5), n_paths=10, n_steps=DAY_S, step_s=1.0, start_price=100.0,
        volatility_per_year=0.8,
    ).T.copy()  # fmt: skip
    book, weights = market.book, market.book.weights
    n_timed = 400

    def products() -> int:
        n_due = 0
        for price in paths[:n_timed]:
            n_due += int(np.count_nonzero(book.cash_quote + weights @ price <= 0))
        return n_due

    def radius() -> dynamics.cross.CrossRun:
        return _CrossEngine(market, paths, 1.0, RadiusSearch(book)).run()

    ratio = compare(radius, products, n_rounds=5) * DAY_S / n_timed
    run = radius()
    return Ratio(
        job="cross margin, 1e5 accounts in 10 assets, a day of seconds",
        baseline=f"a matrix-vector product per second ({n_timed} timed)",
        ratio=ratio,
        floor=100.0,
        n_rounds=5,
        note=f"{run.n_closed:,} accounts closed in {run.n_rounds:,} rounds",
    )


def shock_market(slope: float, fund: float) -> tuple[dynamics.Market, cl.LedgerFlow]:
    """The shared job's longs with counterparties, and the curve of the longs alone.

    `slope` is the log drop that selling all longs causes, `fund` a share of their value.
    """
    longs = draw_long_ledger(n_positions=80_000, reference_price=100.0, seed=20251010)
    rng = np.random.default_rng(4)
    shorts = cl.Ledger.from_arrays(
        entry_price=100.0 * np.exp(0.04 * rng.standard_exponential(20_000)),
        size_base=-longs.size_base.sum() / 20_000 * rng.uniform(0.5, 1.5, 20_000),
        leverage=rng.uniform(2, 20, 20_000),
    )
    frame = pl.concat([longs.positions, shorts.positions]).with_columns(
        pl.lit("BTC").alias("market")
    )
    coordinate = cl.Coordinate(reference_price=100.0, scale="log")
    total = float(longs.size_base.sum())
    market = dynamics.Market(
        book=dynamics.slice_book(cl.Ledger(frame), venue("hyperliquid", symbol="BTC")),
        coordinate=coordinate,
        impact=cl.LinearImpact(slope_per_base=slope / total),
        waterfall=WaterfallRules(fund_quote=fund * total * 100.0, ranking="hyperliquid"),
    )
    return market, cl.ledger_flow(longs, FlatRules(maintenance_fraction=0.005), coordinate)


def one_shock(job: str, slope: float, fund: float) -> Ratio:
    """Tranches, fund and ADL against the plain cascade of the longs, whose book is not sorted.

    The full book is cut into slices beforehand; order, thresholds, running sums and ranks are
    worked out anew.
    """
    market, flow = shock_market(slope, fund)
    path = dynamics.shock_path(market.coordinate, -math.log(0.9), 1)

    def full() -> dynamics.Run:
        fresh = dataclasses.replace(market, book=dataclasses.replace(market.book, by_price=None))
        return dynamics.simulate(fresh, path)

    def plain() -> cl.Cascade:
        fresh = cl.LedgerFlow(flow.thresholds, flow.sizes_base, flow.coordinate)
        return cl.solve(fresh, market.impact, -math.log(0.9))

    run = full()
    n_adl = sum(batch.adl_base > 0 for batch in run.batches)
    share = run.deleveraged_base / run.closed_base
    return Ratio(
        job=job,
        baseline="the plain cascade of the longs, unsorted",
        ratio=compare(full, plain, n_rounds=15),
        floor=0.1,
        n_rounds=15,
        note=f"{run.n_rounds} rounds ({n_adl} with ADL, {share:.0%} of what closed) "
        f"and {plain().n_rounds}",
    )


def ratios() -> list[Ratio]:
    """Return all ratios of this file."""
    return [
        *a_day(),
        channels(),
        many_paths(),
        cross_margin(),
        one_shock("one shock, 1e5 accounts, tranches, fund and ADL", 0.25, 0.002),
        one_shock("the same with a thin book and a small fund: ADL takes almost half", 0.6, 0.001),
    ]
