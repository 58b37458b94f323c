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
import numpy.typing as npt

from cascadelab._order import stable_order
from cascadelab.dynamics.book import SideBook, SliceBook
from cascadelab.dynamics.deleverage import OpenSlices, fill_from_ranking
from cascadelab.dynamics.events import AccountEvent, Funding, Opening, TopUp
from cascadelab.dynamics.positions import Positions
from cascadelab.dynamics.side import DueLine
from cascadelab.errors import ParameterError
from cascadelab.units import Coordinate, FloatArray, IntArray

__all__ = ["AccountChange", "LiveBook", "LiveRecord", "LiveSide"]

#: Slices in the heap beyond which it is merged into the sorted array.
LARGEST_HEAP = 4096
_SLICE = np.dtype(
    [
        ("level", "f8"), ("size", "f8"), ("bankrupt", "f8"), ("entry", "f8"), ("margin", "f8"),
        ("rate", "f8"), ("row", "i8"), ("version", "i8"), ("is_last", "?"),
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

    def slices_of(self, book: SliceBook, rows: IntArray) -> np.ndarray:
        """Slices of this side of a cut, in order of threshold."""
        side = book.side(self.coordinate, self.sign)
        found = np.empty(len(side.order), dtype=_SLICE)
        found["level"], found["size"] = side.thresholds, side.sizes_base
        found["bankrupt"], found["row"] = side.bankruptcy_price, rows[side.row]
        found["entry"], found["margin"] = side.entry_price, side.margin_per_base
        found["rate"] = side.maintenance_rate
        found["is_last"] = side.slices.is_last[side.order]
        found["version"] = self.positions.version[found["row"]]
        return found

    def draw(self, book: SliceBook, rows: IntArray) -> None:
        """Take a cut of all open positions instead of what was pending."""
        self._place(self.slices_of(book, rows))

    def _place(self, slices: np.ndarray) -> None:
        self._all = slices
        self._levels = np.ascontiguousarray(slices["level"])
        self._at, self._heap = 0, list[tuple[float, int]]()
        self._added = np.empty(64, dtype=_SLICE)
        self._n_added = 0
        self._look_ahead()

    def add(self, book: SliceBook, rows: IntArray) -> None:
        """Put the slices of a few positions beside the array."""
        self.insert(self.slices_of(book, rows))

    def insert(self, found: np.ndarray) -> None:
        """Put slices of this side beside the array, as of the last cut of their positions."""
        found["version"] = self.positions.version[found["row"]]
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
            found = found[stable_order(found["level"])]
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
            found = found[stable_order(found["level"])]
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

    def ends(self, first: int, n_slices: int) -> npt.NDArray[np.bool_] | None:
        """Whether some slices end their positions, shape (n_slices,)."""
        return np.ascontiguousarray(self._due["is_last"][first : first + n_slices])

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
    events : sequence of (int, AccountEvent)
        With their steps, in order.
    """

    def __init__(
        self,
        book: SliceBook,
        coordinate: Coordinate,
        events: Sequence[tuple[int, AccountEvent]],
    ) -> None:
        if book.rules is None:
            raise ParameterError(
                "events came with a book that does not know its margin rules; expected one cut by "
                "slice_book(), because changed positions are cut again. Build it with slice_book()."
            )
        self.waiting = list(events)[::-1]
        openings = [event for _, event in self.waiting[::-1] if isinstance(event, Opening)]
        self.positions = Positions(book, book.rules, openings)
        self.rows = _rows_by_name(self.positions.names, self.waiting)
        self.longs = LiveSide(self.positions, book, coordinate, 1.0)
        self.shorts = LiveSide(self.positions, book, coordinate, -1.0)
        self.changes: list[AccountChange] = []
        self.n_opened = 0
        self.ready = self._cut_ahead(openings)
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
        ahead = [row for row in rows.tolist() if row in self.ready]
        for row in ahead:
            for side, found in zip((self.longs, self.shorts), self.ready.pop(row), strict=True):
                side.insert(found)
        rows = rows[~np.isin(rows, ahead)]
        if rows.size:
            cut = self.positions.cut(rows)
            self.longs.add(cut, rows)
            self.shorts.add(cut, rows)

    def _cut_ahead(self, openings: Sequence[Opening]) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Slices by row of openings whose entry is known, long and short: one cut for all."""
        positions, first = self.positions, self.positions.n_first
        known = [i for i, opening in enumerate(openings) if opening.entry_price is not None]
        rows = np.array(known, dtype=np.int64) + first
        if rows.size == 0:
            return {}
        for i in known:
            positions.open(first + i, openings[i], openings[i].entry_price or 0.0)
        cut = positions.cut(rows)
        positions.size[rows] = positions.margin[rows] = 0.0
        parts = [side.slices_of(cut, rows) for side in (self.longs, self.shorts)]
        parts = [found[np.argsort(found["row"], kind="stable")] for found in parts]
        starts = [found["row"].searchsorted(rows, side="left") for found in parts]
        ends = [found["row"].searchsorted(rows, side="right") for found in parts]
        return {
            row: (parts[0][starts[0][i] : ends[0][i]], parts[1][starts[1][i] : ends[1][i]])
            for i, row in enumerate(rows.tolist())
        }

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
        row = self.positions.n_first + self.n_opened
        self.n_opened += 1
        entry = price if event.entry_price is None else event.entry_price
        self.positions.open(row, event, entry)
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
        size = float(np.dot(self.positions.sign[rows], self.positions.size[rows]))
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
