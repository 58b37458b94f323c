"""Klines of the Binance archive: four series in one layout of twelve columns."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import polars as pl

from cascadelab.errors import DataError
from cascadelab.history.bar_checks import ends_of_bars, is_out_of_range
from cascadelab.history.binance_market import candidates, symbol_of, venue_of
from cascadelab.history.checks import check_grid, with_notes
from cascadelab.history.contracts import COINS, Contract
from cascadelab.history.formats import Context, Format, State
from cascadelab.history.parse import Field
from cascadelab.history.quality import Quality

__all__ = ["KLINES", "KLINES_OF_TEXT"]

_FOLDERS = {
    "markpriceklines": "mark",
    "indexpriceklines": "index",
    "premiumindexklines": "premium",
}
#: A premium index lies within a few per cent of zero; prices of coins that low have no sign.
_PREMIUM = 0.02
#: Share of bars whose volumes must give a price of the bar for a contract to be believed.
_AGREES = 0.9
_PRICES = ("open", "high", "low", "close")


def _begin(frame: pl.DataFrame, context: Context) -> State:
    symbol = symbol_of(context)
    series = _series(frame, context)
    contract = context.contract
    notes = [] if symbol else ["No name tells the symbol; pass symbol='...' to set it."]
    if series == "trade" and contract is None:
        contract = _contract(frame, context, symbol)
        if contract is None:
            contract = COINS
            notes.append("No bar has volume, so its unit could not be checked.")
    elif series == "mark or index":
        notes.append("The content does not tell mark from index prices; the reader used can.")
    return State(
        venue=venue_of(context, symbol, contract),
        symbol=symbol,
        contract=contract,
        series=series,
        has_volume=series == "trade",
        positive=() if series == "premium" else _PRICES,
        notes=tuple(notes),
    )


def _series(frame: pl.DataFrame, context: Context) -> str:
    """Return the series of a file: by content, and among equals by the caller or the folder."""
    has_volume = bool((frame["volume"] > 0).any())
    has_samples = bool((frame["count"] > 0).any())
    is_signed = frame.select(
        (pl.col("close") <= 0).any() & (pl.col("close").abs().median() < _PREMIUM)
    ).item()
    parts = {part.lower() for part in context.source.path.parts}
    by_folder = next((series for folder, series in _FOLDERS.items() if folder in parts), "")
    if has_volume:
        found = "trade"
    elif is_signed:
        found = "premium"
    elif by_folder or context.series not in ("", "trade"):
        found = context.series or by_folder
    else:
        found = "mark or index" if has_samples else "trade"
    wanted = context.series or found
    is_same = found == wanted or (found == "mark or index" and wanted in ("mark", "index"))
    if not is_same:
        problem = f"The klines are of the series {found!r}; {wanted!r} is expected."
        cure = "Use the reader of that series in history.binance, or history.read(path)."
        raise DataError.in_file(context.source.path, problem, cure)
    return wanted


def _contract(frame: pl.DataFrame, context: Context, symbol: str) -> Contract | None:
    """Return the contract under which volume over quote volume is a price of the bar."""
    traded = frame.filter((pl.col("volume") > 0) & (pl.col("quote_volume") > 0))
    if traded.is_empty():
        return None
    low, high = pl.col("low") * 0.999, pl.col("high") * 1.001
    linear = pl.col("quote_volume") / pl.col("volume")
    # Volumes fit two contracts at some prices (3.16 USD for a face of 10): the symbol goes first.
    for item in candidates(symbol):
        price = linear if item.is_coins else item.face / linear
        if float(traded.select(price.is_between(low, high).mean()).item()) >= _AGREES:
            return item
    problem = (
        "Volume and quote volume give no price between low and high, in coins or in contracts of "
        "100 or 10 USD."
    )
    raise DataError.in_file(context.source.path, problem, "Pass contract=Contract(...).")


def _tidy(frame: pl.DataFrame, state: State) -> pl.DataFrame:
    # The last moment of a bar, in microseconds, milliseconds or seconds; or its end.
    raw_close = pl.col("close_time")
    part = raw_close.dt.microsecond()
    last = (
        pl.when(part % 1000 != 0)
        .then(pl.duration(microseconds=1))
        .when(part != 0)
        .then(pl.duration(milliseconds=1))
        .when(raw_close.dt.second() == 59)
        .then(pl.duration(seconds=1))
        .otherwise(pl.duration(seconds=0))
    )
    bars = frame.select(
        opened_at="open_time",
        closed_at=raw_close + last,
        venue=pl.lit(state.venue),
        symbol=pl.lit(state.symbol or None, dtype=pl.String),
        series=pl.lit(state.series),
        open="open",
        high="high",
        low="low",
        close="close",
    )
    if not state.has_volume:
        return bars.with_columns(n_samples=frame["count"])
    return bars.hstack(_volumes(frame, state.contract or COINS))


def _volumes(frame: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    if contract.is_coins:
        base, bought, quote = "volume", "taker_buy_volume", pl.col("quote_volume")
    else:
        base, bought = "quote_volume", "taker_buy_quote_volume"
        quote = pl.col("volume") * contract.face
    return frame.select(
        volume_base=base,
        volume_quote=quote,
        bought_base=bought,
        flow_base=2.0 * pl.col(bought) - pl.col(base),
        n_trades="count",
    )


def _finish(frame: pl.DataFrame, quality: Quality, _: Context) -> tuple[pl.DataFrame, Quality]:
    step = _step(frame)
    times = frame["opened_at"]
    quality = check_grid(times, quality, step, step)
    # Weeks begin on Mondays and months on their first day: they are no multiples since 1970.
    step_us = min(step, timedelta(days=1)) // timedelta(microseconds=1)
    is_off = times.dt.timestamp("us") % step_us != 0
    n_odd = int((frame["closed_at"] != ends_of_bars(times, step)).sum())
    n_same = frame.height - times.n_unique()
    broken = frame.filter(is_out_of_range())["opened_at"]
    quality = with_notes(
        quality,
        f"{int(is_off.sum()):,} bars do not start on the grid." if is_off.any() else "",
        f"{n_odd:,} bars are not one step long by their own close time." if n_odd else "",
        f"{n_same:,} bars repeat the time of another with other values." if n_same else "",
        f"{len(broken):,} bars have an open or close outside low to high, the first at {broken[0]}."
        if len(broken)
        else "",
        _samples_note(frame),
    )
    return frame, quality


def _step(frame: pl.DataFrame) -> timedelta:
    pauses = frame["opened_at"].unique(maintain_order=True).diff().drop_nulls()
    if pauses.is_empty():
        only: timedelta = frame["closed_at"][0] - frame["opened_at"][0]
        return only
    common: timedelta = pauses.mode().min()  # type: ignore[assignment]
    return common


def _samples_note(frame: pl.DataFrame) -> str:
    samples = frame["n_samples"]
    if samples.null_count() == frame.height:
        return ""
    usual = int(str(samples.max()))
    n_short = int((samples < usual).sum())
    return (
        f"{n_short:,} bars have fewer than {usual} price samples."
        if n_short
        else f"Every bar has {usual} price samples."
    )


def _names(*parts: str) -> tuple[str, str]:
    """Name of a column as clients of the venue write it: with underscores or with spaces."""
    name = "_".join(parts)
    return name, name.replace("_", " ")


KLINES = Format(
    name="binance_klines",
    kind="bars",
    time="opened_at",
    has_headerless=True,
    fields=(
        Field(name="open_time", type="epoch", aliases=("open time",)),
        Field(name="open"),
        Field(name="high"),
        Field(name="low"),
        Field(name="close"),
        Field(name="volume", rule="not negative"),
        Field(name="close_time", type="epoch", aliases=("close time",)),
        Field(
            name="quote_volume",
            rule="not negative",
            aliases=(*_names("quote", "asset_volume"), "qav"),
        ),
        Field(
            name="count",
            type="integer",
            rule="not negative",
            aliases=(
                *_names("number", "of_trades"),
                *_names("nr", "of_trades"),
                "num_trades",
                "trades",
            ),
        ),
        Field(
            name="taker_buy_volume",
            rule="not negative",
            aliases=(
                *_names("taker_buy", "base", "asset_volume"),
                "taker_buy_base",
                "taker_base_vol",
            ),
        ),
        Field(
            name="taker_buy_quote_volume",
            rule="not negative",
            aliases=(
                *_names("taker_buy", "quote", "asset_volume"),
                "taker_buy_quote",
                "taker_quote_vol",
            ),
        ),
        Field(name="ignore", type="text", is_nullable=True, is_optional=True),
    ),
    begin=_begin,
    tidy=_tidy,
    finish=_finish,
    has_one_symbol=True,
)

#: The same format, as programs save it that turned the times into text; always with a header.
KLINES_OF_TEXT = replace(
    KLINES,
    has_headerless=False,
    fields=tuple(
        replace(item, type="time") if item.type == "epoch" else item for item in KLINES.fields
    ),
)
