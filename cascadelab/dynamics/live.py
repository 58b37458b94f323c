"""A book that changes while it is run: positions opened, margin added, funding paid.

Thresholds that are known from the start stay one sorted array. What an event changes is cut
anew: a few positions go into a small heap beside the array, and funding, which moves everyone,
draws the array again.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from cascadelab.dynamics.book import SideBook, SliceBook, slice_book, stable_order
from cascadelab.dynamics.deleverage import OpenSlices, fill_from_ranking
from cascadelab.dynamics.events import AccountEvent, Funding, Opening, TopUp, in_order
from cascadelab.dynamics.side import DueLine
from cascadelab.dynamics.slices import CloseRules, price_of_worth, worth
from cascadelab.errors import ParameterError
from cascadelab.ledger import Ledger
from cascadelab.units import Coordinate, FloatArray, IntArray

__all__ = ["AccountChange", "LiveBook", "LiveRecord", "LiveSide"]

#: Slices in the heap beyond which it is merged into the sorted array.
LARGEST_HEAP = 4096
_SLICE = np.dtype(
    [
        ("level", "f8"), ("size", "f8"), ("bankrupt", "f8"), ("entry", "f8"), ("margin", "f8"),
        ("rate", "f8"), ("row", "i8"), ("version", "i8"),
    ]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AccountChange:
    """What one event, or the engine, did to the margins of open positions."""

    step: int
    kind: str
    account: str
    n_positions: int
    size_base: float
    margin_quote: float


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class LiveRecord:
    """What a run with events keeps beside its batches.

    Parameters
    ----------
    sides : tuple of SideBook
        Slices of longs and of shorts in the order in which they fell due.
    changes : tuple of AccountChange
    n_left : int
        Events that the path ended before.
    start_quote, closed_quote, deleveraged_quote, end_quote : float
        Margin of open positions at the start; what left it with positions that fell due and
        with deleveraged ones; margin of open positions at the end.
    """

    sides: tuple[SideBook, SideBook]
    changes: tuple[AccountChange, ...]
    n_left: int
    start_quote: float
    closed_quote: float
    deleveraged_quote: float
    end_quote: float


class Positions:
    """State of every position of a book and of those opened later; changed in place.

    Parameters
    ----------
    book : SliceBook
    rules : CloseRules
        That cut it.
    openings : sequence of Opening
        Their rows come after those of the ledger.
    """

    def __init__(self, book: SliceBook, rules: CloseRules, openings: Sequence[Opening]) -> None:
        ledger, n_new = book.ledger, len(openings)
        self.book, self.rules = book, rules
        names = ledger.positions["account"].to_list() + [o.account for o in openings]
        self.names: list[str] = names
        self.n_first = ledger.n_positions
        later = np.array([o.size_base for o in openings])
        self.sign = np.sign(np.concatenate([ledger.size_base, later]))
        #: What is neither due nor deleveraged: unsigned size, its margin, where it is counted from.
        self.size = np.concatenate([np.abs(ledger.size_base), np.zeros(n_new)])
        self.margin = np.concatenate([ledger.margin_quote, np.zeros(n_new)])
        self.entry = np.concatenate([ledger.entry_price, np.ones(n_new)])
        self.version = np.zeros(len(names), dtype=np.int64)

    def worth(self, price: FloatArray | float) -> FloatArray:
        """Worth of a unit, see :mod:`cascadelab.dynamics.slices`."""
        return worth(price, is_inverse=self.book.is_inverse)

    def cut(self, rows: IntArray) -> SliceBook:
        """Slices of some open positions as they stand now."""
        sign, size, margin = self.sign[rows], self.size[rows], self.margin[rows]
        # Margin that funding has used up is a worse entry: equity is the same line.
        lost = np.minimum(margin, 0.0)
        entry = self.entry[rows]
        if lost.any():
            entry = price_of_worth(
                self.worth(entry) - sign * lost / size, is_inverse=self.book.is_inverse
            )
        market = self.book.ledger.markets[0] if self.book.ledger.markets else ""
        ledger = Ledger(
            pl.DataFrame(
                {
                    "account": [self.names[i] for i in rows.tolist()],
                    "market": pl.repeat(market, len(rows), eager=True),
                    "size_base": sign * size,
                    "entry_price": entry,
                    "margin_quote": margin - lost,
                }
            )
        )
        return slice_book(ledger, self.rules, n_slices=self.book.n_slices_at_most)

    def close(self, rows: IntArray, quantity: FloatArray, prices: FloatArray) -> float:
        """Some slices are due at their prices; returns the margin that leaves with them.

        A position closed in part keeps its equity, counted from that price on.
        """
        whole = quantity >= self.size[rows] * (1.0 - 1e-12)
        released = float(self.margin[rows[whole]].sum())
        self.size[rows[whole]] = self.margin[rows[whole]] = 0.0
        for row, part, price in zip(
            rows[~whole].tolist(), quantity[~whole].tolist(), prices[~whole].tolist(), strict=True
        ):
            now = float(self.worth(price))
            before = float(self.worth(self.entry[row]))
            profit = self.sign[row] * self.size[row] * (now - before)
            released -= profit
            self.margin[row] += profit
            self.entry[row] = price
            self.size[row] -= part
            if self.size[row] <= 1e-12 * part:
                released += float(self.margin[row])
                self.size[row] = self.margin[row] = 0.0
        return released

    def shrink(self, rows: IntArray, taken: FloatArray) -> float:
        """Deleverage; margin goes in proportion. Returns the margin that leaves."""
        share = np.zeros_like(self.size)
        np.add.at(share, rows, taken)
        hit = np.flatnonzero(share)
        part = share[hit] / np.where(self.size[hit] > 0, self.size[hit], 1.0)
        part[part > 1.0 - 1e-12] = 1.0
        released = self.margin[hit] * part
        self.margin[hit] -= released
        self.size[hit] *= 1.0 - part
        return float(released.sum())


class LiveSide(DueLine):
    """One side of a changing book: a sorted array with a pointer, a heap, and the line of the due.

    Parameters
    ----------
    positions : Positions
    book : SliceBook
        First slices; their rows are those of `positions`.
    coordinate : Coordinate
    sign : float
    """

    def __init__(
        self, positions: Positions, book: SliceBook, coordinate: Coordinate, sign: float
    ) -> None:
        super().__init__(sign, np.empty(0), np.zeros(1))
        self._is_own = True
        self.positions, self.coordinate = positions, coordinate
        self.is_inverse = book.is_inverse
        self._due = np.empty(64, dtype=_SLICE)
        self._sizes, self._sums = np.empty(64), np.zeros(65)
        self.released_quote = self.deleveraged_quote = 0.0
        self.draw(book, np.arange(book.ledger.n_positions))

    # ------------------------------------------------------------------ what is not due

    def _slices(self, book: SliceBook, rows: IntArray) -> np.ndarray:
        """Slices of this side of a cut, in order of threshold."""
        side = book.side(self.coordinate, self.sign)
        found = np.empty(len(side.order), dtype=_SLICE)
        found["level"], found["size"] = side.thresholds, side.sizes_base
        found["bankrupt"], found["row"] = side.bankruptcy_price, rows[side.row]
        found["entry"], found["margin"] = side.entry_price, side.margin_per_base
        found["rate"] = side.maintenance_rate
        found["version"] = self.positions.version[found["row"]]
        return found

    def draw(self, book: SliceBook, rows: IntArray) -> None:
        """Take a cut of all open positions instead of what was pending."""
        self._place(self._slices(book, rows))

    def _place(self, slices: np.ndarray) -> None:
        self._all = slices
        self._levels = np.ascontiguousarray(slices["level"])
        self._at, self._heap = 0, list[tuple[float, int]]()
        self._added = np.empty(64, dtype=_SLICE)
        self._n_added = 0
        self._look_ahead()

    def add(self, book: SliceBook, rows: IntArray) -> None:
        """Put the slices of a few positions beside the array."""
        found = self._slices(book, rows)
        n = self._n_added + len(found)
        if n > len(self._added):
            self._added = np.resize(self._added, 2 * n)
        self._added[self._n_added : n] = found
        for i, level in enumerate(found["level"].tolist(), self._n_added):
            heapq.heappush(self._heap, (level, i))
        self._n_added = n
        if n > LARGEST_HEAP:
            self._place(self._pending())
        self._look_ahead()

    def _is_live(self, slices: np.ndarray) -> np.ndarray:
        """Whether slices belong to the last cut of their position."""
        return np.asarray(self.positions.version[slices["row"]] == slices["version"])

    def _look_ahead(self) -> None:
        """Find the next threshold, past slices that a later cut has replaced."""
        everyone, version = self._all, self.positions.version
        while self._at < len(everyone):
            one = everyone[self._at]
            if version[one["row"]] == one["version"]:
                break
            self._at += 1
        while self._heap:
            one = self._added[self._heap[0][1]]
            if version[one["row"]] == one["version"]:
                break
            heapq.heappop(self._heap)
        first = self._levels[self._at] if self._at < len(everyone) else np.inf
        self.next_move = float(min(first, self._heap[0][0] if self._heap else np.inf))

    def _pending(self) -> np.ndarray:
        """Slices that are not due, in order of threshold."""
        parts = [self._all[self._at :]]
        if self._heap:
            parts.append(self._added[sorted(i for _, i in self._heap)])
        found = np.concatenate(parts)
        found = found[self._is_live(found)]
        if self._heap:
            found = found[stable_order(found["level"])[0]]
        return np.asarray(found)

    def n_reachable(self) -> int:
        """Slices that have been due, and those that can be."""
        return self.n_due + int(np.isfinite(self._pending()["level"]).sum())

    # ------------------------------------------------------------------ what is due

    def trigger(self, move: float, release_step: int, step: int) -> bool:
        """Put what a move against this side has reached in line; whether there was any."""
        end = max(int(self._levels.searchsorted(move, side="right")), self._at)
        found = self._all[self._at : end]
        self._at = end
        beside: list[int] = []
        while self._heap and self._heap[0][0] <= move:
            beside.append(heapq.heappop(self._heap)[1])
        if beside:
            found = np.concatenate([found, self._added[beside]])
            found = found[stable_order(found["level"])[0]]
        found = found[self._is_live(found)]
        self._look_ahead()
        if len(found) == 0:
            return False
        self._append(found)
        price = self.coordinate.price_at(self.sign * found["level"])
        self.released_quote += self.positions.close(found["row"], found["size"], price)
        self._put_in_line(self.n_due + len(found), release_step, step)
        return True

    def _append(self, found: np.ndarray) -> None:
        sums = self.cumulative
        start, end = self.n_due, self.n_due + len(found)
        if end > len(self._due):
            room = 2 * end
            self._due, self._sizes = np.resize(self._due, room), np.resize(self._sizes, room)
            self._sums = np.resize(sums, room + 1)
        self._due[start:end], self._sizes[start:end] = found, found["size"]
        np.cumsum(found["size"], out=self._sums[start + 1 : end + 1])
        self._sums[start + 1 : end + 1] += self._sums[start]
        self.sizes, self._cumulative = self._sizes[:end], self._sums[: end + 1]
        self._stale_from = end + 1

    def bankrupt(self, first: int, n_slices: int) -> FloatArray:
        """Bankruptcy prices of some slices that are due, shape (n_slices,), quote per base."""
        return np.ascontiguousarray(self._due["bankrupt"][first : first + n_slices])

    def record(self) -> SideBook:
        """Slices in the order in which they fell due, as the fills of a run need them."""
        due = self._due[: self.n_due]
        positions = self.positions
        ledger = positions.book.ledger
        slices = SliceBook(
            ledger=ledger,
            row=due["row"].copy(),
            size_base=self.sign * self.sizes,
            trigger_price=self.coordinate.price_at(self.sign * due["level"]),
            bankruptcy_price=due["bankrupt"].copy(),
            maintenance_rate=due["rate"].copy(),
            is_inverse=self.is_inverse,
        )
        return SideBook(
            sign=self.sign,
            slices=slices,
            order=np.arange(self.n_due),
            thresholds=due["level"].copy(),
            sizes_base=self.sizes.copy(),
            cumulative_base=self.cumulative.copy(),
        )

    # ------------------------------------------------------------------ deleveraging

    def deleverage(
        self, wanted: float, mark: float, ranking: str, generator: np.random.Generator | None
    ) -> float:
        """Close up to `wanted` base units of what is open; returns the quantity closed."""
        first, left = self.still_open()
        pending = self._pending()
        slices = np.concatenate([self._due[first : self.n_due], pending])
        size = np.concatenate([left, pending["size"]])
        everyone = OpenSlices(
            sign=self.sign,
            size_base=size,
            entry_price=slices["entry"],
            margin_per_base=slices["margin"],
            maintenance_rate=slices["rate"],
            is_inverse=self.is_inverse,
        )
        taken = fill_from_ranking(everyone, ranking, wanted, mark, generator)
        n_due = len(left)
        if n_due:
            self.reduce(slice(first, None), taken[:n_due])
        rest = taken[n_due:]
        if rest.any():
            self.deleveraged_quote += self.positions.shrink(pending["row"], rest)
            pending["size"] -= rest
            self._place(pending[pending["size"] > 0])
        return float(taken.sum())


class LiveBook:
    """Both sides of a changing book, and the events still to come.

    Parameters
    ----------
    book : SliceBook
        Cut by :func:`cascadelab.dynamics.slice_book`, which remembers the rules.
    coordinate : Coordinate
    events : sequence of AccountEvent
    step_s : float
    """

    def __init__(
        self,
        book: SliceBook,
        coordinate: Coordinate,
        events: Sequence[AccountEvent],
        step_s: float,
    ) -> None:
        if book.rules is None:
            raise ParameterError(
                "events came with a book that does not know its margin rules; expected one cut by "
                "slice_book(), because changed positions are cut again. Build it with slice_book()."
            )
        self.waiting = in_order(events, step_s)[::-1]
        openings = [event for _, event in self.waiting[::-1] if isinstance(event, Opening)]
        self.positions = Positions(book, book.rules, openings)
        self.rows = _rows_by_name(self.positions.names, self.waiting)
        self.longs = LiveSide(self.positions, book, coordinate, 1.0)
        self.shorts = LiveSide(self.positions, book, coordinate, -1.0)
        self.changes: list[AccountChange] = []
        self.n_opened = 0
        self.start_quote = float(self.positions.margin.sum())

    @property
    def next_step(self) -> float:
        """Step of the next event; infinite where none is left."""
        return self.waiting[-1][0] if self.waiting else np.inf

    def apply(self, step: int, price: float, mark: float) -> None:
        """Let happen what is due by a step, at its last price and its mark."""
        while self.waiting and self.waiting[-1][0] <= step:
            event = self.waiting.pop()[1]
            if isinstance(event, Funding):
                self._fund(step, event, mark)
                continue
            together = [event]
            while self.waiting and self.waiting[-1][0] <= step:
                another = self.waiting[-1][1]
                if type(another) is not type(event):
                    break
                together.append(another)
                self.waiting.pop()
            self._touch(step, together, price)

    def _fund(self, step: int, event: Funding, mark: float) -> None:
        positions = self.positions
        rows = np.flatnonzero(positions.size > 0)
        value = abs(float(positions.worth(mark)))
        paid = positions.sign[rows] * positions.size[rows] * value * event.rate
        positions.margin[rows] -= paid
        self._note(step, "funding", "", rows, -float(paid.sum()))
        if rows.size and event.rate != 0:
            positions.version[rows] += 1
            cut = positions.cut(rows)
            self.longs.draw(cut, rows)
            self.shorts.draw(cut, rows)

    def _touch(self, step: int, events: Sequence[AccountEvent], price: float) -> None:
        """Top-ups, or openings, of one step."""
        changed: dict[int, None] = {}
        for event in events:
            if isinstance(event, Opening):
                row = self._open(event, price)
                self._note(step, "opening", event.account, np.array([row]), event.margin_quote)
                changed[row] = None
            elif isinstance(event, TopUp):
                row = self.rows[event.account]
                if self._top_up(step, event, row):
                    changed[row] = None
        rows = np.array(list(changed), dtype=np.int64)
        if rows.size == 0:
            return
        self.positions.version[rows] += 1
        cut = self.positions.cut(rows)
        self.longs.add(cut, rows)
        self.shorts.add(cut, rows)

    def _top_up(self, step: int, event: TopUp, row: int) -> bool:
        """Whether the account had a position, and no more was asked than it had posted."""
        after = float(self.positions.margin[row]) + event.margin_quote
        is_refused = event.margin_quote < 0 and after < 0
        is_done = self.positions.size[row] > 0 and not is_refused
        if is_done:
            self.positions.margin[row] = after
        kind = "top-up refused" if is_refused and self.positions.size[row] > 0 else "top-up"
        held = np.array([row] if is_done else [], dtype=np.int64)
        self._note(step, kind, event.account, held, event.margin_quote if is_done else 0.0)
        return is_done

    def _open(self, event: Opening, price: float) -> int:
        positions = self.positions
        row = positions.n_first + self.n_opened
        self.n_opened += 1
        positions.size[row], positions.margin[row] = abs(event.size_base), event.margin_quote
        positions.entry[row] = price if event.entry_price is None else event.entry_price
        return row

    def record(self) -> LiveRecord:
        """What a run keeps of it."""
        sides = (self.longs, self.shorts)
        return LiveRecord(
            sides=(self.longs.record(), self.shorts.record()),
            changes=tuple(self.changes),
            n_left=len(self.waiting),
            start_quote=self.start_quote,
            closed_quote=sum(side.released_quote for side in sides),
            deleveraged_quote=sum(side.deleveraged_quote for side in sides),
            end_quote=float(self.positions.margin.sum()),
        )

    def _note(self, step: int, kind: str, account: str, rows: IntArray, margin: float) -> None:
        size = float((self.positions.sign * self.positions.size)[rows].sum())
        self.changes.append(AccountChange(step, kind, account, len(rows), size, margin))


def _rows_by_name(names: list[str], events: list[tuple[int, AccountEvent]]) -> dict[str, int]:
    """Rows by account name, where an event needs them."""
    rows = {name: i for i, name in enumerate(names)}
    named = [event for _, event in events if not isinstance(event, Funding)]
    if named and len(rows) < len(names):
        twice = next(name for i, name in enumerate(names) if rows[name] != i)
        raise ParameterError(
            f"Account {twice!r} has more than one position in the book and the openings; expected "
            f"one, because events name accounts. Rename one of them."
        )
    for event in named:
        if event.account not in rows:
            raise ParameterError.unknown("account", event.account, names[:1000])
    return rows
