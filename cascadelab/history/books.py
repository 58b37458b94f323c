"""Order books out of messages: rebuilt from snapshot and changes; flow at the best quotes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from cascadelab.errors import ParameterError, SchemaError
from cascadelab.history.transforms import require_one_symbol

__all__ = ["BookGap", "RebuiltBook", "order_flow_imbalance", "rebuild"]


@dataclass(frozen=True, kw_only=True, slots=True)
class BookGap:
    """A place where the book cannot be trusted until the next snapshot.

    Parameters
    ----------
    message : int
        Number of the message.
    observed_at : datetime
    reason : str
        What was found.
    """

    message: int
    observed_at: datetime
    reason: str


@dataclass(frozen=True, kw_only=True, eq=False)
class RebuiltBook:
    """Best quotes after every message, the last book, and where the chain broke.

    Parameters
    ----------
    quotes : polars.DataFrame
        ``observed_at``, ``message``, ``bid_price``, ``bid_size``, ``ask_price``, ``ask_size``
        (null where a side is empty), ``is_trusted``: False from a gap to the next snapshot, and
        where bid and ask cross.
    levels : polars.DataFrame
        The book after the last message: ``side``, ``price``, ``size``, best first.
    gaps : tuple of BookGap
    n_skipped : int
        Messages before the first snapshot; no book can be built from them.
    n_crossed : int
        Messages after which the best bid is not below the best ask.
    """

    quotes: pl.DataFrame
    levels: pl.DataFrame
    gaps: tuple[BookGap, ...]
    n_skipped: int
    n_crossed: int


class _Book:
    """Levels of two sides, and the best of each."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[float, float]] = {"bid": {}, "ask": {}}

    def clear(self) -> None:
        for side in self.sides.values():
            side.clear()

    def put(self, side: str, price: float, size: float) -> bool:
        """Set one level; False where a deletion names a level that is not there."""
        levels = self.sides[side]
        if size > 0:
            levels[price] = size
            return True
        return levels.pop(price, None) is not None

    def best(self) -> tuple[float | None, float | None, float | None, float | None]:
        bids, asks = self.sides["bid"], self.sides["ask"]
        bid, ask = max(bids, default=None), min(asks, default=None)
        return (
            bid,
            None if bid is None else bids[bid],
            ask,
            None if ask is None else asks[ask],
        )

    def frame(self) -> pl.DataFrame:
        rows = [
            (side, price, self.sides[side][price])
            for side in ("bid", "ask")
            for price in sorted(self.sides[side], reverse=side == "bid")
        ]
        return pl.DataFrame(
            rows, schema={"side": pl.String, "price": pl.Float64, "size": pl.Float64}, orient="row"
        )


def rebuild(book: pl.DataFrame, size: str = "size_base") -> RebuiltBook:
    """Rebuild the order book of one symbol from its messages.

    Parameters
    ----------
    book : polars.DataFrame
        Kind ``"book"``, one symbol, in the order of the file.
    size : {"size_base", "size_native"}
        Which size to keep; native where the contract is not known.

    Returns
    -------
    RebuiltBook

    Raises
    ------
    ParameterError
        If there are several symbols, or sizes or prices are null.

    Notes
    -----
    Messages before the first snapshot are skipped. A snapshot replaces the whole book. Sizes are
    absolute, 0 deletes. Where the venue numbers its messages, a number that does not follow the
    one before is a gap: what comes after is not trusted until the next snapshot. Deleting a level
    that is not there is no gap: venues send it for levels beyond the depth they publish.
    """
    _require_one(book, size)
    state = _Book()
    rows: list[tuple[object, ...]] = []
    gaps: list[BookGap] = []
    n_skipped = n_crossed = 0
    is_started, is_trusted, last = False, False, None
    for message in book.partition_by("message", maintain_order=True):
        at, number = message["observed_at"][0], int(message["message"][0])
        sequence = message["sequence"][0]
        if message["is_snapshot"][0]:
            state.clear()
            is_started = is_trusted = True
        elif not is_started:
            n_skipped += 1
            continue
        elif last is not None and sequence is not None and sequence != last + 1:
            reason = f"sequence {sequence} follows {last}"
            gaps.append(BookGap(message=number, observed_at=at, reason=reason))
            is_trusted = False
        last = sequence
        for side, price, amount in message.select("side", "price", size).iter_rows():
            state.put(side, price, amount)
        best = state.best()
        is_crossed = best[0] is not None and best[2] is not None and best[0] >= best[2]
        n_crossed += is_crossed
        rows.append((at, number, *best, is_trusted and not is_crossed))
    return RebuiltBook(
        quotes=pl.DataFrame(rows, schema=_QUOTES, orient="row"),
        levels=state.frame(),
        gaps=tuple(gaps),
        n_skipped=n_skipped,
        n_crossed=n_crossed,
    )


_QUOTES = pl.Schema(
    {
        "observed_at": pl.Datetime("us", "UTC"),
        "message": pl.Int64(),
        "bid_price": pl.Float64(),
        "bid_size": pl.Float64(),
        "ask_price": pl.Float64(),
        "ask_size": pl.Float64(),
        "is_trusted": pl.Boolean(),
    }
)


def _require_one(book: pl.DataFrame, size: str) -> None:
    if size not in ("size_base", "size_native"):
        raise ParameterError.unknown("size", str(size), ("size_base", "size_native"))
    n_symbols = book["symbol"].n_unique()
    if n_symbols > 1:
        raise ParameterError(
            f"The book holds {n_symbols} symbols; one is expected. Filter by symbol first."
        )
    for name in ("price", size):
        n_null = book[name].null_count()
        if n_null:
            row = int(book[name].is_null().arg_max() or 0)
            raise SchemaError.bad_row("book", name, row, None, "a number", n_null)


def order_flow_imbalance(quotes: pl.DataFrame, every: str) -> pl.DataFrame:
    r"""Order-flow imbalance at the best quotes, summed over intervals.

    Parameters
    ----------
    quotes : polars.DataFrame
        One symbol, in order: ``observed_at``, ``bid_price``, ``bid_size``, ``ask_price``,
        ``ask_size`` (:class:`RebuiltBook`), or kind ``"quotes"`` with ``bid_base`` and
        ``ask_base``. Rows with a null, or with ``is_trusted`` False, break the chain.
    every : str
        Width of an interval as polars writes it: ``"1s"``, ``"10s"``.

    Returns
    -------
    polars.DataFrame
        ``opened_at``, ``ofi`` (units of the sizes; positive: demand), ``n_updates``,
        ``mid_change`` (last mid less the mid before the interval's first update, price units).

    Notes
    -----
    For update n, with P and q the best price and size,

    .. math:: e_n = 1[P^b_n \ge P^b_{n-1}] q^b_n - 1[P^b_n \le P^b_{n-1}] q^b_{n-1}
              - 1[P^a_n \le P^a_{n-1}] q^a_n + 1[P^a_n \ge P^a_{n-1}] q^a_{n-1}

    and the imbalance of an interval is the sum of its :math:`e_n`. The first update after a
    break has no predecessor and counts nothing.

    Raises
    ------
    ParameterError
        If the quotes are of several symbols.

    References
    ----------
    Cont, R., Kukanov, A., Stoikov, S. (2014). The price impact of order book events. Journal of
    Financial Econometrics 12(1), 47-88, equations (2)-(4). doi:10.1093/jjfinec/nbt003
    """
    require_one_symbol(quotes, "quotes")
    if "bid_size" not in quotes.columns:
        quotes = quotes.rename({"bid_base": "bid_size", "ask_base": "ask_size"})
    names = ("bid_price", "bid_size", "ask_price", "ask_size")
    is_good = pl.all_horizontal(pl.col(name).is_not_null() for name in names)
    if "is_trusted" in quotes.columns:
        is_good = is_good & pl.col("is_trusted")
    bid, bid_size, ask, ask_size = (pl.col(name) for name in names)
    demand = _kept(bid >= bid.shift(1), bid_size) - _kept(bid <= bid.shift(1), bid_size.shift(1))
    supply = _kept(ask <= ask.shift(1), ask_size) - _kept(ask >= ask.shift(1), ask_size.shift(1))
    mid = (bid + ask) / 2.0
    has_both = pl.col("is_good") & pl.col("is_good").shift(1)
    steps = (
        quotes.with_columns(is_good=is_good)
        .with_columns(ofi=demand - supply, before=mid.shift(1), mid=mid, has_both=has_both)
        .filter("has_both")
    )
    return steps.group_by(
        opened_at=pl.col("observed_at").dt.truncate(every), maintain_order=True
    ).agg(
        ofi=pl.col("ofi").sum(),
        n_updates=pl.len().cast(pl.Int64),
        mid_change=pl.col("mid").last() - pl.col("before").first(),
    )


def _kept(condition: pl.Expr, value: pl.Expr) -> pl.Expr:
    return pl.when(condition).then(value).otherwise(0.0)
