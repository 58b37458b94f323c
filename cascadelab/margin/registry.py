"""The venues: what each supports, and rules of one venue for one symbol on one day."""

from __future__ import annotations

import datetime as dt

import polars as pl

from cascadelab.errors import ParameterError
from cascadelab.margin.formula_rules import FormulaRules
from cascadelab.margin.loans import LoanRules
from cascadelab.margin.records import VenueRecord, load_records
from cascadelab.margin.rules import ContractRules
from cascadelab.margin.tables import RateRule, parse_date, rate_rule, table_editions
from cascadelab.margin.tiers import TierTable

__all__ = ["record", "tier_table", "venue", "venues"]


def venues() -> pl.DataFrame:
    """All venues with their formula and conventions, one row each, in order of id.

    Returns
    -------
    polars.DataFrame
        Columns ``venue``, ``name``, ``family``, ``settlement``, ``margin_modes``, ``tiers``,
        ``maintenance_basis``, ``fee_basis``, ``trigger``, ``rounding``, ``close``,
        ``waterfall``, ``adl``, ``tables`` (days and editions shipped), ``supports``,
        ``rules_as_of``, ``source``.
    """
    rows = [_row(one) for one in load_records().values()]
    return pl.DataFrame(rows)


def _row(one: VenueRecord) -> dict[str, str]:
    return {
        "venue": one.id,
        "name": one.name,
        "family": one.family,
        "settlement": one.settlement,
        "margin_modes": ", ".join(one.margin_modes),
        "tiers": one.tiers,
        "maintenance_basis": one.maintenance_basis,
        "fee_basis": one.fee_basis,
        "trigger": one.trigger,
        "rounding": one.rounding,
        "close": str(one.close.get("kind", "")),
        "waterfall": " > ".join(one.waterfall),
        "adl": one.adl,
        "tables": ", ".join(table_editions(one)),
        "supports": ", ".join(one.supports),
        "rules_as_of": one.rules_as_of,
        "source": one.source,
    }


def record(name: str) -> VenueRecord:
    """Declarative record of a venue.

    Raises
    ------
    ParameterError
        If the venue is unknown; suggests the nearest.
    """
    known = load_records()
    if name not in known:
        raise ParameterError.unknown("venue", str(name), known)
    return known[name]


def tier_table(
    venue: str, symbol: str, *, date: str | dt.date | None = None, edition: str | None = None
) -> TierTable:
    """Shipped tier table of a symbol, in force on a day or of a named edition.

    Parameters
    ----------
    venue, symbol : str
    date : str or datetime.date, optional
        Without it the latest table.
    edition : str, optional

    Returns
    -------
    TierTable

    Raises
    ------
    ParameterError
        If the venue or symbol is unknown, or its rates are not a tier table.
    DateBeforeFirstTable
        If the day is before the first table.
    """
    rule = rate_rule(record(venue), symbol, date, edition)
    if rule.table is None:
        raise ParameterError(
            f"{venue} {symbol} has rates of the kind {rule.convention!r}; expected a tier table. "
            f"Use margin.venue({venue!r}, symbol={symbol!r}) instead."
        )
    return rule.table


def venue(
    name: str,
    symbol: str | None = None,
    date: str | dt.date | None = None,
    *,
    table: TierTable | None = None,
    edition: str | None = None,
    tick: float | None = None,
) -> ContractRules | LoanRules | FormulaRules:
    """Margin rules of a venue.

    Parameters
    ----------
    name : str
        Identifier from :func:`venues`.
    symbol : str, optional
        Symbol whose tier table applies to every position. Without it each position's ``market``
        names its own symbol.
    date : str or datetime.date, optional
        Day whose table applies, ISO; without it the latest shipped.
    table : TierTable, optional
        Your own table instead of a shipped one.
    edition : str, optional
        Undated edition of the shipped tables, such as ``"2020"``.
    tick : float, optional
        Tick size; liquidation prices are then rounded as the venue rounds them.

    Returns
    -------
    ContractRules, LoanRules or FormulaRules
        Object with ``evaluate(ledger, marks)``, ``liquidation_price(ledger)`` and
        ``bankruptcy_price(ledger)``; for venues that margin whole portfolios these refuse and
        name the function to use.

    Raises
    ------
    ParameterError
        If the venue or symbol is unknown (suggests the nearest), or the date is not ISO.
    DateBeforeFirstTable
        If the day is before the first table of the symbol.

    Examples
    --------
    >>> rules = venue("binance_usdm", symbol="BTCUSDT", date="2024-08-01")
    >>> rules.tiers_as_of
    '2024-08-01'
    """
    chosen = record(name)
    if date is not None:
        parse_date(date)
    if chosen.family == "loan":
        return LoanRules(record=chosen)
    if chosen.family not in ("linear", "inverse"):
        return FormulaRules(record=chosen)
    return ContractRules(
        record=chosen,
        fixed_rule=_fixed_rule(chosen, symbol, date, table, edition),
        symbol=symbol,
        date=None if date is None else parse_date(date).isoformat(),
        edition=edition,
        tick=tick,
    )


def _fixed_rule(
    chosen: VenueRecord,
    symbol: str | None,
    date: str | dt.date | None,
    table: TierTable | None,
    edition: str | None,
) -> RateRule | None:
    if table is not None:
        return RateRule(convention="table", table=table, symbol=symbol or "", as_of="given")
    if chosen.default_maintenance_fraction is not None:
        rate = chosen.default_maintenance_fraction
        return RateRule(convention="flat", numbers=(rate,), as_of=chosen.rules_as_of)
    if symbol is None:
        return None
    return rate_rule(chosen, symbol, date, edition)
