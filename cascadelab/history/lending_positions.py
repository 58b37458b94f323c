"""Readers of accounts of lending protocols: totals, and what each holds of each asset."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl

from cascadelab.history.checks import with_notes
from cascadelab.history.formats import Context, Format, State, layout_of
from cascadelab.history.parse import Field, Parsed, parse_block, values_of
from cascadelab.history.quality import Quality
from cascadelab.history.reading import Reading, make_context, read_source
from cascadelab.history.records import begin_as, finish_plainly
from cascadelab.history.source import Block, Head, Source

__all__ = ["FORMATS", "read_accounts", "read_assets"]


def _tidy_steth(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    return frame.select(
        venue=pl.lit("aave-v2"),
        account="user",
        asset=pl.lit("ETH"),
        collateral_amount="collateral",
        debt_amount="debt",
        liquidation_threshold=pl.col("threshold") / 1e4,
        health_factor="healthf",
    )


def _finish_steth(
    frame: pl.DataFrame, quality: Quality, context: Context
) -> tuple[pl.DataFrame, Quality]:
    more = (
        "Columns per asset are in the file too: read them with kind='aave_steth_assets'."
        if _is_assets(context.source, context.source.head())
        else ""
    )
    note = "Undated snapshot. Collateral and debt are totals in ETH per account."
    return frame, with_notes(quality, note, more)


STETH = Format(
    name="aave_steth_positions",
    kind="positions",
    time="observed_at",
    fields=(
        Field(name="user", type="text"),
        Field(name="collateral", rule="not negative"),
        Field(name="debt", rule="not negative"),
        Field(name="available_borrow", rule="not negative"),
        Field(name="threshold", rule="not negative"),
        Field(name="ltv", rule="not negative"),
        Field(name="healthf", is_nullable=True),
    ),
    begin=begin_as("aave-v2"),
    tidy=_tidy_steth,
    finish=_finish_steth,
)


def _whales(name: str, amount: str, *fields: Field) -> Format:
    def tidy(frame: pl.DataFrame, _: State) -> pl.DataFrame:
        known = "liquidation_threshold" in frame.columns
        return frame.select(
            venue=pl.lit("aave-v3"),
            account="original_user_address",
            asset="asset_name",
            collateral_amount=amount,
            collateral_usd="collateral_usd_estimate",
            debt_amount="debt_amount_usdt",
            liquidation_threshold="liquidation_threshold"
            if known
            else pl.lit(None, dtype=pl.Float64),
        )

    return Format(
        name=name,
        kind="positions",
        time="observed_at",
        fields=(
            Field(name="asset_name", type="text"),
            Field(name="collateral_usd_estimate", rule="not negative"),
            Field(name="debt_amount_usdt", rule="not negative"),
            Field(name="original_user_address", type="text"),
            Field(name=amount, rule="not negative"),
            *fields,
        ),
        begin=begin_as("aave-v3"),
        tidy=tidy,
        finish=finish_plainly,
        keeps_equal_rows=True,
    )


def _tidy_triggers(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    eth, btc = pl.col("eth_liquidation_price"), pl.col("btc_liquidation_price")
    asset = pl.when(eth > 0).then(pl.lit("ETH")).when(btc > 0).then(pl.lit("BTC"))
    return frame.select(
        venue=pl.lit("aave-v3"),
        account="user_address",
        asset=asset,
        debt_amount="outstanding_debt_usdt",
        liquidation_price=pl.when(eth > 0).then(eth).when(btc > 0).then(btc),
        health_factor="current_hf",
    )


TRIGGERS = Format(
    name="aave_liquidation_triggers",
    kind="positions",
    time="observed_at",
    fields=(
        Field(name="user_address", type="text"),
        Field(name="outstanding_debt_usdt", rule="not negative"),
        Field(name="current_hf"),
        Field(name="eth_liquidation_price", rule="not negative", is_nullable=True),
        Field(name="btc_liquidation_price", rule="not negative", is_nullable=True),
    ),
    begin=begin_as("aave-v3"),
    tidy=_tidy_triggers,
    finish=finish_plainly,
)
WHALES = (
    _whales("aave_whale_parameters", "collateral_amount", Field(name="liquidation_threshold")),
    _whales("aave_whale_exposure", "token_amount"),
)

#: How near the sum over assets must come to the total, as a share of the collateral.
_NEAR = 0.01
_BALANCE = re.compile(r"^([a-z0-9]+)_decimals$")
#: What an asset's columns are called: raw debt, price (wei of ETH), decimals, threshold, raw
#: collateral.
_ASSET_FIELDS = (
    Field(name="account", type="text"),
    Field(name="asset", type="text"),
    Field(name="collateral", is_nullable=True),
    Field(name="debt", is_nullable=True),
    Field(name="price", is_nullable=True),
    Field(name="threshold", is_nullable=True),
    Field(name="health", is_nullable=True),
)


def _names(head: Head) -> list[str]:
    first = next((line for line in head.lines if line.strip()), "")
    return [name.strip().lower() for name in values_of(first)]


def _is_assets(source: Source, head: Head) -> bool:
    names = _names(head)
    has_assets = any(_BALANCE.match(name) for name in names)
    return has_assets and layout_of(source, head, STETH) is not None


def _read_assets(context: Context) -> Iterator[Parsed]:
    """One row per account and asset that it holds or owes."""
    columns: list[Field | None] = []
    for index, block in enumerate(context.source.blocks()):
        data, line = block.data, block.first_line
        if index == 0:
            header, _, data = data.partition(b"\n")
            names = [name.strip() for name in values_of(header.decode().lower())]
            columns = [
                Field(name=name, type="text")
                if name == "user"
                else Field(name=name, is_nullable=True)
                for name in names
            ]
            line += 1
        if not data.strip():
            continue
        parsed = parse_block(Block(data, line), columns, context.source.path)
        yield replace(parsed, frame=_by_asset(parsed.frame), n_records=parsed.frame.height)


def _by_asset(frame: pl.DataFrame) -> pl.DataFrame:
    none = pl.lit(None, dtype=pl.Float64)

    def column(name: str) -> pl.Expr:
        return pl.col(name) if name in frame.columns else none

    def row(asset: str, collateral: pl.Expr, debt: pl.Expr, price: pl.Expr) -> pl.DataFrame:
        return numbered.select(
            "row",
            account="user",
            asset=pl.lit(asset.upper() if asset != "stETH" else asset),
            collateral=collateral.fill_null(0.0),
            debt=debt.fill_null(0.0),
            price=price,
            threshold=column(f"{asset}_threshold"),
            health=column("healthf"),
        )

    numbered = frame.with_row_index("row")
    amount = pl.col("amount")
    value = column("collateral_steth_calc")
    parts = [
        row("stETH", amount, none, pl.when(amount > 0).then(value / amount)),
        row("weth", column("weth_collateral") / 1e18, column("ethdebt"), pl.lit(1.0)),
    ]
    for name in frame.columns:
        if match := _BALANCE.match(name):
            asset = match[1]
            unit = pl.lit(10.0) ** pl.col(name)
            collateral = column(f"{asset}_collateral") / unit
            price = column(f"{asset}_price") / 1e18
            parts.append(row(asset, collateral, column(asset) / unit, price))
    held = pl.concat(parts).filter((pl.col("collateral") > 0) | (pl.col("debt") > 0))
    return held.sort("row", maintain_order=True).drop("row")


def _tidy_assets(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    return frame.select(
        venue=pl.lit("aave-v2"),
        account="account",
        asset="asset",
        collateral_amount="collateral",
        debt_amount="debt",
        liquidation_threshold="threshold",
        health_factor="health",
        mark_price="price",
    )


def _share_explained(frame: pl.DataFrame, context: Context) -> tuple[int, int]:
    """Accounts whose rows add up to the totals of the file, and all accounts."""
    value = {
        f"{side}_sum": (pl.col(f"{side}_amount") * pl.col("mark_price")).sum()
        for side in ("collateral", "debt")
    }
    totals = read_source(context, [STETH]).frame()
    joined = totals.join(frame.group_by("account").agg(**value), on="account", how="left")
    is_explained = pl.all_horizontal(
        (pl.col(f"{side}_sum") - pl.col(f"{side}_amount")).abs()
        <= _NEAR * pl.col("collateral_amount")
        for side in ("collateral", "debt")
    )
    return int(joined.select(is_explained.sum()).item()), joined.height


def _finish_assets(
    frame: pl.DataFrame, quality: Quality, context: Context
) -> tuple[pl.DataFrame, Quality]:
    n_explained, n_all = _share_explained(frame, context)
    return frame, with_notes(
        quality,
        f"For {n_explained:,} of {n_all:,} accounts the rows add up to the totals of the file "
        f"within 1 % of the collateral; the others hold assets that the file does not list.",
        "Undated snapshot. Amounts are tokens; mark_price is ETH per token, not USD.",
        "A threshold of 0 means that the asset is no collateral; stETH and WETH name none here.",
        "Rows of one account belong together: each may be collateral for all debts of it.",
    )


ASSETS = Format(
    name="aave_steth_assets",
    kind="positions",
    time="observed_at",
    fields=_ASSET_FIELDS,
    begin=begin_as("aave-v2"),
    tidy=_tidy_assets,
    finish=_finish_assets,
    rows_of=_read_assets,
    fits=_is_assets,
    keeps_equal_rows=True,
)

#: Formats of this module; totals per account come before the rows per asset of the same file.
FORMATS = (STETH, ASSETS, *WHALES, TRIGGERS)


def read_accounts(path: str | Path) -> Reading:
    """Totals of accounts of Aave (kind ``"positions"``): collateral, debt, threshold, health."""
    return read_source(make_context(path), [STETH, *WHALES, TRIGGERS])


def read_assets(path: str | Path) -> Reading:
    """What each account holds and owes of each asset, one row per account and asset.

    Parameters
    ----------
    path : str or Path
        A table of accounts with columns per asset (raw balance, price, decimals, threshold).

    Returns
    -------
    Reading
        Kind ``"positions"``: ``collateral_amount`` and ``debt_amount`` in tokens,
        ``liquidation_threshold`` a fraction (null where the file has none), ``mark_price`` in ETH
        per token. Summed over an account, amount x price gives back the totals of the file.
    """
    return read_source(make_context(path), [ASSETS])
