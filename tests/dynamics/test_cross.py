"""Cross margin: the safety radius is exact, R9 in time, joint books, attribution."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import cascadelab as cl
from cascadelab import dynamics
from cascadelab.dynamics import accounts, cross
from cascadelab.errors import ParameterError


class DenseSearch:
    """Readable twin: evaluates every account at every step."""

    def __init__(self, book: accounts.CrossBook) -> None:
        self.book = book
        self.weights = book.weights
        self.is_open = np.ones(book.n_accounts, dtype=bool)

    def first_due(self, prices: np.ndarray) -> tuple[int, np.ndarray]:
        for at, price in enumerate(prices):
            buffer = self.book.cash_quote + self.weights @ price
            due = np.flatnonzero((buffer <= 0) & self.is_open)
            if due.size:
                return at, due
        return len(prices), np.empty(0, dtype=np.int64)

    def remove(self, accounts: np.ndarray) -> None:
        self.is_open[accounts] = False


def drawn_book(seed: int, n: int = 400, n_assets: int = 4) -> accounts.CrossBook:
    rng = np.random.default_rng(seed)
    holdings = rng.standard_normal((n, n_assets)) * (rng.random((n, n_assets)) < 0.6)
    notional = np.abs(holdings) @ np.full(n_assets, 100.0)
    equity = notional / rng.uniform(2, 40, n) + 1.0
    return accounts.CrossBook(
        assets=[f"a{i}" for i in range(n_assets)],
        holdings_base=holdings,
        cash_quote=equity - holdings @ np.full(n_assets, 100.0),
        maintenance_base=0.01 * np.abs(holdings),
    )


def drawn_paths(seed: int, n_steps: int, n_assets: int, volatility: float) -> np.ndarray:
    return dynamics.draw_paths(
        np.random.default_rng(seed), n_paths=n_assets, n_steps=n_steps, step_s=1.0,
        start_price=100.0, volatility_per_year=volatility,
    ).T  # fmt: skip


@given(
    seed=st.integers(0, 1000),
    is_continuous=st.booleans(),
    volatility=st.sampled_from([2.0, 20.0, 80.0]),
    scale=st.sampled_from(["price", "log"]),
)
def test_the_safety_radius_finds_what_evaluating_everyone_finds(
    seed, is_continuous, volatility, scale
):
    book = drawn_book(seed)
    slope = 0.01 if scale == "price" else 1e-4
    market = accounts.CrossMarket(
        book=book,
        impact=slope * (np.eye(4) + 0.2),
        scale=scale,
        decay=dynamics.ExponentialDecay(rate_per_s=0.02),
        is_continuous=is_continuous,
        fund_quote=5.0,
    )
    paths = drawn_paths(seed, 250, 4, volatility)
    run = cross.simulate_cross(market, paths)
    twin = cross._CrossEngine(market, paths, 1.0, DenseSearch(book)).run()
    assert (run.closed_at_step == twin.closed_at_step).all()
    assert_allclose(run.prices, twin.prices, rtol=1e-12)
    assert run.n_rounds == twin.n_rounds
    assert_allclose(run.shortfall_quote, twin.shortfall_quote, rtol=1e-9, atol=1e-9)
    assert abs(run.waterfall()["cash_quote"].sum()) < 1e-9 * (1 + abs(run.book_quote))


def test_few_candidates_change_nothing(monkeypatch):
    book, paths = drawn_book(3), drawn_paths(3, 400, 4, 30.0)
    market = accounts.CrossMarket(book=book, impact=0.005 * np.eye(4))
    wide = cross.simulate_cross(market, paths)
    monkeypatch.setattr(cross, "N_CANDIDATES", 3)
    monkeypatch.setattr(cross, "N_OUTER", 30)
    narrow = cross.simulate_cross(market, paths)
    assert wide.n_closed > 0
    assert (wide.closed_at_step == narrow.closed_at_step).all()


def test_accounts_that_hold_one_portfolio_rest_where_r9_says():
    n, holdings, density = 20_000, np.array([3.0, 2.0]), 0.3
    buffer = (np.arange(n) + 0.5) / density * 1e-3
    scale = 1e-3  # small accounts: density per quote grows, holdings shrink, the gain is kept
    book = accounts.CrossBook(
        assets=["a", "b"],
        holdings_base=np.tile(holdings * scale, (n, 1)),
        cash_quote=scale * buffer - scale * holdings.sum() * 100.0,
        maintenance_base=np.zeros((n, 2)),
    )
    market = accounts.CrossMarket(book=book, impact=np.diag([0.05, 0.2]))
    run = cross.solve_cross(market, [100.0, 100.0], [1.0, 0.0])
    assert_allclose(100.0 - run.prices[-1], [1.216, 0.576], atol=2e-3)


def test_one_asset_is_the_single_cascade():
    ledger = cl.Ledger.from_arrays(
        entry_price=np.full(500, 100.0),
        size_base=np.full(500, 1.0),
        leverage=np.linspace(3, 50, 500),
    )
    rules = cl.margin.FlatRules(maintenance_fraction=0.01)
    coordinate = cl.Coordinate(reference_price=100.0)
    solved = cl.solve(
        cl.ledger_flow(ledger, rules, coordinate), cl.LinearImpact(slope_per_base=0.05), 4.0
    )
    book = accounts.CrossBook(
        assets=["x"],
        holdings_base=ledger.size_base[:, None],
        cash_quote=ledger.margin_quote - ledger.size_base * ledger.entry_price,
        maintenance_base=0.01 * np.abs(ledger.size_base)[:, None],
    )
    market = accounts.CrossMarket(book=book, impact=np.array([[0.05]]))
    run = cross.simulate_cross(market, [[100.0], [96.0]])
    assert_allclose(100.0 - run.prices[-1, 0], solved.move, rtol=1e-12)
    assert run.n_closed == solved.fills().height
    assert run.n_rounds == solved.n_rounds


def test_a_ledger_with_collateral_in_an_asset_becomes_a_cross_book():
    positions = pl.DataFrame(
        {
            "account": ["u", "u", "v"],
            "market": ["BTC", "ETH", "BTC"],
            "size_base": [1.0, -10.0, 2.0],
            "entry_price": [100.0, 10.0, 90.0],
            "mode": ["cross"] * 3,
        }
    )
    collateral = pl.DataFrame(
        {"account": ["u", "v"], "asset": ["USD", "BTC"], "amount": [30.0, 0.5]}
    )
    book = accounts.cross_book(
        cl.Ledger(positions, collateral),
        {"BTC": 0.01, "ETH": 0.02},
        haircut_fraction={"BTC": 0.1},
    )
    # u: 30 + (110-100) - 10 (9-10) = 50; v: 2 (110-90) + 0.5*110 = 95.
    assert_allclose(book.equity([110.0, 9.0]), [50.0, 95.0])
    # u: less 1.1 + 1.8; v: less 2.2 and a tenth of 55.
    assert_allclose(book.buffer([110.0, 9.0]), [47.1, 87.3])
    with pytest.raises(ParameterError, match="market 'ETH'"):
        accounts.cross_book(cl.Ledger(positions, collateral), {"BTC": 0.01})


def test_the_group_that_crowds_into_the_thin_asset_carries_the_radius():
    rng = np.random.default_rng(2)
    n = 2000
    holdings = np.zeros((n, 2))
    holdings[: n // 2, 0] = 1.0
    holdings[n // 2 :, 1] = 1.0
    buffer = rng.uniform(0.0, 10.0, n)
    book = accounts.CrossBook(
        assets=["deep", "thin"],
        holdings_base=holdings,
        cash_quote=buffer - 100.0,
        maintenance_base=np.zeros((n, 2)),
    )
    market = accounts.CrossMarket(book=book, impact=np.diag([0.001, 0.006]))
    groups = ["deep holders"] * (n // 2) + ["thin holders"] * (n // 2)
    frame = accounts.group_attribution(market, [100.0, 100.0], groups)
    assert frame["name"].to_list()[0] == "thin holders"
    # 1000 accounts spread over 10 quote of buffer: density 100, gain 0.6.
    assert_allclose(frame["radius"][0], 0.6, rtol=0.15)
    assert_allclose(frame.filter(name="thin")["radius_without"][0], 0.1, rtol=0.15)


def test_shapes_that_do_not_match_are_refused():
    book = drawn_book(1)
    with pytest.raises(ParameterError, match="impact has shape"):
        accounts.CrossMarket(book=book, impact=np.eye(3))
    market = accounts.CrossMarket(book=book, impact=np.eye(4))
    with pytest.raises(ParameterError, match="fundamental_price has shape"):
        cross.simulate_cross(market, np.ones((5, 3)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cash_quote": [np.nan, 0.0]}, r"cash_quote\[0\] is nan"),
        ({"holdings_base": [[1.0], [np.inf]]}, r"holdings_base\[1, 0\] is inf"),
        ({"maintenance_base": [[np.inf], [0.0]]}, "maintenance_base holds"),
        ({"accounts": ["only one"]}, "1 names of accounts"),
    ],
)
def test_a_cross_book_with_a_value_that_is_no_number_is_refused(change, words):
    known = {
        "assets": ["a"], "holdings_base": [[1.0], [1.0]], "cash_quote": [0.0, 0.0],
        "maintenance_base": [[0.0], [0.0]],
    }  # fmt: skip
    with pytest.raises(ParameterError, match=words):
        accounts.CrossBook(**(known | change))
    assert accounts.CrossBook(**known).n_accounts == 2


def test_impossible_shocks_and_clocks_are_refused():
    book = drawn_book(1)
    market = accounts.CrossMarket(book=book, impact=0.01 * np.eye(4))
    with pytest.raises(ParameterError, match="step_s is 0"):
        cross.simulate_cross(market, np.ones((5, 4)), step_s=0.0)
    with pytest.raises(ParameterError, match="smaller than a price"):
        cross.solve_cross(market, np.ones(4), [2.0, 0.0, 0.0, 0.0])
    with pytest.raises(ParameterError, match="one positive price"):
        accounts.group_attribution(market, [np.nan] * 4, ["g"] * book.n_accounts)
    with pytest.raises(ParameterError, match="not finite"):
        accounts.CrossMarket(book=book, impact=np.full((4, 4), np.nan))
