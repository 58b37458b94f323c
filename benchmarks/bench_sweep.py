"""Phase diagrams, many shocks, many books: against what one would write by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import mesa
import numpy as np

import cascadelab as cl
from benchmarks.bench_cascade import LOG, book, masks
from benchmarks.timing import Ratio, compare
from cascadelab import sweep
from cascadelab.rng import generator
from cascadelab.synthetic import draw_long_flow

N_POSITIONS = 100_000
LEVERAGE_FACTORS = np.linspace(0.7, 1.5, 20)
SHOCKS = np.linspace(0.05, 0.20, 100)
MAINTENANCE = 0.005


class AgentPosition(mesa.Agent):  # type: ignore[misc]
    """A position that sells once the mark is below its liquidation price."""

    def __init__(self, model: AgentBook, due: float, size: float) -> None:
        super().__init__(model)
        self.due, self.size, self.is_open = due, size, True

    def step(self) -> None:
        """Look at the mark, and sell."""
        if self.is_open and self.model.mark < self.due:
            self.is_open = False
            self.model.sold += self.size


class AgentBook(mesa.Model):  # type: ignore[misc]
    """A book whose mark moves once all positions have looked at it."""

    def __init__(self, due: np.ndarray, size: np.ndarray) -> None:
        super().__init__()
        self.mark, self.sold, self.total = 90.0, 0.0, float(size.sum())
        for price, quantity in zip(due.tolist(), size.tolist(), strict=True):
            AgentPosition(self, price, quantity)

    def step(self) -> None:
        """One round."""
        before = self.sold
        self.agents.do("step")
        self.mark = 90.0 * math.exp(-self.sold / (4 * self.total))
        self.running = self.sold > before


def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Entry prices, leverage and sizes of the book of the shared job."""
    rng = generator(20251010)
    entry = 100.0 * np.exp(-0.04 * rng.standard_exponential(N_POSITIONS))
    leverage = 2 + 48 * rng.beta(1.3, 12.0, N_POSITIONS)
    return entry, leverage, np.exp(8.5 + 1.4 * rng.standard_normal(N_POSITIONS)) / entry


def thresholds_at(factor: float, entry: np.ndarray, leverage: np.ndarray) -> np.ndarray:
    """Moves that liquidate, every leverage multiplied by a factor."""
    return -np.log(entry * (1.0 - 1.0 / (factor * leverage)) / (1.0 - MAINTENANCE) / 100.0)


def phase_diagram(n_threads: int, floor: float) -> list[Ratio]:
    """20 scalings of leverage x 50 depths x 100 shocks on the book of the shared job.

    "Rebuild" can be read in two ways, and the ratio depends on it: each scenario by hand draws
    the book at its leverage, or keeps the drawn book and computes the thresholds anew.
    """
    kept = drawn()
    slopes = np.linspace(0.10, 0.30, 50) / kept[2].sum()
    chosen = [(i, j, k) for i in (2, 10, 17) for j in (5, 25, 45) for k in (10, 50, 90)]

    def job() -> sweep.PhaseCube:
        entry, leverage, size = drawn()
        books = [
            cl.LedgerFlow(thresholds_at(factor, entry, leverage), size, LOG)
            for factor in LEVERAGE_FACTORS.tolist()
        ]
        return sweep.phase_cube(books, slopes, SHOCKS, n_threads=n_threads)

    def by_hand(book: Callable[[], tuple[np.ndarray, np.ndarray, np.ndarray]]) -> list[float]:
        moves = []
        for i, j, k in chosen:
            entry, leverage, size = book()
            due = thresholds_at(float(LEVERAGE_FACTORS[i]), entry, leverage)
            moves.append(masks(due, size, float(slopes[j]), SHOCKS[k]))
        return moves

    cube = job()
    found = [cube.moves[where] for where in chosen]
    np.testing.assert_allclose(found, by_hand(drawn), rtol=1e-12)
    share = cube.moves.size / len(chosen)
    return [
        Ratio(
            job=f"phase diagram, {cube.moves.size:,} scenarios, {n_threads} thread(s)",
            baseline=baseline,
            ratio=compare(job, partial(by_hand, book), n_rounds=5) * share,
            floor=floor,
            n_rounds=5,
            note=f"draw and 20 sorts included; baseline extrapolated from {len(chosen)} scenarios",
        )
        for baseline, book in (
            ("book drawn, thresholds, mask rounds per scenario", drawn),
            ("thresholds and mask rounds per scenario, on a kept book", lambda: kept),
        )
    ]


def every_shock() -> Ratio:
    """A million shocks under one impact: one pass over the book serves them all."""
    flow, impact = book(N_POSITIONS)
    flow.prepare()
    shocks = np.linspace(0.01, 0.35, 1_000_000)
    slope = impact.slope_per_base
    chosen = shocks[::50_000].tolist()

    def job() -> int:
        return sweep.solve_shocks(flow, impact, shocks).height

    def by_hand() -> list[float]:
        return [masks(flow.thresholds, flow.sizes_base, slope, shock) for shock in chosen]

    found = sweep.solve_shocks(flow, impact, chosen)["move"].to_numpy()
    np.testing.assert_allclose(found, by_hand(), rtol=1e-12)
    return Ratio(
        job="1,000,000 shocks on one sorted book",
        baseline="NumPy mask per round",
        ratio=compare(job, by_hand, n_rounds=5) * len(shocks) / len(chosen),
        floor=10_000.0,
        n_rounds=5,
        note=f"baseline extrapolated from {len(chosen)} shocks",
    )


def book_by_hand(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Liquidation prices and sizes of 10,000 positions, drawn as `draw_long_flow` draws them."""
    entry = 100.0 * np.exp(-0.04 * rng.standard_exponential(10_000))
    leverage = 2 + 48 * rng.beta(1.3, 12.0, 10_000)
    size = np.exp(8.5 + 1.4 * rng.standard_normal(10_000)) / entry
    return entry * (1 - 1 / leverage) / (1 - MAINTENANCE), size


def books_by_hand(n_books: int) -> list[float]:
    """What one would write in NumPy."""
    rng = generator(7)
    moves = []
    for _ in range(n_books):
        due, size = book_by_hand(rng)
        mark, sold, total = 90.0, 0.0, size.sum()
        while True:
            quantity = size[mark < due].sum()
            if quantity <= sold:
                break
            sold = quantity
            mark = 90.0 * np.exp(-quantity / (4 * total))
        moves.append(100.0 - mark)
    return moves


def books_of_agents(n_books: int) -> list[float]:
    """What one would write in Mesa: an agent a position, asked each round."""
    rng = generator(7)
    moves = []
    for _ in range(n_books):
        book = AgentBook(*book_by_hand(rng))
        while book.running:
            book.step()
        moves.append(100.0 - book.mark)
    return moves


def many_books() -> list[Ratio]:
    """A hundred books of 10,000, drawn and solved."""
    price = cl.Coordinate(reference_price=100.0)

    def job() -> list[float]:
        rng = generator(7)
        moves = []
        for _ in range(100):
            flow = draw_long_flow(
                n_positions=10_000, coordinate=price, maintenance_fraction=MAINTENANCE, rng=rng
            )
            impact = cl.exponential_impact(
                reference_price=90.0, sensitivity=0.25, total_base=flow.gross_base
            )
            moves.append(cl.solve(flow, impact, 10.0).move)
        return moves

    np.testing.assert_allclose(job(), books_by_hand(100), rtol=1e-11)
    np.testing.assert_allclose(job()[:2], books_of_agents(2), rtol=1e-11)
    return [
        Ratio(
            job="100 books of 10,000, drawn and solved",
            baseline="NumPy mask per round, drawn alike",
            ratio=compare(job, partial(books_by_hand, 100), n_rounds=7),
            floor=1.0,
            n_rounds=7,
            note="drawing the random numbers is the larger part of both",
        ),
        Ratio(
            job="100 books of 10,000, drawn and solved",
            baseline=f"Mesa {mesa.__version__}, one agent a position, drawn alike",
            ratio=20 * compare(job, partial(books_of_agents, 5), n_rounds=5),
            floor=60.0,
            n_rounds=5,
            note="baseline extrapolated from 5 books",
        ),
    ]


def ratios() -> list[Ratio]:
    """Return all ratios of this file."""
    return [
        *phase_diagram(1, 3500.0),
        *phase_diagram(2, 6000.0),
        every_shock(),
        *many_books(),
    ]
