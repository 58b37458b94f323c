"""One book under several venues' rules: prices, forced flow, deficits and who pays."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.errors import ParameterError
from cascadelab.ledger import Ledger
from cascadelab.margin import firing, waterfall
from cascadelab.margin.adl import Counterparties
from cascadelab.margin.registry import record, venue
from cascadelab.margin.registry import venues as venues_known
from cascadelab.margin.rules import ContractRules

__all__ = [
    "as_inverse",
    "book_of",
    "flows",
    "opposite_side",
    "payers",
    "price_summary",
    "rules_for",
    "threshold_curves",
]


def rules_for(
    venues: Sequence[str], base: str = "BTC", date: str | dt.date | None = None
) -> dict[str, ContractRules]:
    """Rules of several venues for one base asset, by venue, leverage caps lifted.

    Parameters
    ----------
    venues : sequence of str
        Contract venues whose record names a symbol for the base.
    base : str
    date : str or datetime.date, optional
        Day of the tables; without it each venue's latest.

    Returns
    -------
    dict of str to ContractRules

    Raises
    ------
    ParameterError
        If a venue has no rates for the base.
    """
    found: dict[str, ContractRules] = {}
    for name in venues:
        known = record(name).symbols
        if base not in known:
            others = [one for one in venues_known()["venue"] if base in record(one).symbols]
            raise ParameterError(
                f"The record of {name} has no rates for the base asset {base!r}; expected a venue "
                f"that has: {', '.join(others) or 'none'}. Leave {name} out, or make its rules "
                f"from your own rates and call the functions of margin.compare with them."
            )
        rules = venue(name, symbol=known[base], date=date)
        if isinstance(rules, ContractRules):
            found[name] = rules.without_leverage_caps()
    return found


def as_inverse(ledger: Ledger) -> Ledger:
    """Return the same positions as inverse contracts: face = size × entry, margin in coin.

    Parameters
    ----------
    ledger : Ledger
        Linear positions.

    Returns
    -------
    Ledger
        Value and leverage at entry are unchanged.
    """
    return Ledger(
        ledger.positions.with_columns(
            (pl.col("size_base") * pl.col("entry_price")).alias("size_base"),
            (pl.col("margin_quote") / pl.col("entry_price")).alias("margin_quote"),
        ),
        ledger.collateral,
    )


def book_of(rules: ContractRules, ledger: Ledger) -> Ledger:
    """Return a linear ledger in the units of the rules."""
    return as_inverse(ledger) if rules.is_inverse else ledger


def price_summary(rules: Mapping[str, ContractRules], ledger: Ledger) -> pl.DataFrame:
    """Liquidation prices of one linear book under each venue.

    Parameters
    ----------
    rules : mapping of str to ContractRules
    ledger : Ledger
        Isolated linear positions.

    Returns
    -------
    polars.DataFrame
        ``venue``, ``tables`` (day or edition), quantiles of the liquidation distance from entry
        (``distance_p05``, ``_p50``, ``_p95``, share of entry, weighted by nothing) and
        ``refused_share``: part of entry notional above the venue's leverage caps.
    """
    rows = []
    side, entry = np.sign(ledger.size_base), ledger.entry_price
    for name, one in rules.items():
        price = one.liquidation_price(book_of(one, ledger))
        distance = side * (entry - price) / entry
        finite = distance[np.isfinite(distance)]
        low, middle, high = np.quantile(finite, [0.05, 0.5, 0.95])
        rows.append((name, one.tiers_as_of, low, middle, high, _refused_share(one, ledger)))
    names = ("distance_p05", "distance_p50", "distance_p95", "refused_share")
    return pl.DataFrame(rows, schema=["venue", "tables", *names], orient="row")


def _refused_share(rules: ContractRules, ledger: Ledger) -> float:
    book = book_of(rules, ledger)
    value = rules.notional(book, book.entry_price)
    least = np.empty(book.n_positions)
    sizes = rules.tier_size(np.abs(book.size_base), value)
    for rule, rows in rules.rules_by_market(book):
        least[rows] = rule.initial_rate(value[rows], sizes[rows])
    entry_value = np.abs(ledger.size_base) * ledger.entry_price
    is_refused = book.margin_quote < value * np.nan_to_num(least) * (1.0 - 1e-9)
    return float(entry_value[is_refused].sum() / entry_value.sum())


def threshold_curves(
    rules: Mapping[str, ContractRules], ledger: Ledger, prices: npt.ArrayLike
) -> pl.DataFrame:
    """Share of the book whose first liquidation price has been reached, by mark.

    Parameters
    ----------
    rules : mapping of str to ContractRules
    ledger : Ledger
        Isolated linear longs.
    prices : array_like of shape (n_prices,)

    Returns
    -------
    polars.DataFrame
        ``venue``, ``mark_price``, ``share`` (of base), one row per venue and price.
    """
    marks = np.sort(np.asarray(prices, dtype=np.float64))[::-1]
    size, frames = np.abs(ledger.size_base), []
    for name, one in rules.items():
        price = np.nan_to_num(one.liquidation_price(book_of(one, ledger)), nan=-np.inf)
        order = np.argsort(-price, kind="stable")
        total = np.concatenate([[0.0], np.cumsum(size[order])])
        reached = np.searchsorted(-price[order], -marks, side="right")
        frames.append(
            pl.DataFrame({"mark_price": marks, "share": total[reached] / size.sum()}).select(
                pl.lit(name).alias("venue"), "mark_price", "share"
            )
        )
    return pl.concat(frames)


def flows(rules: Mapping[str, ContractRules], ledger: Ledger, path: npt.ArrayLike) -> pl.DataFrame:
    """Forced flow along one path of marks under each venue's close rule, without impact.

    Parameters
    ----------
    rules : mapping of str to ContractRules
    ledger : Ledger
        Isolated linear positions.
    path : array_like of shape (n_prices,)
        Marks in order of time.

    Returns
    -------
    polars.DataFrame
        Columns of :func:`firing.flow_along_path` with ``venue`` in front; quantities in base
        (inverse faces at each mark), deficits in quote.
    """
    frames = []
    for name, one in rules.items():
        frame = firing.flow_along_path(one, book_of(one, ledger), path)
        if one.is_inverse:
            closed = pl.col("closed_base") / pl.col("mark_price")
            frame = frame.with_columns(
                closed.alias("closed_base"),
                closed.cum_sum().alias("cumulative_base"),
                (pl.col("deficit") * pl.col("mark_price")).alias("deficit"),
            )
        frames.append(frame.select(pl.lit(name).alias("venue"), pl.all()))
    return pl.concat(frames)


def opposite_side(
    ledger: Ledger, mark_price: float, generator: np.random.Generator
) -> Counterparties:
    """Return the other side of a linear book: the same sizes reversed, entries shuffled.

    Parameters
    ----------
    ledger : Ledger
        Isolated linear positions.
    mark_price : float
        Mark at which the counterparties are ranked.
    generator : numpy.random.Generator
        Shuffles which entry and leverage goes with which size.

    Returns
    -------
    Counterparties
        As much open interest as the ledger holds. Maintenance is half a percent of the value,
        which only the Binance ranking reads.
    """
    order = generator.permutation(ledger.n_positions)
    size = -ledger.size_base
    entry = ledger.entry_price[order]
    return Counterparties(
        size_base=size,
        entry_price=entry,
        wallet_quote=np.abs(size) * entry / ledger.leverage[order],
        maintenance_quote=np.abs(size) * mark_price * 0.005,
        mark_price=mark_price,
    )


def payers(
    rules: Mapping[str, ContractRules],
    ledger: Ledger,
    counterparties: Counterparties,
    fund_quote: float,
    vault_base: float,
    book_share: float,
) -> pl.DataFrame:
    """Deficits of a sudden fall to the counterparties' mark, and who pays them, by venue.

    Every position hit is closed by the venue's rule; the book buys a share of it at the mark,
    the rest goes down the venue's waterfall; a venue without deleveraging sells all of it into the
    book. Rankings that are not documented are replaced by
    pro rata and marked with an asterisk.

    Parameters
    ----------
    rules : mapping of str to ContractRules
    ledger : Ledger
        Isolated linear positions.
    counterparties : Counterparties
        The other side, with the mark after the fall.
    fund_quote : float
        Insurance fund, the same for all venues that have one.
    vault_base : float
        Backstop vault's capacity, for venues that have one.
    book_share : float
        Share of each closed position that the book buys, in [0, 1].

    Returns
    -------
    polars.DataFrame
        ``venue``, ``ranking``, ``closed_base``, ``loss_quote`` (closed positions' losses beyond
        margin), and its parts ``fund_quote``, ``vault_quote``, ``adl_quote`` (given up by
        counterparties against the mark), ``unpaid_quote`` (socialised or left), and
        ``unfilled_base``.
    """
    rows = []
    mark = counterparties.mark_price
    for name, one in rules.items():
        size, bankrupt = _handed_over(one, ledger, mark)
        ranking, label = _ranking(one)
        has_fund = "insurance_fund" in one.record.waterfall
        has_vault = "backstop_vault" in one.record.waterfall
        result = waterfall.run_waterfall(
            waterfall.Liquidations(
                size_base=size,
                bankruptcy_price=bankrupt,
                book_base=np.abs(size) * (book_share if ranking else 1.0),
                book_price=np.full(size.size, mark),
            ),
            waterfall.WaterfallRules(
                fund_quote=fund_quote if has_fund else 0.0,
                vault_base=vault_base if has_vault else 0.0,
                ranking=ranking,
            ),
            counterparties if ranking else None,
            np.random.default_rng(0) if ranking == "unranked" else None,
        )
        loss = float(np.maximum(size * (bankrupt - mark), 0.0).sum())
        rows.append((name, label, float(np.abs(size).sum()), loss, *_parts(result, mark)))
    columns = ("fund_quote", "vault_quote", "adl_quote", "unpaid_quote", "unfilled_base")
    schema = ["venue", "ranking", "closed_base", "loss_quote", *columns]
    return pl.DataFrame(rows, schema=schema, orient="row")


def _handed_over(
    rules: ContractRules, ledger: Ledger, mark: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Signed base closed and bankruptcy price of the positions hit."""
    closed = rules.close(book_of(rules, ledger), mark).filter(pl.col("closed_base") != 0)
    size = closed["closed_base"].to_numpy()
    price = closed["bankruptcy_price"].to_numpy()
    return (size / price if rules.is_inverse else size), price


def _ranking(rules: ContractRules) -> tuple[str, str]:
    if "adl" not in rules.record.waterfall:
        return "", "none"
    return (rules.record.adl, rules.record.adl) if rules.record.adl else ("pro_rata", "pro rata*")


def _parts(
    result: waterfall.WaterfallResult, mark: float
) -> tuple[float, float, float, float, float]:
    """Loss against the mark borne by fund, vault, counterparties and nobody; unfilled base."""
    flow = result.flows
    borne = {
        stage: float((part["size_base"] * (part["price"] - mark)).sum())
        for (stage,), part in flow.filter(pl.col("size_base") != 0).group_by("stage")
    }
    fund = max(result.fund_before - result.fund_after, 0.0)
    return (
        fund, borne.get("vault", 0.0), borne.get("adl", 0.0), result.deficit, result.unfilled_base,
    )  # fmt: skip
