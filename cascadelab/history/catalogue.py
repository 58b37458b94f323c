"""The catalogue of historical episodes: 64 episodes, their figures, sources and conflicts.

Our own tabulation of facts, shipped in ``data/catalogue``; its README says how figures were
chosen and what they cannot show. Nothing is averaged: sources that disagree stay side by side.
An empty cell means "not found", never zero. Percentages of the tables stay percentages, as their
column names say.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

import polars as pl

from cascadelab.display import Displayed, Summary
from cascadelab.errors import ParameterError
from cascadelab.files import shipped
from cascadelab.schema import UTC_TIME

__all__ = ["Episode", "conflicts", "episode", "episodes", "figures", "intraday", "minutes"]

_CONFIDENCE = ("low", "medium", "high")
_VARIANT = r"_(alt\d*|snapshot|outlier|claim)$"
#: Binance COIN-M contracts of the minute table: 10 USD of face.
_FACE_USD = 10.0
_UNIT_OF_CONTRACTS = "contracts of 10 USD"
#: Agreement as the catalogue defines it: within 5 %, prices within 3 %.
_AGREEMENT, _PRICE_AGREEMENT = 0.05, 0.03


@dataclass(frozen=True, eq=False)
class Episode(Displayed):
    """One episode: the figures chosen for it, and ways to everything behind them.

    Parameters
    ----------
    episode_id : str
        Such as ``"2025-10-10_crypto_wide"``.
    values : dict
        Column of ``episodes()`` to value; None where not found.
    """

    episode_id: str
    values: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        if name not in self.values:
            raise ParameterError.unknown("column of an episode", str(name), self.values)
        return self.values[name]

    def figures(self, field: str | None = None) -> pl.DataFrame:
        """Every figure found, as :func:`figures`."""
        return figures(self.episode_id, field)

    def conflicts(self) -> pl.DataFrame:
        """Return where sources disagree, as :func:`conflicts`."""
        return conflicts(self.episode_id)

    def intraday(self, quantity: str | None = None) -> pl.DataFrame:
        """Return the time-stamped figures, as :func:`intraday`."""
        return intraday(self.episode_id, quantity)

    def to_frame(self) -> pl.DataFrame:
        """Return the row of ``episodes()``."""
        return episodes().filter(pl.col("episode_id") == self.episode_id)

    def to_dict(self) -> dict[str, Any]:
        """Return the values as JSON-plain ones; times as ISO text."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in self.values.items()
        }

    def summary(self) -> Summary:
        """Return what is known, as a printable table."""
        hidden = {"episode_id", "started_at", "ended_at", "conflict_note", "fields_agreement"}
        rows = [(k, v) for k, v in self.values.items() if k not in hidden and v is not None]
        note = self.values.get("conflict_note")
        return Summary(
            title=f"Episode {self.episode_id}",
            rows=rows,
            notes=[f"Sources disagree: {note}"] if note else [],
        )


def episodes(
    episode_class: str | None = None,
    asset: str | None = None,
    after: str | date | None = None,
    before: str | date | None = None,
    min_confidence: str | None = None,
) -> pl.DataFrame:
    """Episodes of the catalogue, one row each, in order of time.

    Parameters
    ----------
    episode_class : str, optional
        ``"crypto_cex"``, ``"defi"``, ``"options_hedging"`` or ``"traditional"``.
    asset : str, optional
        A word of the asset column, such as ``"BTC"``; case does not matter.
    after, before : str, date or datetime, optional
        Episodes that started at or after, and before, this UTC time (ISO text).
    min_confidence : str, optional
        ``"medium"`` or ``"high"``: confidence in the principal figure.

    Returns
    -------
    polars.DataFrame
        Columns as in ``data/catalogue/README.md``, and ``started_at``, ``ended_at`` as UTC times
        (midnight where the table has a date only).

    Raises
    ------
    ParameterError
        If a filter has an unknown value; suggests the nearest.
    """
    frame = _episodes()
    if episode_class is not None:
        _require("episode class", episode_class, frame["episode_class"].unique().to_list())
        frame = frame.filter(pl.col("episode_class") == episode_class)
    if asset is not None:
        frame = frame.filter(_names_asset(asset))
    if after is not None:
        frame = frame.filter(pl.col("started_at") >= _moment("after", after))
    if before is not None:
        frame = frame.filter(pl.col("started_at") < _moment("before", before))
    if min_confidence is not None:
        _require("confidence", min_confidence, _CONFIDENCE)
        enough = _CONFIDENCE[_CONFIDENCE.index(min_confidence) :]
        frame = frame.filter(pl.col("confidence").is_in(enough))
    return frame


def episode(episode_id: str) -> Episode:
    """Return one episode.

    Raises
    ------
    ParameterError
        If the identifier is unknown; suggests the nearest.
    """
    _require_id(episode_id)
    row = _episodes().filter(pl.col("episode_id") == episode_id).row(0, named=True)
    return Episode(episode_id, row)


def figures(episode_id: str | None = None, field: str | None = None) -> pl.DataFrame:
    """Every figure found, one row per figure and document.

    Parameters
    ----------
    episode_id : str, optional
        All episodes by default.
    field : str, optional
        A quantity, such as ``"liquidations_usd_24h"`` (then with its variants, side by side), or
        one variant of it, such as ``"liquidations_usd_24h_snapshot"``.

    Returns
    -------
    polars.DataFrame
        Columns of the table; ``quantity`` (the field without its suffix) and ``variant`` (empty,
        ``alt``, ``snapshot``, ``outlier`` or ``claim``); ``is_verified``, ``is_derived``;
        ``confidence`` and ``is_principal`` of the episode's principal figure; and
        ``n_agreeing_sources`` where the catalogue counted them.

    Raises
    ------
    ParameterError
        If the episode or the field is unknown; suggests the nearest.
    """
    frame = _figures()
    if episode_id is not None:
        _require_id(episode_id)
        frame = frame.filter(pl.col("episode_id") == episode_id)
    if field is None:
        return frame
    known = {*frame["field"].to_list(), *frame["quantity"].to_list()}
    _require("field", field, known)
    return frame.filter((pl.col("field") == field) | (pl.col("quantity") == field))


def conflicts(episode_id: str | None = None) -> pl.DataFrame:
    """Quantities for which documents give different values.

    Parameters
    ----------
    episode_id : str, optional
        All episodes by default.

    Returns
    -------
    polars.DataFrame
        One row per episode, quantity and unit with two values or more: ``n_figures``,
        ``n_values``, ``n_sources`` (documents); ``lowest``, ``highest``; ``spread`` = highest /
        lowest - 1 as a fraction of magnitudes (null across zero); ``chosen``, the value that
        ``episodes()`` uses; the lists ``values``, ``variants``, ``publishers``; the flags
        ``has_snapshot``, ``has_outlier``, ``has_claim``; and ``is_material``: the values that
        are neither snapshot, outlier nor claim differ by more than 5 % (prices 3 %).

    Raises
    ------
    ParameterError
        If the episode is unknown; suggests the nearest.
    """
    frame = figures(episode_id).filter(pl.col("value").is_not_null())
    is_plain = ~pl.col("variant").is_in(["snapshot", "outlier", "claim"])
    room = pl.when(pl.col("quantity").str.starts_with("price")).then(_PRICE_AGREEMENT)
    return (
        frame.sort("value", "field", maintain_order=True)
        .group_by("episode_id", "quantity", "unit", maintain_order=True)
        .agg(
            n_figures=pl.len(),
            n_values=pl.col("value").n_unique(),
            n_sources=pl.struct("source_title", "source_url").n_unique(),
            lowest=pl.col("value").min(),
            highest=pl.col("value").max(),
            spread=_spread(pl.col("value")),
            chosen=pl.col("value").filter(pl.col("used_in_episodes_as").is_not_null()).first(),
            values=pl.col("value"),
            variants=pl.col("variant"),
            publishers=pl.col("source_publisher"),
            has_snapshot=(pl.col("variant") == "snapshot").any(),
            has_outlier=(pl.col("variant") == "outlier").any(),
            has_claim=(pl.col("variant") == "claim").any(),
            plain_spread=_spread(pl.col("value").filter(is_plain)),
        )
        .filter(pl.col("n_values") > 1)
        .with_columns(
            is_material=(pl.col("plain_spread") > room.otherwise(_AGREEMENT)).fill_null(value=False)
        )
        .drop("plain_spread")
        .sort("episode_id", "quantity", "unit")
    )


def intraday(episode_id: str | None = None, quantity: str | None = None) -> pl.DataFrame:
    """Time-stamped figures inside episodes.

    Parameters
    ----------
    episode_id : str, optional
        All episodes by default.
    quantity : str, optional
        One quantity, as the table writes it.

    Returns
    -------
    polars.DataFrame
        Columns of the table; ``time_utc`` keeps the words of the source, ``started_at`` and
        ``ended_at`` are UTC times, null where the source gives a phrase only (15 rows).

    Raises
    ------
    ParameterError
        If the episode or the quantity is unknown; suggests the nearest.
    """
    frame = _intraday()
    if episode_id is not None:
        _require_id(episode_id)
        frame = frame.filter(pl.col("episode_id") == episode_id)
    if quantity is not None:
        _require("quantity", quantity, frame["quantity"].unique().to_list())
        frame = frame.filter(pl.col("quantity") == quantity)
    return frame


def minutes(symbol: str | None = None) -> pl.DataFrame:
    r"""One-minute figures of 2025-10-10, 20:30 to 22:30 UTC: two perpetuals, two spot pairs.

    Parameters
    ----------
    symbol : str, optional
        ``"AVAXUSD_PERP"``, ``"ATOMUSD_PERP"``, ``"AVAX-USD"`` or ``"ATOM-USD"``.

    Returns
    -------
    polars.DataFrame
        Columns of the table with ``minute_at`` (UTC), and ``bought_base``, ``sold_base``,
        ``volume_base``, ``flow_base`` (bought less sold, coins: positive bought),
        ``quote_volume_usd``, ``flow_usd``.

    Raises
    ------
    ParameterError
        If the symbol is unknown; suggests the nearest.

    Notes
    -----
    Amounts of the perpetuals are contracts of 10 USD: USD are exact, coins are
    :math:`10\,n/\bar p`. Amounts of the spot pairs are coins: coins are exact, USD are
    :math:`n\,\bar p`. The price :math:`\bar p` of a minute is the mean of its open, high, low and
    close, as the table has no average price.
    """
    frame = _minutes()
    if symbol is None:
        return frame
    _require("symbol", symbol, frame["symbol"].unique().to_list())
    return frame.filter(pl.col("symbol") == symbol)


@cache
def _episodes() -> pl.DataFrame:
    frame = _table("episodes.csv")
    amounts = [name for name in frame.columns if _is_amount(name)]
    started, ended = (_time(f"date_{end}_utc") for end in ("start", "end"))
    counts = [name for name in frame.columns if name.startswith("n_") or name.endswith("_sources")]
    return frame.with_columns(
        pl.col(amounts).cast(pl.Float64),
        pl.col(counts).cast(pl.Int64),
        started_at=started,
        ended_at=ended,
    ).sort("started_at", "episode_id")


@cache
def _figures() -> pl.DataFrame:
    frame = _flags(_table("figures.csv")).with_columns(
        pl.col("value").cast(pl.Float64),
        quantity=pl.col("field").str.replace(_VARIANT, ""),
        variant=pl.col("field").str.extract(_VARIANT, 1).fill_null("").str.replace(r"\d+$", ""),
    )
    is_plain = pl.col("variant") == ""
    known = _episodes().select("episode_id", "confidence", "principal_figure", "fields_agreement")
    agreement = r"(?:^|;)" + pl.col("quantity").str.escape_regex() + r"=(\d+)"
    counted = pl.col("fields_agreement").str.extract(agreement, 1)
    return (
        frame.join(known, on="episode_id", how="left", maintain_order="left")
        .with_columns(
            is_principal=is_plain & (pl.col("quantity") == pl.col("principal_figure")),
            n_agreeing_sources=pl.when(is_plain).then(counted.cast(pl.Int64)),
        )
        .drop("principal_figure", "fields_agreement")
    )


@cache
def _intraday() -> pl.DataFrame:
    return _flags(_table("intraday_figures.csv")).with_columns(
        pl.col("value").cast(pl.Float64),
        started_at=_time("time_start_utc"),
        ended_at=_time("time_end_utc"),
    )


@cache
def _minutes() -> pl.DataFrame:
    numbers = ["open", "high", "low", "close", "bought", "sold"]
    frame = _table("minute_figures_2025-10-10.csv").with_columns(
        pl.col(numbers).cast(pl.Float64), pl.col("n_trades").cast(pl.Int64)
    )
    price = pl.mean_horizontal("open", "high", "low", "close")
    is_contract = pl.col("amount_unit") == _UNIT_OF_CONTRACTS
    base = pl.when(is_contract).then(_FACE_USD / price).otherwise(1.0)
    usd = pl.when(is_contract).then(_FACE_USD).otherwise(price)
    bought, sold = pl.col("bought"), pl.col("sold")
    return frame.with_columns(
        bought_base=bought * base,
        sold_base=sold * base,
        volume_base=(bought + sold) * base,
        flow_base=(bought - sold) * base,
        quote_volume_usd=(bought + sold) * usd,
        flow_usd=(bought - sold) * usd,
        minute_at=_time("minute_utc"),
    )


def _table(name: str) -> pl.DataFrame:
    return pl.read_csv(shipped("data", "catalogue", name), infer_schema=False)


def _is_amount(name: str) -> bool:
    units = ("_usd", "_pct", "_hours", "_usd_24h", "price_before", "price_low")
    return name.endswith(units) or name == "accounts_liquidated"


def _flags(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(
        is_verified=pl.col("verified") == "yes", is_derived=pl.col("derived") == "yes"
    ).drop("verified", "derived")


def _time(name: str) -> pl.Expr:
    text = pl.col(name).str.strip_suffix("Z")
    padded = (
        pl.when(text.str.len_chars() == 10)
        .then(text + "T00:00:00")
        .when(text.str.len_chars() == 16)
        .then(text + ":00")
        .otherwise(text)
    )
    return padded.str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us").dt.replace_time_zone("UTC")


def _spread(value: pl.Expr) -> pl.Expr:
    low, high = value.abs().min(), value.abs().max()
    is_one_sign = (value > 0).all() | (value < 0).all()
    return pl.when(is_one_sign).then(high / low - 1.0)


def _names_asset(asset: str) -> pl.Expr:
    if not isinstance(asset, str):
        raise ParameterError(f"asset is {asset!r}; expected a word such as 'BTC'. Pass one.")
    words = {
        word.lower()
        for text in _episodes()["asset"].to_list()
        for word in re.findall(r"[A-Za-z]\w+", text)
    } - {"and"}
    names = {text.lower() for text in _episodes()["asset"].to_list()}
    if asset.lower() not in words | names:
        raise ParameterError.unknown("asset", asset.lower(), words)
    return pl.col("asset").str.to_lowercase().str.contains(rf"\b{re.escape(asset.lower())}\b")


def _moment(name: str, value: str | date) -> pl.Expr:
    moment: datetime | None = None
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, date):
        moment = datetime(value.year, value.month, value.day)
    elif isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
    if moment is None:
        raise ParameterError(
            f"{name} is {value!r}; expected a date such as '2025-10-10'. Pass one."
        )
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return pl.lit(aware, dtype=UTC_TIME)


def _require(what: str, value: str, known: Any) -> None:
    if value not in set(known):
        raise ParameterError.unknown(what, str(value), known)


def _require_id(episode_id: str) -> None:
    known = _episodes()["episode_id"].to_list()
    if episode_id in known:
        return
    # A day, an asset or a word of the name is what one remembers: all that hold it are told.
    word = str(episode_id).strip().lower()
    holding = [name for name in known if word and word in name.lower()]
    if len(holding) > 1:
        shown = ", ".join(map(repr, holding[:6])) + (", ..." if len(holding) > 6 else "")
        raise ParameterError(f"Unknown episode {episode_id!r}. {len(holding)} hold it: {shown}.")
    near = holding or difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if near:
        raise ParameterError(f"Unknown episode {episode_id!r}. Did you mean {near[0]!r}?")
    raise ParameterError(
        f"Unknown episode {episode_id!r}; expected an id such as {known[-1]!r}. "
        f"catalogue.episodes() lists all {len(known)}."
    )
