"""Public archives: where a file of a venue lies, and whether a checksum lies beside it."""

from __future__ import annotations

import hashlib
import string
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import polars as pl

from cascadelab.errors import ParameterError

__all__ = ["ARCHIVES", "Archive", "Remote", "days", "locate", "remote_of", "table"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Remote:
    """One file to fetch.

    Parameters
    ----------
    url : str
        https, http or s3 address.
    name : str
        Place in the cache, relative, with forward slashes.
    checksum_url : str
        Where the venue publishes its SHA-256; empty where it does not.
    """

    url: str
    name: str
    checksum_url: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Archive:
    """A template of addresses of one public archive.

    Parameters
    ----------
    name : str
        Such as ``"binance"``.
    template : str
        Address with fields in braces; ``{date}`` is 2025-10-10, ``{compact}`` 20251010,
        ``{year}``, ``{month}``, ``{day}`` its parts.
    example : mapping
        A value for each field that is not part of the date.
    access : {"free", "partly free", "requester pays"}
    checksum : str
        Suffix of the address of the checksum; empty where there is none.
    note : str
        What to know before fetching.
    """

    name: str
    template: str
    example: Mapping[str, str]
    access: Literal["free", "partly free", "requester pays"] = "free"
    checksum: str = ""
    note: str = ""

    @property
    def fields(self) -> list[str]:
        """Names to give, besides the date."""
        found = [name for _, name, _, _ in string.Formatter().parse(self.template) if name]
        return sorted({name for name in found if name not in _DATE_FIELDS})

    @property
    def is_dated(self) -> bool:
        """Whether an address holds a date."""
        return any(f"{{{name}}}" in self.template for name in _DATE_FIELDS)


_DATE_FIELDS = ("date", "compact", "year", "month", "day")
_BINANCE = "https://data.binance.vision/data/{market}"

#: All archives known here, by name.
ARCHIVES: dict[str, Archive] = {
    item.name: item
    for item in (
        Archive(
            name="binance",
            template=_BINANCE + "/daily/{type}/{symbol}/{symbol}-{type}-{date}.zip",
            example={"market": "futures/um", "type": "aggTrades", "symbol": "BTCUSDT"},
            checksum=".CHECKSUM",
            note="type: aggTrades, trades, bookDepth, metrics; market: spot, futures/um, ...",
        ),
        Archive(
            name="binance-klines",
            template=_BINANCE + "/daily/{type}/{symbol}/{interval}/{symbol}-{interval}-{date}.zip",
            example={
                "market": "futures/um",
                "type": "klines",
                "symbol": "BTCUSDT",
                "interval": "1m",
            },
            checksum=".CHECKSUM",
            note="type: klines, markPriceKlines, indexPriceKlines, premiumIndexKlines",
        ),
        Archive(
            name="binance-monthly",
            template=_BINANCE + "/monthly/{type}/{symbol}/{symbol}-{type}-{year}-{month}.zip",
            example={"market": "futures/um", "type": "fundingRate", "symbol": "BTCUSDT"},
            checksum=".CHECKSUM",
            note="one file per month: fundingRate, aggTrades, trades",
        ),
        Archive(
            name="bybit-trades",
            template="https://public.bybit.com/trading/{symbol}/{symbol}{date}.csv.gz",
            example={"symbol": "BTCUSD"},
            note="perpetuals since 2020-03-25",
        ),
        Archive(
            name="bybit-spot",
            template="https://public.bybit.com/spot/{symbol}/{symbol}_{date}.csv.gz",
            example={"symbol": "BTCUSDT"},
            note="spot since November 2022",
        ),
        Archive(
            name="bybit-book",
            template="https://quote-saver.bycsi.com/orderbook/{category}/{symbol}/"
            "{date}_{symbol}_ob500.data.zip",
            example={"category": "linear", "symbol": "XRPUSDT"},
            note="about 360 MB a day; category: linear, inverse, spot",
        ),
        Archive(
            name="okx-trades",
            template="https://static.okx.com/cdn/okex/traderecords/trades/daily/{compact}/"
            "{symbol}-trades-{date}.zip",
            example={"symbol": "BTC-USDT-SWAP"},
            note="days may be cut at UTC+8 in older files: check first_at",
        ),
        Archive(
            name="okx-funding",
            template="https://static.okx.com/cdn/okex/traderecords/swaprates/daily/{compact}/"
            "allswap-fundingrates-{date}.zip",
            example={},
        ),
        Archive(
            name="okx-book",
            template="https://static.okx.com/cdn/okex/match/orderbook/L2/{levels}lv/daily/{compact}/"
            "{symbol}-L2orderbook-{levels}lv-{date}.tar.gz",
            example={"levels": "400", "symbol": "BTC-USDT-SWAP"},
            note="since March 2023; levels: 400 or 5000",
        ),
        Archive(
            name="bitmex",
            template="https://s3-eu-west-1.amazonaws.com/public.bitmex.com/data/{type}/"
            "{compact}.csv.gz",
            example={"type": "trade"},
            note="type: trade or quote; all symbols in one file",
        ),
        Archive(
            name="tardis",
            template="https://datasets.tardis.dev/v1/{exchange}/{type}/{year}/{month}/{day}/"
            "{symbol}.csv.gz",
            example={"exchange": "bitmex", "type": "trades", "symbol": "XBTUSD"},
            access="partly free",
            note="the first day of every month is free; other days need a key",
        ),
        Archive(
            name="hyperliquid-fills",
            template="s3://hl-mainnet-node-data/node_fills_by_block/hourly/{compact}/{hour}.lz4",
            example={"hour": "21"},
            access="requester pays",
            note="since 2025-07-27; hours without a leading zero; needs the extras s3 and fast, "
            "and an AWS account that pays",
        ),
        Archive(
            name="hyperliquid-node-fills",
            template="s3://hl-mainnet-node-data/node_fills/hourly/{compact}/{hour}.lz4",
            example={"hour": "21"},
            access="requester pays",
            note="2025-05-25 to 2025-07-27; hours without a leading zero",
        ),
        Archive(
            name="hyperliquid-node-trades",
            template="s3://hl-mainnet-node-data/node_trades/hourly/{compact}/{hour}.lz4",
            example={"hour": "21"},
            access="requester pays",
            note="2025-03-22 to 2025-05-25; hours without a leading zero",
        ),
        Archive(
            name="hyperliquid-contexts",
            template="s3://hyperliquid-archive/asset_ctxs/{compact}.csv.lz4",
            example={},
            access="requester pays",
            note="needs the extras s3 and fast, and an AWS account that pays",
        ),
        Archive(
            name="hyperliquid-book",
            template="s3://hyperliquid-archive/market_data/{compact}/{hour}/l2Book/{symbol}.lz4",
            example={"hour": "21", "symbol": "BTC"},
            access="requester pays",
            note="two snapshots a second; hours without a leading zero",
        ),
    )
}


def table() -> pl.DataFrame:
    """One row per archive: name, fields to give, access, checksum, note, example address."""
    day = date(2025, 10, 1)
    return pl.DataFrame(
        [
            {
                "archive": item.name,
                "fields": " ".join(f"{key}={value}" for key, value in item.example.items()),
                "access": item.access,
                "has_checksum": bool(item.checksum),
                "note": item.note,
                "example": locate(item.name, item.example, day).url,
            }
            for item in ARCHIVES.values()
        ]
    )


def days(first: date, last: date) -> list[date]:
    """All days from `first` to `last`, both inclusive.

    Raises
    ------
    ParameterError
        If `last` is before `first`.
    """
    if last < first:
        raise ParameterError(f"The last day {last} is before the first {first}. Swap them.")
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def locate(archive: str, fields: Mapping[str, str], day: date | None = None) -> Remote:
    """Address and place in the cache of one file of an archive.

    Parameters
    ----------
    archive : str
        Key of :data:`ARCHIVES`.
    fields : mapping
        A value for each of the archive's fields.
    day : date, optional
        Needed where the address holds a date.

    Raises
    ------
    ParameterError
        If the archive or a field is unknown, missing, or holds what leads out of the cache.
    """
    if archive not in ARCHIVES:
        raise ParameterError.unknown("archive", archive, ARCHIVES)
    item = ARCHIVES[archive]
    for name, value in fields.items():
        if name not in item.fields:
            raise ParameterError.unknown(f"field of {archive}", name, item.fields)
        if not value or ".." in value or value.startswith("/") or set(value) & set("\\?#% "):
            raise ParameterError(f"{name} is {value!r}; expected a plain name. Correct it.")
    lacking = [name for name in item.fields if name not in fields]
    if lacking:
        raise ParameterError(
            f"{archive} needs {', '.join(item.fields)}; {', '.join(lacking)} is not given. "
            f"Add {lacking[0]}={item.example[lacking[0]]}, for example."
        )
    if item.is_dated and day is None:
        raise ParameterError(f"{archive} has one file per day; no day is given. Give one.")
    parts = {} if day is None else _parts(day)
    url = item.template.format(**fields, **parts)
    return remote_of(url, item.checksum)


def remote_of(url: str, checksum: str | None = None) -> Remote:
    """Place in the cache of any address; Binance's checksums are known by the host.

    Raises
    ------
    ParameterError
        If it is no https, http or s3 address of a file.
    """
    scheme, _, rest = url.partition("#")[0].partition("://")
    rest, _, query = rest.partition("?")
    parts = [part for part in rest.split("/") if part]
    if scheme not in ("https", "http", "s3") or len(parts) < 2 or ".." in parts:
        raise ParameterError(f"{url!r} is no address of a file; expected https://host/file.")
    suffix = checksum
    if suffix is None:
        suffix = ".CHECKSUM" if parts[0] == "data.binance.vision" else ""
    host = parts[0].replace(":", "_")
    # Answers to two queries are two files.
    asked = [hashlib.sha256(query.encode()).hexdigest()[:12]] if query else []
    name = "/".join([host, *parts[1:-1], *asked, parts[-1]])
    return Remote(url=url, name=name, checksum_url=url + suffix if suffix else "")


def _parts(day: date) -> dict[str, str]:
    return {
        "date": day.isoformat(),
        "compact": f"{day:%Y%m%d}",
        "year": f"{day:%Y}",
        "month": f"{day:%m}",
        "day": f"{day:%d}",
    }
