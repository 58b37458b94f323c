"""Shipped tier tables: which one was in force on a day, and the rates it gives."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from cascadelab.errors import ParameterError
from cascadelab.files import shipped
from cascadelab.margin.errors import DateBeforeFirstTable
from cascadelab.margin.records import VenueRecord
from cascadelab.margin.tiers import TierTable, rates_at_risk_limit, rates_linear_in_size
from cascadelab.units import FloatArray

__all__ = ["RateRule", "parse_date", "rate_rule", "table_editions"]


@dataclass(frozen=True, kw_only=True, eq=False)
class RateRule:
    """Maintenance and initial rates of one symbol, under any tier convention.

    Parameters
    ----------
    convention : str
        ``"table"`` (a :class:`TierTable`), ``"flat"``, ``"risk_limit"`` or
        ``"linear_in_size"``.
    table : TierTable or None
    numbers : tuple of float
        Of the conventions without a table, in the order of the file's fields.
    symbol, as_of, source : str
        What the rates are of, their day or edition, and where they come from.
    """

    convention: str
    table: TierTable | None = None
    numbers: tuple[float, ...] = ()
    symbol: str = ""
    as_of: str = ""
    source: str = field(default="", repr=False)

    def maintenance_rate(
        self, value: FloatArray, size: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Maintenance rate and deduction at values (settlement units) and sizes (base or face).

        Parameters
        ----------
        value, size : ndarray of shape (n_positions,)
            Unsigned.

        Returns
        -------
        tuple of ndarray of shape (n_positions,)
        """
        if self.table is not None:
            return self.table.lookup(value)
        zero = np.zeros_like(value)
        if self.convention == "risk_limit":
            return rates_at_risk_limit(value, *self.numbers)[0], zero
        if self.convention == "linear_in_size":
            return rates_linear_in_size(size, self.numbers[0], self.numbers[2]), zero
        return np.full_like(value, self.numbers[0]), zero

    def initial_rate(self, value: FloatArray, size: FloatArray) -> FloatArray:
        """Least initial rate allowed at values and sizes; NaN where no leverage cap is known."""
        if self.table is not None:
            cap = self.table.max_leverage[self.table.tier_of(value)]
            return np.where(np.isfinite(cap), 1.0 / cap, np.nan)
        if self.convention == "risk_limit":
            return rates_at_risk_limit(value, *self.numbers)[1]
        if self.convention == "linear_in_size":
            return rates_linear_in_size(size, self.numbers[1], self.numbers[2])
        known = self.numbers[1] if len(self.numbers) > 1 else math.nan
        return np.full_like(value, known)


def parse_date(date: str | dt.date) -> dt.date:
    """Day from an ISO string or a date.

    Raises
    ------
    ParameterError
        If the string is not of the form 2024-08-01.
    """
    if isinstance(date, dt.datetime):
        return date.date()
    if isinstance(date, dt.date):
        return date
    try:
        return dt.date.fromisoformat(date)
    except (TypeError, ValueError) as error:
        raise ParameterError(
            f"date is {date!r}; expected an ISO day such as '2024-08-01'. Pass one."
        ) from error


@lru_cache(maxsize=32)
def _load(name: str) -> Mapping[str, Any]:
    path = shipped("data", "venues", "tiers", name)
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def table_editions(record: VenueRecord) -> list[str]:
    """Days and editions of the venue's shipped tables, dated ones first, each in order."""
    files = [_load(name) for name in record.tier_tables]
    dated = sorted(file["as_of"] for file in files if "as_of" in file)
    return dated + sorted(file["edition"] for file in files if "edition" in file)


def rate_rule(
    record: VenueRecord, symbol: str, date: str | dt.date | None = None, edition: str | None = None
) -> RateRule:
    """Rates of one symbol in force on a day, or of a named edition.

    Parameters
    ----------
    record : VenueRecord
    symbol : str
        As the venue writes it.
    date : str or datetime.date, optional
        The latest table of that day or before is taken; without it, the latest of all. Where a
        venue's tables have no day, the edition's year counts.
    edition : str, optional
        Name of an undated edition instead of a day.

    Returns
    -------
    RateRule

    Raises
    ------
    DateBeforeFirstTable
        If the day is before the first table that has the symbol.
    ParameterError
        If no table ships for the venue or symbol, or the edition is unknown.
    """
    files = [_load(name) for name in record.tier_tables]
    if not files:
        raise ParameterError(
            f"No tier table ships for {record.id}; expected rates from you. Pass table="
            f"margin.TierTable.from_floors(...) or margin.TierTable.flat(rate)."
        )
    if edition is not None:
        found = [file for file in files if file.get("edition") == edition]
        if not found:
            names = [str(file["edition"]) for file in files if "edition" in file]
            raise ParameterError.unknown(f"edition of {record.id}", edition, names)
        return _rule_of(record, _holding(record, found, symbol)[-1], symbol)
    dated = sorted((f for f in files if "as_of" in f), key=lambda f: str(f["as_of"]))
    pool = dated or files
    holding = _holding(record, pool, symbol)
    return _rule_of(record, _in_force(record, holding, symbol, date), symbol)


def _holding(
    record: VenueRecord, files: Sequence[Mapping[str, Any]], symbol: str
) -> list[Mapping[str, Any]]:
    holding = [file for file in files if symbol in file["symbols"]]
    if not holding:
        known = sorted({name for file in files for name in file["symbols"]})
        raise ParameterError.unknown(f"symbol of {record.id}", symbol, known)
    return holding


def _in_force(
    record: VenueRecord,
    files: Sequence[Mapping[str, Any]],
    symbol: str,
    date: str | dt.date | None,
) -> Mapping[str, Any]:
    if date is None:
        return files[-1]
    day = parse_date(date)
    started = [file for file in files if _starts(file) <= day]
    if not started:
        first = min(_starts(file) for file in files)
        raise DateBeforeFirstTable.of(record.id, symbol, day.isoformat(), first.isoformat())
    return started[-1]


def _starts(file: Mapping[str, Any]) -> dt.date:
    if "as_of" in file:
        return dt.date.fromisoformat(str(file["as_of"]))
    year = str(file["edition"])[:4]
    return dt.date(int(year), 1, 1) if year.isdigit() else dt.date.min


def _rule_of(record: VenueRecord, file: Mapping[str, Any], symbol: str) -> RateRule:
    rows = file["symbols"][symbol]
    as_of = str(file.get("as_of", f"edition {file.get('edition')}"))
    source, convention = str(file["source"]), str(file["convention"])
    if convention == "marginal":
        table = TierTable.from_rows(rows, symbol=symbol, as_of=as_of, source=source)
    elif convention == "leverage":
        floor, leverage = np.array(rows, dtype=np.float64).T
        table = TierTable.from_leverage(floor, leverage, symbol=symbol)
    else:
        numbers = tuple(float(x) for x in rows[0])
        return RateRule(
            convention=convention, numbers=numbers, symbol=symbol, as_of=as_of, source=source
        )
    return RateRule(convention="table", table=table, symbol=symbol, as_of=as_of, source=source)
