"""Tardis CSV beside trades: liquidations, tickers, options, books."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import polars as pl

from cascadelab.errors import DataError
from cascadelab.history.checks import check_pauses, with_notes, with_one_per_second
from cascadelab.history.contracts import Contract, sizes_in_base, tardis_contract
from cascadelab.history.formats import Context, Format, State
from cascadelab.history.parse import Field, Parsed, parse_block, values_of
from cascadelab.history.quality import Quality
from cascadelab.history.records import finish_plainly
from cascadelab.history.source import Block, Head, Source

__all__ = [
    "BOOK_CHANGES",
    "BOOK_SNAPSHOTS",
    "FORMATS",
    "LIQUIDATIONS",
    "OPTIONS",
    "QUOTES",
    "TICKERS",
    "with_sizes",
]

_START = (
    Field(name="exchange", type="text"),
    Field(name="symbol", type="text"),
    Field(name="timestamp", type="epoch"),
    Field(name="local_timestamp", type="epoch"),
)
#: Exchanges whose feed shows at most one liquidation per symbol and second, and since when.
_THROTTLED = ("binance-futures", "binance-delivery", "okex-swap", "okex-futures")


def _begin(frame: pl.DataFrame, context: Context) -> State:
    pairs = frame.select("exchange", "symbol").unique(maintain_order=True).rows()
    contracts = {context.contract or tardis_contract(*pair) for pair in pairs}
    notes = [
        "The contract size is not known here: base sizes are null."
        if len(contracts) == 1
        else "The contract sizes of some symbols are not known here: their base sizes are null."
    ] * (None in contracts)
    if len(contracts - {None}) > 1:
        notes.append("Symbols of several contracts: each row was turned into coins by its own.")
    return State(
        venue=pairs[0][0] if len({pair[0] for pair in pairs}) == 1 else "",
        symbol=pairs[0][1] if len(pairs) == 1 else "",
        contract=contracts.pop() if len(contracts) == 1 else None,
        given=context.contract,
        notes=tuple(notes),
    )


def with_sizes(frame: pl.DataFrame, state: State, amount: str, price: str) -> pl.DataFrame:
    """Add ``size_base``, each row by its exchange and symbol; null where that is not known."""

    def contract_of(exchange: str, symbol: str) -> Contract | None:
        return state.given or tardis_contract(exchange, symbol)

    return sizes_in_base(frame, contract_of, amount, price, by=("exchange", "symbol"))


def _tidy_liquidations(frame: pl.DataFrame, state: State) -> pl.DataFrame:
    is_long = pl.col("side") == "sell"
    return with_sizes(frame, state, "amount", "price").select(
        liquidated_at="timestamp",
        venue="exchange",
        symbol="symbol",
        liquidated_side=pl.when(is_long)
        .then(pl.lit("long"))
        .when(pl.col("side") == "buy")
        .then(pl.lit("short")),
        size_base="size_base",
        order_price="price",
        notional_usd=pl.col("size_base") * pl.col("price"),
        transaction="id",
    )


def _finish_liquidations(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    exchange = quality.venue
    if exchange in _THROTTLED:
        rule = "The exchange pushes at most one order per symbol and second."
        return frame, with_one_per_second(frame, quality, rule)
    note = "Whether the exchange withheld orders is not known here; see docs/data.md."
    return frame, with_notes(quality, "" if exchange in ("deribit", "bitmex") else note)


LIQUIDATIONS = Format(
    name="tardis_liquidations",
    kind="liquidations",
    time="liquidated_at",
    hint="liquidations",
    fields=(
        *_START,
        Field(name="id", type="text", is_nullable=True),
        Field(name="side", type="text", values=("buy", "sell", "unknown")),
        Field(name="price", rule="positive"),
        Field(name="amount", rule="positive"),
    ),
    begin=_begin,
    tidy=_tidy_liquidations,
    finish=_finish_liquidations,
    identifier="transaction",
)


def _tidy_tickers(frame: pl.DataFrame, state: State) -> pl.DataFrame:
    return with_sizes(frame, state, "open_interest", "mark_price").select(
        observed_at="timestamp",
        arrived_at="local_timestamp",
        venue="exchange",
        symbol="symbol",
        funding_rate="funding_rate",
        funding_at="funding_timestamp",
        predicted_funding_rate="predicted_funding_rate",
        open_interest_base="size_base",
        open_interest_native="open_interest",
        last_price="last_price",
        index_price="index_price",
        mark_price="mark_price",
    )


TICKERS = Format(
    name="tardis_derivative_ticker",
    kind="tickers",
    time="observed_at",
    fields=(
        *_START,
        Field(name="funding_timestamp", type="epoch", is_nullable=True),
        *(
            Field(name=name, is_nullable=True)
            for name in (
                "funding_rate",
                "predicted_funding_rate",
                "open_interest",
                "last_price",
                "index_price",
                "mark_price",
            )
        ),
    ),
    begin=_begin,
    tidy=_tidy_tickers,
    finish=lambda frame, quality, _: (frame, check_pauses(quality)),
)


def _tidy_quotes(frame: pl.DataFrame, state: State) -> pl.DataFrame:
    # An empty side may be written as a price of 0.
    frame = frame.with_columns(
        pl.when(pl.col(name) != 0).then(name).alias(name) for name in ("bid_price", "ask_price")
    )
    bids = with_sizes(frame, state, "bid_amount", "bid_price").rename({"size_base": "bid_base"})
    both = with_sizes(bids, state, "ask_amount", "ask_price")
    return both.select(
        observed_at="timestamp",
        arrived_at="local_timestamp",
        venue="exchange",
        symbol="symbol",
        bid_price="bid_price",
        bid_base="bid_base",
        ask_price="ask_price",
        ask_base="size_base",
    )


QUOTES = Format(
    name="tardis_quotes",
    kind="quotes",
    time="observed_at",
    fields=(
        *_START,
        Field(name="ask_amount", rule="not negative", is_nullable=True),
        Field(name="ask_price", is_nullable=True),
        Field(name="bid_price", is_nullable=True),
        Field(name="bid_amount", rule="not negative", is_nullable=True),
    ),
    foreign=("strike_price",),
    begin=_begin,
    tidy=_tidy_quotes,
    finish=lambda frame, quality, _: (frame, check_pauses(quality)),
    keeps_equal_rows=True,
)

_OPTION_NUMBERS = (
    "open_interest", "last_price", "bid_price", "bid_amount", "bid_iv", "ask_price", "ask_amount",
    "ask_iv", "mark_price", "mark_iv", "underlying_price", "delta", "gamma", "vega", "theta", "rho",
)  # fmt: skip


def _begin_options(frame: pl.DataFrame, context: Context) -> State:
    names = frame["symbol"].unique().to_list()
    return State(venue=frame["exchange"][0], symbol=names[0] if len(names) == 1 else "")


def _tidy_options(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    return frame.select(
        observed_at="timestamp",
        arrived_at="local_timestamp",
        venue="exchange",
        symbol="symbol",
        option_type="type",
        strike_price="strike_price",
        expires_at="expiration",
        underlying_price="underlying_price",
        open_interest_contracts="open_interest",
        bid_price="bid_price",
        ask_price="ask_price",
        mark_price="mark_price",
        bid_volatility="bid_iv",
        ask_volatility="ask_iv",
        mark_volatility="mark_iv",
        delta="delta",
        gamma="gamma",
        vega="vega",
        theta="theta",
    )


def _finish_options(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    empty = frame["underlying_price"].null_count()
    unquoted = frame.filter(pl.col("bid_price").is_null() | pl.col("ask_price").is_null()).height
    names = ["bid_volatility", "ask_volatility", "mark_volatility"]
    volatile = pl.concat([frame[name] for name in names]).median()
    is_percent = isinstance(volatile, float) and volatile > 10.0
    if is_percent:
        frame = frame.with_columns(pl.col(names) / 100.0)
    return frame, with_notes(
        check_pauses(quality),
        f"{empty:,} rows have no price of the underlying." if empty else "",
        f"{unquoted:,} rows lack a bid or an ask." if unquoted else "",
        "Volatilities are percent in the file and fractions here." if is_percent else "",
    )


OPTIONS = Format(
    name="tardis_options_chain",
    kind="options",
    time="observed_at",
    fields=(
        *_START,
        Field(name="type", type="text", values=("call", "put")),
        Field(name="strike_price", rule="positive"),
        Field(name="expiration", type="epoch"),
        *(Field(name=name, is_nullable=True) for name in _OPTION_NUMBERS),
        Field(name="underlying_index", type="text", is_nullable=True),
    ),
    begin=_begin_options,
    tidy=_tidy_options,
    finish=_finish_options,
)


def _tidy_changes(frame: pl.DataFrame, state: State) -> pl.DataFrame:
    return with_sizes(frame, state, "amount", "price").select(
        observed_at="timestamp",
        arrived_at="local_timestamp",
        venue="exchange",
        symbol="symbol",
        message=pl.lit(0),
        is_snapshot="is_snapshot",
        side="side",
        price="price",
        size_base="size_base",
        size_native="amount",
    )


def _finish_changes(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    # Rows of one arrival are one message; all rows of a snapshot are one, however they arrived.
    arrival = pl.when(~pl.col("is_snapshot")).then("arrived_at")
    key = pl.struct("symbol", "is_snapshot", arrival.alias("arrival"))
    frame = frame.with_columns(message=key.rle_id().cast(pl.Int64))
    first = frame["is_snapshot"].arg_max() or 0
    n_early = first if frame["is_snapshot"].any() else frame.height
    note = f"{n_early:,} rows come before the first snapshot: no book can be built from them."
    return frame, with_notes(quality, note if n_early else "")


BOOK_CHANGES = Format(
    name="tardis_incremental_book",
    kind="book",
    time="observed_at",
    fields=(
        *_START,
        Field(name="is_snapshot", type="boolean"),
        Field(name="side", type="text", values=("bid", "ask")),
        Field(name="price", rule="positive"),
        Field(name="amount", rule="not negative"),
    ),
    begin=_begin,
    tidy=_tidy_changes,
    finish=_finish_changes,
    keeps_order=True,
    keeps_equal_rows=True,
)

_LEVEL = re.compile(r"^(asks|bids)\[(\d+)\]\.(price|amount)$")
_LONG_FIELDS = (
    *_START,
    Field(name="message", type="integer"),
    Field(name="side", type="text"),
    Field(name="price", is_nullable=True),
    Field(name="amount", is_nullable=True),
)


def _is_snapshots(_: Source, head: Head) -> bool:
    first = next((line for line in head.lines if line.strip()), "")
    names = [name.strip() for name in values_of(first)]
    return names[:4] == [item.name for item in _START] and bool(
        _LEVEL.match(names[4] if len(names) > 4 else "")
    )


def _require_levels(names: Sequence[str], context: Context) -> None:
    """Refuse a header in which a level has a price and no amount, or stands twice."""
    levels = {match[0].rpartition(".")[0] for name in names if (match := _LEVEL.match(name))}
    wanted = [f"{level}.{what}" for level in sorted(levels) for what in ("price", "amount")]
    lacking = next((name for name in wanted if name not in names), "")
    twice = next((name for name in names if names.count(name) > 1), "")
    if lacking or twice:
        problem = (
            f"The header lacks {lacking!r}." if lacking else f"The header names {twice!r} twice."
        )
        raise DataError.in_file(context.source.path, problem, "Download the file again.", 1)


def _level_field(name: str) -> Field:
    is_price = name.endswith("price")
    return Field(name=name, rule="positive" if is_price else "not negative", is_nullable=True)


def _read_snapshots(context: Context) -> Iterator[Parsed]:
    n_rows = 0
    columns: list[Field | None] = []
    for index, block in enumerate(context.source.blocks()):
        data, line = block.data, block.first_line
        if index == 0:
            header, _, data = data.partition(b"\n")
            names = [name.strip() for name in values_of(header.decode(errors="replace").strip())]
            _require_levels(names, context)
            known = {item.name: item for item in _START}
            columns = [
                known.get(name) or (_level_field(name) if _LEVEL.match(name) else None)
                for name in names
            ]
            line += 1
        if not data.strip():
            continue
        parsed = parse_block(Block(data, line), columns, context.source.path)
        long = _long(parsed.frame.with_row_index("message", offset=n_rows))
        lone = long.filter(pl.col("amount").is_null())
        if lone.height:
            row = int(lone["message"][0]) + 1
            problem = f"In row {row} a level has the price {lone['price'][0]} and no amount."
            raise DataError.in_file(context.source.path, problem, "Download the file again.")
        n_rows += parsed.frame.height
        yield Parsed(
            frame=long,
            time_units=parsed.time_units,
            n_blank_lines=parsed.n_blank_lines,
            n_padded_lines=parsed.n_padded_lines,
            n_records=parsed.frame.height,
        )


def _long(frame: pl.DataFrame) -> pl.DataFrame:
    """One row per level: price and amount of each side."""
    keys = [*(item.name for item in _START), "message"]
    levels = [match for name in frame.columns if (match := _LEVEL.match(name))]
    pairs = sorted({(match[1], int(match[2])) for match in levels})
    parts = [
        frame.select(
            *keys,
            side=pl.lit(side[:-1]),
            price=f"{side}[{number}].price",
            amount=f"{side}[{number}].amount",
        )
        for side, number in pairs
    ]
    return (
        pl.concat(parts).filter(pl.col("price").is_not_null()).sort("message", maintain_order=True)
    )


def _tidy_snapshots(frame: pl.DataFrame, state: State) -> pl.DataFrame:
    return with_sizes(frame, state, "amount", "price").select(
        observed_at="timestamp",
        arrived_at="local_timestamp",
        venue="exchange",
        symbol="symbol",
        message="message",
        is_snapshot=pl.lit(value=True),
        side="side",
        price="price",
        size_base="size_base",
        size_native="amount",
    )


BOOK_SNAPSHOTS = Format(
    name="tardis_book_snapshot",
    kind="book",
    time="observed_at",
    fields=_LONG_FIELDS,
    begin=_begin,
    tidy=_tidy_snapshots,
    finish=finish_plainly,
    rows_of=_read_snapshots,
    fits=_is_snapshots,
    keeps_order=True,
    keeps_equal_rows=True,
)

#: Formats of this module.
FORMATS = (LIQUIDATIONS, TICKERS, QUOTES, OPTIONS, BOOK_CHANGES, BOOK_SNAPSHOTS)
