"""Readers of Maker: histories of vaults, their liquidations, and changes of parameters."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from cascadelab.history.checks import with_notes
from cascadelab.history.formats import Format, State
from cascadelab.history.parse import Field
from cascadelab.history.records import begin_as, finish_plainly

__all__ = ["FORMATS"]

_VAULT = (
    Field(name="block_number", type="integer"),
    Field(name="block_timestamp", type="time"),
    Field(name="vault_number", type="text"),
)


def _vault_event(
    event: str, collateral: pl.Expr | None = None, debt: pl.Expr | None = None
) -> Callable[[pl.DataFrame, State], pl.DataFrame]:
    def tidy(frame: pl.DataFrame, _: State) -> pl.DataFrame:
        asset = pl.col("ilk") if "ilk" in frame.columns else pl.lit(None, dtype=pl.String)
        return frame.select(
            happened_at="block_timestamp",
            block="block_number",
            venue=pl.lit("maker"),
            account="vault_number",
            event=pl.lit(event),
            asset=asset,
            debt_asset=pl.lit("DAI") if debt is not None else pl.lit(None, dtype=pl.String),
            collateral_change=pl.lit(0.0) if collateral is None else collateral,
            debt_change=pl.lit(0.0) if debt is None else debt,
        )

    return tidy


def _vault_format(
    name: str, fields: tuple[Field, ...], tidy: Callable[..., pl.DataFrame]
) -> Format:
    return Format(
        name=f"maker_{name}",
        kind="lending_events",
        time="happened_at",
        fields=(*_VAULT, *fields),
        begin=begin_as("maker"),
        tidy=tidy,
        finish=finish_plainly,
        keeps_equal_rows=True,
    )


_ILK = Field(name="ilk", type="text", is_optional=True)
_TAKEN = (
    Field(name="collateral_liquidated_amount", rule="not negative"),
    Field(name="dai_repayed_amount", rule="not negative"),
)


def _tidy_vault_liquidations(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    return frame.select(
        liquidated_at="block_timestamp",
        venue=pl.lit("maker"),
        account="vault_number",
        liquidated_side=pl.lit("long"),
        size_base="collateral_liquidated_amount",
        notional_usd="dai_repayed_amount",
        debt_asset=pl.lit("DAI"),
        debt_amount="dai_repayed_amount",
    )


VAULT_LIQUIDATIONS = Format(
    name="maker_liquidations",
    kind="liquidations",
    time="liquidated_at",
    fields=(*_VAULT, *_TAKEN),
    begin=begin_as("maker"),
    tidy=_tidy_vault_liquidations,
    finish=lambda frame, quality, _: (
        frame,
        with_notes(
            quality,
            "One vault may be closed in many equal lots. notional_usd counts a DAI as a dollar.",
        ),
    ),
    keeps_equal_rows=True,
)
VAULTS = (
    _vault_format(
        "deposits",
        (_ILK, Field(name="deposit_amount_adj", rule="not negative")),
        _vault_event("deposit", pl.col("deposit_amount_adj")),
    ),
    _vault_format(
        "withdrawals",
        (_ILK, Field(name="withdrawn_amount_adj")),
        _vault_event("withdraw", -pl.col("withdrawn_amount_adj").abs()),
    ),
    _vault_format(
        "borrows",
        (Field(name="dai_minted", rule="not negative"),),
        _vault_event("borrow", None, pl.col("dai_minted")),
    ),
    VAULT_LIQUIDATIONS,
    _vault_format(
        "liquidation_events",
        _TAKEN,
        _vault_event(
            "liquidate",
            -pl.col("collateral_liquidated_amount"),
            -pl.col("dai_repayed_amount"),
        ),
    ),
    _vault_format(
        "repayments",
        (Field(name="dai_repayed"),),
        _vault_event("repay", None, -pl.col("dai_repayed").abs()),
    ),
    _vault_format(
        "creations",
        (Field(name="ilk", type="text"), Field(name="urn_address", type="text")),
        _vault_event("create"),
    ),
)


def _tidy_parameters(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    return frame.select(
        changed_at="timestamp",
        block="block",
        venue=pl.lit("maker"),
        market="ilk",
        parameter="parameter",
        from_value="from_value",
        to_value="to_value",
        transaction="tx_hash",
    )


PARAMETERS = Format(
    name="maker_parameters",
    kind="parameters",
    time="changed_at",
    fields=(
        Field(name="block", type="integer"),
        Field(name="timestamp", type="time"),
        Field(name="tx_hash", type="text"),
        Field(name="parameter", type="text"),
        Field(name="ilk", type="text", is_nullable=True),
        Field(name="from_value", is_nullable=True),
        Field(name="to_value", is_nullable=True),
    ),
    begin=begin_as("maker"),
    tidy=_tidy_parameters,
    finish=finish_plainly,
    keeps_equal_rows=True,
)

#: Formats of vaults.
FORMATS = (*VAULTS, PARAMETERS)
