"""Books of loans at a moment, and whether what was due on them was seized."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import polars as pl

from cascadelab.errors import DataError, ParameterError
from cascadelab.history.registry import read
from cascadelab.known import Known, utc

__all__ = ["aave_loans", "debt_known", "due_and_seized", "maker_vaults"]

#: Collateral that rounding of amounts to nine digits leaves in an emptied vault, at most.
_DUST_BASE = 1e-8

#: Columns of :func:`due_and_seized`.
_DUE = pl.Schema(
    {
        "book_at": pl.Datetime("us", "UTC"),
        "n_due": pl.Int64(),
        "due_base": pl.Float64(),
        "seized_base": pl.Float64(),
        "n_seized": pl.Int64(),
        "n_seized_due": pl.Int64(),
        "seized_over_due": pl.Float64(),
    }
)


def maker_vaults(folder: str | Path, at: datetime) -> pl.DataFrame:
    """Collateral and debt of every vault of a history of events, at a moment.

    Parameters
    ----------
    folder : str or Path
        Holds one file each of ``*deposits*.csv``, ``*withdrawals*.csv``, ``*borrows*.csv``,
        ``*repayments*.csv`` and ``*liquidations*.csv``, as the readers of
        :mod:`cascadelab.history` know them.
    at : datetime
        UTC; events up to and including it count.

    Returns
    -------
    polars.DataFrame
        ``account``, ``collateral_base``, ``debt_quote`` of vaults with collateral, by account;
        less than 1e-8 coins is what rounding in the source (nine digits) leaves of an emptied
        vault, and is left out. Debt is what was drawn less what was repaid, without stability
        fees, and not below zero; liquidated collateral is whole coins in the source.

    Raises
    ------
    DataError
        If a file is missing or breaks a rule of its format.
    """
    return _vaults_at(_vault_events(folder), at)


def _vault_events(folder: str | Path) -> pl.DataFrame:
    """Every event of the folder: time, account, changes of collateral and debt."""
    moves = []
    for kind in ("deposits", "withdrawals", "borrows", "repayments", "liquidations"):
        path = _only_file(folder, f"*{kind}*.csv")
        events = read(path, kind="lending_events").frame()
        names = ("happened_at", "account", "event", "collateral_change", "debt_change")
        moves.append(events.select(names))
    return pl.concat(moves)


def _only_file(folder: str | Path, pattern: str) -> Path:
    files = sorted(Path(folder).expanduser().glob(pattern))
    if len(files) != 1:
        raise DataError.in_file(
            Path(folder), f"{len(files)} files match {pattern};", "Expected one of them."
        )
    return files[0]


def _vaults_at(events: pl.DataFrame, at: datetime) -> pl.DataFrame:
    book = (
        events.filter(pl.col("happened_at") <= utc(at))
        .group_by("account")
        .agg(
            collateral_base=pl.col("collateral_change").sum(),
            debt_quote=pl.col("debt_change").sum(),
        )
    )
    held = book.filter(pl.col("collateral_base") > _DUST_BASE).sort("account")
    return held.with_columns(pl.col("debt_quote").clip(lower_bound=0.0))


def due_and_seized(
    folder: str | Path,
    moments: Sequence[datetime],
    until: datetime,
    *,
    lowest_price: float,
    liquidation_ratio: float,
) -> pl.DataFrame:
    """Collateral that a fall would make due on the books of earlier moments, and what was seized.

    Parameters
    ----------
    folder : str or Path
        As :func:`maker_vaults`.
    moments : sequence of datetime
        UTC: the books taken, each before `until`.
    until : datetime
        UTC: end of the time in which seizures count.
    lowest_price : float
        Lowest price the protocol saw until then, quote per base: that of its oracle, which is
        late, and not that of a market.
    liquidation_ratio : float
        Collateral over debt below which a vault is due, above 1.

    Returns
    -------
    polars.DataFrame
        One row per moment: ``book_at``, ``n_due``, ``due_base`` (their whole collateral),
        ``seized_base`` (in vaults of any kind, after the moment), ``n_seized``,
        ``n_seized_due`` (of these, due on that book), ``seized_over_due`` (null if none is due).

    Raises
    ------
    ParameterError
        If a moment is not before `until`, or a number is out of its range.
    DataError
        As :func:`maker_vaults`.

    Notes
    -----
    A share far below 1 says that owners repaid, added or moved before they were closed: a book is
    a list of intentions, and taking all that is due for sold overstates the forced flow. One
    above 1 says that vaults changed for the worse in between.
    """
    if not (lowest_price > 0 and liquidation_ratio > 1):
        raise ParameterError(
            f"lowest_price is {lowest_price!r} and liquidation_ratio {liquidation_ratio!r}; "
            f"expected a positive price and a ratio above 1. Pass 1.3 for 130 %."
        )
    events, until = _vault_events(folder), utc(until)
    rows = []
    for moment in map(utc, moments):
        if moment >= until:
            raise ParameterError(
                f"The book of {moment:%Y-%m-%d %H:%M} is not before {until:%Y-%m-%d %H:%M}; "
                f"expected an earlier one. Move `until`, or leave it out."
            )
        enough = liquidation_ratio * pl.col("debt_quote")
        held = pl.col("collateral_base") * lowest_price
        due = _vaults_at(events, moment).filter(pl.col("debt_quote") > 0, held <= enough)
        seized = events.filter(
            pl.col("event") == "liquidate",
            (pl.col("happened_at") > moment) & (pl.col("happened_at") <= until),
        )
        accounts = seized["account"].unique()
        due_base = float(due["collateral_base"].sum())
        seized_base = -float(seized["collateral_change"].sum())
        rows.append(
            {
                "book_at": moment,
                "n_due": due.height,
                "due_base": due_base,
                "seized_base": seized_base,
                "n_seized": accounts.len(),
                "n_seized_due": int(accounts.is_in(due["account"].to_list()).sum()),
                "seized_over_due": seized_base / due_base if due_base > 0 else None,
            }
        )
    return pl.DataFrame(rows, schema=_DUE)


def aave_loans(path: str | Path) -> pl.DataFrame:
    """Collateral, debt and threshold of every borrower of a snapshot of a lending pool.

    Parameters
    ----------
    path : str or Path
        A snapshot of borrowers, as the readers of :mod:`cascadelab.history` know them.

    Returns
    -------
    polars.DataFrame
        ``account``, ``collateral_base``, ``debt_quote``, ``liquidation_threshold`` (fraction) of
        borrowers with debt and a threshold above 0 (without one nothing secures the debt).

    Raises
    ------
    DataError
        If the file is none, or breaks a rule of its format.
    """
    frame = read(path, kind="positions").frame()
    return frame.filter(pl.col("debt_amount") > 0, pl.col("liquidation_threshold") > 0).select(
        "account",
        "liquidation_threshold",
        collateral_base=pl.col("collateral_amount"),
        debt_quote=pl.col("debt_amount"),
    )


def debt_known(loans: pl.DataFrame, at: datetime, source: str = "") -> Known:
    """The debt of a book of loans as an input of a prediction, stamped with the book's moment.

    Parameters
    ----------
    loans : polars.DataFrame
        Of :func:`maker_vaults` or :func:`aave_loans`.
    at : datetime
        UTC: the moment of the book.
    source : str
        Publisher.
    """
    total = float(loans["debt_quote"].sum())
    name = f"debt of {loans.height} loans (quote)"
    return Known(name=name, value=total, known_at=utc(at), source=source)
