"""The loop through time: quiet steps in blocks, one event at a time where something happens."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cascadelab.dynamics.decay import signed_move
from cascadelab.dynamics.events import Event, in_order
from cascadelab.dynamics.filling import Fill
from cascadelab.dynamics.live import LiveBook
from cascadelab.dynamics.mechanisms import LoopState
from cascadelab.dynamics.run import Run
from cascadelab.dynamics.settings import Market, whole_steps
from cascadelab.dynamics.settle import AnySide, Batch, Till
from cascadelab.dynamics.side import SideState
from cascadelab.dynamics.stepping import Actors, QuietSteps
from cascadelab.dynamics.trades import TradeDesk
from cascadelab.errors import ParameterError
from cascadelab.impact import LinearImpact
from cascadelab.units import FloatArray

__all__ = ["simulate"]

#: Steps in a block after an event, and at most.
FIRST_BLOCK, LARGEST_BLOCK = 16, 4096


def simulate(
    market: Market,
    fundamental_price: npt.ArrayLike,
    *,
    step_s: float = 1.0,
    index_price: npt.ArrayLike | None = None,
    generator: np.random.Generator | None = None,
    events: Sequence[Event] = (),
) -> Run:
    r"""Run the loop along a path of the fundamental.

    Parameters
    ----------
    market : Market
    fundamental_price : array_like of shape (n_steps + 1,)
        Price without forced sales, quote per base, positive; the first is at time 0.
    step_s : float
        Seconds between two prices, positive.
    index_price : array_like of shape (n_steps + 1,), optional
        Index of other venues, for marks that need one; the fundamental if left out.
    generator : numpy.random.Generator, optional
        Needed for the deleveraging order ``"unranked"`` only.
    events : sequence of Opening, TopUp, Funding or Trade
        What happens meanwhile to accounts, and what traders order, at the first step at or after
        its time and before the engine looks; during a halt, once it is over. Those beyond the
        path do not happen.

    Returns
    -------
    Run

    Raises
    ------
    ParameterError
        If a price is not positive and finite, shapes differ, or an interval of the clock is no
        whole number of steps.
    BookExhausted
        If a mechanism has withdrawn all depth while something is to be sold.

    Notes
    -----
    At each step impact decays, the price is fundamental less :math:`I(Z)`, the engine looks (if
    it is time), and what is due and released is sold. An engine that looks all the time repeats
    this within the step until nothing is due. Thresholds are static, so quiet steps are computed
    in blocks and cost nothing per account.

    Examples
    --------
    >>> import cascadelab as cl
    >>> from cascadelab import dynamics
    >>> from cascadelab.margin import FlatRules
    >>> ledger = cl.Ledger.from_arrays(
    ...     entry_price=[100.0, 100.0], size_base=[1.0, 1.0], leverage=[10.0, 5.0]
    ... )
    >>> market = dynamics.Market(
    ...     book=dynamics.slice_book(ledger, FlatRules(maintenance_fraction=0.01)),
    ...     coordinate=cl.Coordinate(reference_price=100.0),
    ...     impact=cl.LinearImpact(slope_per_base=2.0),
    ... )
    >>> run = simulate(market, [100.0, 90.0, 90.0])
    >>> run.closed_base, float(run.price[-1])
    (1.0, 88.0)
    """
    path = _checked_path(fundamental_price, "fundamental_price")
    index = path if index_price is None else _checked_path(index_price, "index_price")
    if index.shape != path.shape:
        raise ParameterError(
            f"index_price has shape {index.shape}; expected {path.shape}, as fundamental_price. "
            f"Pass one index price per step."
        )
    if not (math.isfinite(step_s) and step_s > 0):
        raise ParameterError(f"step_s is {step_s!r}; expected positive seconds. Pass some.")
    engine = _Engine(market, path, index, step_s, generator, events)
    engine.run()
    return engine.result(path)


def _checked_path(price: npt.ArrayLike, name: str) -> FloatArray:
    values = np.ascontiguousarray(price, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ParameterError(
            f"{name} has shape {values.shape}; expected one dimension and at least one price. For "
            f"many paths use simulate_paths()."
        )
    bad = ~(np.isfinite(values) & (values > 0))
    if bad.any():
        at = int(np.argmax(bad))
        raise ParameterError(
            f"{name}[{at}] is {values[at]}; expected positive finite prices. Correct the path."
        )
    return values


class _Engine:
    """State of one run; everything that changes lives here."""

    def __init__(
        self,
        market: Market,
        path: FloatArray,
        index: FloatArray,
        step_s: float,
        generator: np.random.Generator | None,
        events: Sequence[Event],
    ) -> None:
        self.market, self.step_s = market, step_s
        coordinate, clock = market.coordinate, market.clock
        self.shock, self.index = coordinate.move_to(path), coordinate.move_to(index)
        self.n = len(path)
        self.before, self.after = np.empty(self.n), np.empty(self.n)
        on_accounts, trades = in_order(events, step_s)
        self.live = LiveBook(market.book, coordinate, on_accounts) if on_accounts else None
        self.desk = TradeDesk(trades)
        self.longs: AnySide
        self.shorts: AnySide
        if self.live is not None:
            self.longs, self.shorts = self.live.longs, self.live.shorts
        else:
            self.longs = SideState(market.book.side(coordinate, 1.0))
            self.shorts = SideState(market.book.side(coordinate, -1.0))
        self.till = Till(
            market.waterfall, market.fee_fraction, generator, is_inverse=market.book.is_inverse
        )
        self.weights, rates = market.decay.modes()
        self.modes = np.zeros_like(self.weights)
        steps = np.arange(1, min(LARGEST_BLOCK, self.n) + 1)
        self.table = np.exp(-np.outer(rates, step_s * steps))
        self.slope = (
            market.impact.slope_per_base if isinstance(market.impact, LinearImpact) else None
        )
        self.every = whole_steps(clock.check_interval_s, step_s, "check_interval_s")
        self.is_continuous = self.every == 0
        self.every = max(self.every, 1)
        self.late = whole_steps(clock.latency_s, step_s, "latency_s")
        self.budget = clock.capacity_base_per_s * step_s
        self.is_capped = math.isfinite(self.budget)
        self.has_depth = math.isfinite(market.impact.capacity_base)
        self.actors = Actors(market.mechanisms)
        self.refill, self.centre = 1.0, float(self.shock[0])
        self.halted: list[tuple[int, int]] = []
        self.batches: list[Batch] = []
        self.n_rounds = 0
        self.last_move = float(self.shock[0])
        has_basis = market.mark.kind == "basis"
        self.window = whole_steps(market.mark.window_s, step_s, "window_s") if has_basis else 1
        self.basis = np.zeros(self.n + 1) if has_basis else None
        self.quiet = self._quiet_steps() if self.actors.act_each_step else None

    def _quiet_steps(self) -> QuietSteps:
        return QuietSteps(
            actors=self.actors,
            shock=self.shock.tolist(),
            index=[] if self.market.mark.kind == "last" else self.index.tolist(),
            basis=self.basis,
            window=self.window,
            weights=self.weights.tolist(),
            factors=self.table[:, 0].tolist(),
            slope=self.slope,
            every=self.every,
        )

    # ------------------------------------------------------------------ quiet steps

    def run(self) -> None:
        if self.quiet is not None:
            self._run_stepwise(self.quiet)
            return
        k, size = 0, FIRST_BLOCK
        while k < self.n:
            end = self._forced_end(k, min(k + size, self.n))
            moves = self._moves(k, end)
            hit = self._first_event(k, moves)
            if hit < 0:
                self.before[k:end] = self.after[k:end] = moves
                self._decay(end - k)
                k, size = end, min(2 * size, LARGEST_BLOCK)
                continue
            self.before[k : k + hit + 1] = self.after[k : k + hit + 1] = moves[: hit + 1]
            self._decay(hit + 1)
            k, size = self._event(k + hit) + 1, FIRST_BLOCK

    def _run_stepwise(self, quiet: QuietSteps) -> None:
        """Step by step, since a channel acts at each; books are asked where something is due."""
        k = 0
        while k < self.n:
            k = self._pass_quiet(quiet, k, self._forced_end(k, self.n + 1) - 1)
            if k < self.n:
                self.before[k] = self._moves(k, k + 1)[0]
                self._decay(1)
                k = self._event(k) + 1

    def _pass_quiet(self, quiet: QuietSteps, k: int, end: int) -> int:
        """Steps from `k` up to `end` in which nothing is due; returns the first one left."""
        actors, shock, slope = quiet.actors, quiet.shock, quiet.slope
        last = LoopState(move=self.last_move, slope=0.0)
        longs, shorts = self.longs.next_move, self.shorts.next_move
        band = math.inf if self.market.breaker is None else self.market.breaker.band
        modes: list[float] = self.modes.tolist()
        start, before, after = k, list[float](), list[float]()
        while k < min(end, self.n):
            faded = [mode * factor for mode, factor in zip(modes, quiet.factors, strict=True)]
            state = sum(faded)
            move = shock[k] + (slope * state if slope is not None else self._depression(state))
            mark, raised = quiet.mark(k, move), actors.raised(move)
            is_due = mark + raised >= longs or raised - mark >= shorts
            if (is_due and k % quiet.every == 0) or abs(move - self.centre) >= band:
                break
            sold = actors.sold(last, move)
            last = LoopState(move=move, slope=0.0)
            if sold != 0.0:
                depth = self.refill * actors.depth(last)
                scaled = self._within(sold, state, depth) / depth
                faded = [m + scaled * w for m, w in zip(faded, quiet.weights, strict=True)]
                state = sum(faded)
            modes = faded
            before.append(move)
            after.append(
                shock[k] + (slope * state if slope is not None else self._depression(state))
            )
            k += 1
            if abs(after[-1] - self.centre) >= band:
                break
        self.before[start:k], self.after[start:k] = before, after
        self.modes, self.last_move = np.array(modes), last.move
        is_outside = k > start and abs(after[-1] - self.centre) >= band
        return self._halt(k - 1) + 1 if is_outside else k

    def _forced_end(self, k: int, end: int) -> int:
        """A block ends with the next release, and at once while something waits for capacity."""
        if self.longs.open_base > 0 or self.shorts.open_base > 0:
            return k + 1
        for side in (self.longs, self.shorts):
            if side.waiting:
                end = min(end, max(side.waiting[0][0], k) + 1)
        if self._next_event < end:
            end = max(int(self._next_event), k) + 1
        return end

    @property
    def _next_event(self) -> float:
        """Step of the next event of an account or trader; infinite where none is left."""
        on_accounts = np.inf if self.live is None else self.live.next_step
        return min(on_accounts, self.desk.next_step)

    def _moves(self, k: int, end: int) -> FloatArray:
        state = self.modes @ self.table[:, : end - k]
        if self.slope is not None:
            return np.asarray(self.shock[k:end] + self.slope * state)
        return np.asarray(self.shock[k:end] + signed_move(self.market.impact, state))

    def _decay(self, n_steps: int) -> None:
        self.modes = self.modes * self.table[:, n_steps - 1]

    def _first_event(self, k: int, moves: FloatArray) -> int:
        """Offset of the first step at which anything happens; -1 for none."""
        mark = self._marks(k, moves)
        is_due = (mark >= self.longs.next_move) | (mark <= -self.shorts.next_move)
        if self.every > 1:
            is_due &= np.arange(k, k + len(moves)) % self.every == 0
        breaker = self.market.breaker
        if breaker is not None:
            is_due |= np.abs(moves - self.centre) >= breaker.band
        if self._is_forced(k + len(moves) - 1):
            is_due[-1] = True
        first = int(is_due.argmax())
        return first if is_due[first] else -1

    def _is_forced(self, step: int) -> bool:
        if self.longs.open_base > 0 or self.shorts.open_base > 0:
            return True
        if self._next_event <= step:
            return True
        return any(
            side.waiting and side.waiting[0][0] <= step for side in (self.longs, self.shorts)
        )

    def _marks(self, k: int, moves: FloatArray) -> FloatArray:
        kind = self.market.mark.kind
        if kind == "last":
            return moves
        index = self.index[k : k + len(moves)]
        if self.basis is None:
            return index
        total, end = self.basis, k + len(moves)
        total[k + 1 : end + 1] = total[k] + np.cumsum(moves - index)
        steps = np.arange(k + 1, end + 1)
        start = np.maximum(steps - self.window, 0)
        return np.asarray(index + (total[steps] - total[start]) / (steps - start))

    # ------------------------------------------------------------------ events

    def _event(self, step: int) -> int:
        """Checks, sales and halts of one step; returns the last step dealt with."""
        move = float(self.before[step])
        mark = float(self._marks(step, np.array([move]))[0])
        if self.live is not None and self.live.next_step <= step:
            price_at = self.market.coordinate.price_at
            self.live.apply(step, float(price_at(move)), float(price_at(mark)))
        if self.desk.next_step <= step:
            move = self._fill_orders(step)
            mark = float(self._marks(step, np.array([move]))[0])
        self._trade(move)
        for side in (self.longs, self.shorts):
            side.release(step)
        budget = self.budget
        is_check, is_own = step % self.every == 0, self.market.mark.kind == "last"
        while True:
            if is_check:
                # A band holds the own price; another mark may be beyond it.
                self._trigger(self._clipped(mark) if is_own else mark, step)
            sold, budget = self._sell(step, move, budget)
            if sold == 0.0:
                break
            self.n_rounds += 1
            move = self._now(step)
            if is_own:
                mark = move
            if not self.is_continuous:
                break
        self.after[step] = self._now(step)
        self.last_move = float(self.before[step])
        return self._halt(step)

    @property
    def _state(self) -> float:
        """Quantity whose impact is left, base units."""
        return float(self.modes.sum())

    def _now(self, step: int) -> float:
        return float(self.shock[step]) + self._depression(self._state)

    def _depression(self, state: float) -> float:
        if self.slope is not None:
            return self.slope * state
        return float(signed_move(self.market.impact, state))

    def _clipped(self, move: float) -> float:
        breaker = self.market.breaker
        if breaker is None:
            return move
        return min(max(move, self.centre - breaker.band), self.centre + breaker.band)

    def _trigger(self, mark: float, step: int) -> None:
        release = step + self.late
        raised = self.actors.raised(mark)
        if mark + raised >= self.longs.next_move:
            self.longs.trigger(mark + raised, release, step)
        if raised - mark >= self.shorts.next_move:
            self.shorts.trigger(raised - mark, release, step)

    def _trade(self, move: float) -> None:
        """Orders of mechanisms that trade at every step, on the move since the last step."""
        if self.actors.traders:
            last = LoopState(move=self.last_move, slope=0.0)
            sold = self.actors.sold(last, move)
            self._push(self._within(sold, self._state, self._depth(move)), move)

    def _push(self, sold: float, move: float) -> None:
        """Add sold (bought: negative) quantity to the impact state, scaled by depth."""
        self.modes = self.modes + (sold / self._depth(move)) * self.weights

    def _depth(self, move: float) -> float:
        """Depth over undisturbed depth at a move: halts refill it, mechanisms take it away."""
        if not self.actors.deepeners:
            return self.refill
        return self.refill * self.actors.depth(LoopState(move=move, slope=0.0))

    def _sell(self, step: int, move: float, budget: float) -> tuple[float, float]:
        total = 0.0
        for side, other in ((self.longs, self.shorts), (self.shorts, self.longs)):
            quantity = side.open_base
            if self.is_capped:
                quantity = min(quantity, budget)
            if self.has_depth:
                wanted, depth = side.sign * quantity, self._depth(move)
                quantity = abs(self._within(wanted, self._state, depth))
            if quantity <= 1e-12 * side.done_base:
                continue
            fill = self._fill(step, side.sign, move)
            batch = self.till.settle(step, side, other, quantity, fill.price)
            self.batches.append(batch)
            self._push(side.sign * batch.book_base, move)
            total += quantity
            budget -= quantity
        return total, budget

    def _within(self, sold: float, state: float, depth: float) -> float:
        """What the book at a state can still take of a sale (a purchase: negative)."""
        if not self.has_depth:
            return sold
        sign = math.copysign(1.0, sold)
        room = (self.market.impact.capacity_base - sign * state) * depth
        return sign * min(abs(sold), max(room, 0.0))

    def _fill(self, step: int, sign: float, move: float) -> Fill:
        """The book as it stands for a sale (sign 1) or a purchase (-1)."""
        breaker = self.market.breaker
        band = math.inf if breaker is None else breaker.band
        return Fill(
            market=self.market,
            shock=float(self.shock[step]),
            state_base=self._state,
            scale_base=sign / self._depth(move),
            lowest_move=self.centre - band,
            highest_move=self.centre + band,
        )

    def _fill_orders(self, step: int) -> float:
        """Orders of traders, one after the other; returns the move the engine then looks at."""
        for trade in self.desk.due(step):
            move, state = self._now(step), self._state
            sold = self._within(-trade.quantity_base, state, self._depth(move))
            sign = -math.copysign(1.0, trade.quantity_base)
            price = self._fill(step, sign, move).price(abs(sold))
            self.desk.note(step, trade, -sold, price, self.till.worth(price))
            self._push(sold, move)
        self.before[step] = self._now(step)
        return float(self.before[step])

    def _halt(self, step: int) -> int:
        """Begin a halt if the price has left the band; returns the last step it covers."""
        breaker = self.market.breaker
        if breaker is None or abs(self.after[step] - self.centre) < breaker.band:
            return step
        edge = self._clipped(float(self.after[step]))
        if abs(self.before[step] - self.centre) >= breaker.band:
            self.before[step] = edge
        n_steps = whole_steps(breaker.halt_s, self.step_s, "halt_s")
        end = min(step + n_steps, self.n - 1)
        self.after[step] = edge
        self.before[step + 1 : end + 1] = self.after[step + 1 : end + 1] = edge
        if self.basis is not None and end > step:
            self._marks(step + 1, self.before[step + 1 : end + 1])
        left = end - step
        while left > 0:
            part = min(left, self.table.shape[1])
            self._decay(part)
            left -= part
        self.halted.append((step, end))
        self.centre, self.refill, self.last_move = edge, breaker.depth_refill, edge
        return end

    def result(self, path: FloatArray) -> Run:
        """Freeze what has been recorded."""
        return Run(
            market=self.market,
            step_s=self.step_s,
            fundamental_price=path,
            index_move=self.index,
            moves_before=self.before,
            moves_after=self.after,
            batches=tuple(self.batches),
            halts=tuple(self.halted),
            n_rounds=self.n_rounds,
            n_closed=(self.longs.n_closed(), self.shorts.n_closed()),
            n_slices=(self.longs.n_reachable(), self.shorts.n_reachable()),
            backlog_base=self.longs.backlog_base + self.shorts.backlog_base,
            fund_after_quote=self.till.fund,
            live=None if self.live is None else self.live.record(),
            trades_done=tuple(self.desk.done),
        )
