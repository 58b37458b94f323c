"""Readers of on-chain lending: liquidations of Aave and Compound, vault histories of Maker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import polars as pl

from cascadelab.history.checks import with_notes
from cascadelab.history.formats import Context, Format, State
from cascadelab.history.parse import Field
from cascadelab.history.quality import Quality
from cascadelab.history.records import begin_as, finish_plainly

__all__ = ["FORMATS", "STABLE"]

#: Assets that are meant to be worth one dollar.
STABLE = (
    "USDC",
    "USDT",
    "DAI",
    "GUSD",
    "TUSD",
    "BUSD",
    "SUSD",
    "PAX",
    "FEI",
    "FRAX",
    "LUSD",
    "USDP",
)
#: Decimals of tokens, where they are not 18.
_DECIMALS = {"USDC": 6, "USDT": 6, "GUSD": 2, "WBTC": 8, "AMPL": 9}
_USUAL = {
    "DAI", "WETH", "TUSD", "BUSD", "SUSD", "MANA", "CRV", "UNI", "ENJ", "LINK", "SNX", "BAT", "REN",
    "YFI", "ZRX", "FEI", "XSUSHI", "BAL", "PAX", "FRAX", "AAVE", "MKR", "KNC", "DPI", "STETH",
    "BptBALWETH", "UniWBTCWETH",
}  # fmt: skip
#: Tokens by address: name and decimals.
_TOKENS = {
    "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48": ("USDC", 6),
    "0xdac17f958d2ee523a2206206994597c13d831ec7": ("USDT", 6),
    "0x6b175474e89094c44da98b954eedeac495271d0f": ("DAI", 18),
    "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2": ("WETH", 18),
    "0x2260fac5e5542a773aa44fbcfedf7c193bc2c599": ("WBTC", 8),
    "0x7f39c581f595b53c5cb19bd0b3f8da6c935e2ca0": ("wstETH", 18),
}


def _decimals(asset: pl.Expr) -> pl.Expr:
    known = {name: 18 for name in _USUAL} | _DECIMALS
    plain = asset.str.strip_prefix("Amm")
    return plain.replace_strict(known, default=None, return_dtype=pl.Int64)


def _scaled(amount: pl.Expr, decimals: pl.Expr) -> pl.Expr:
    """Base units into tokens; the text of a large integer was read as the nearest float."""
    return amount / (pl.lit(10.0) ** decimals)


def closed_side(collateral: pl.Expr, debt: pl.Expr) -> pl.Expr:
    """Return what was closed: a long of the collateral, or a short of the debt.

    Null where both are dollars. Where neither is, the collateral is what is sold: a long.
    """
    is_dollar = [asset.str.strip_prefix("Amm").is_in(STABLE) for asset in (collateral, debt)]
    return pl.when(~is_dollar[0]).then(pl.lit("long")).when(~is_dollar[1]).then(pl.lit("short"))


def _tidy_aave_v2(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    # Rows without amountUSDPrincipal hold base units (wei and the like), later rows tokens.
    is_raw = pl.col("amountusdprincipal").is_null()

    def amount(value: str, asset: str) -> pl.Expr:
        name = pl.col(asset)
        return pl.when(is_raw).then(_scaled(pl.col(value), _decimals(name))).otherwise(value)

    debt = amount("principalamount", "principalreserve")
    return frame.select(
        liquidated_at="timestamp",
        venue=pl.lit("aave-v2"),
        symbol="collateralreserve",
        account="user",
        liquidated_side=closed_side(pl.col("collateralreserve"), pl.col("principalreserve")),
        size_base=amount("collateralamount", "collateralreserve"),
        notional_usd=debt * pl.col("reservepriceusdprincipal"),
        debt_asset="principalreserve",
        debt_amount=debt,
        liquidator="liquidator",
    )


def _finish_aave_v2(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    # Rows of base units name no liquidator; so the two halves can be told here.
    spans = frame.group_by(is_raw=pl.col("liquidator").is_null()).agg(
        first=pl.col("liquidated_at").min(), last=pl.col("liquidated_at").max(), n=pl.len()
    )
    told = {row["is_raw"]: row for row in spans.iter_rows(named=True)}
    unknown = frame.filter(pl.col("size_base").is_null() | pl.col("debt_amount").is_null())
    if len(told) == 2:
        raw, plain = told[True], told[False]
        switch = (
            f"{raw['n']:,} rows to {raw['last']:%Y-%m-%d %H:%M:%S} count base units (wei and the "
            f"like), {plain['n']:,} rows from {plain['first']:%Y-%m-%d %H:%M:%S} count tokens; all "
            f"are tokens here."
        )
        quality = replace(quality, unit_switches=(switch,))
    note = f"{unknown.height:,} rows hold base units of a token whose decimals are not known here."
    return frame, with_notes(
        quality,
        "size_base is the collateral seized, notional_usd the debt repaid at the price of the row.",
        note if unknown.height else "",
    )


AAVE_V2 = Format(
    name="aave_v2_liquidations",
    kind="liquidations",
    time="liquidated_at",
    fields=(
        Field(name="collateralamount", rule="not negative"),
        Field(name="collateralreserve", type="text"),
        Field(name="principalamount", rule="not negative"),
        Field(name="principalreserve", type="text"),
        Field(name="timestamp", type="epoch"),
        Field(name="user", type="text"),
        Field(name="liquidator", type="text", is_nullable=True),
        *(
            Field(name=name, is_nullable=True, is_optional=True)
            for name in ("reservepriceusdcollateral", "amountusdpincipal", "amountusdcollateral")
        ),
        Field(name="reservepriceusdprincipal", is_nullable=True),
        Field(name="amountusdprincipal", is_nullable=True),
    ),
    begin=begin_as("aave-v2"),
    tidy=_tidy_aave_v2,
    finish=_finish_aave_v2,
)


def _tidy_logs(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    return frame.select(
        liquidated_at="timestamp",
        venue=pl.lit("aave-v3"),
        transaction=pl.col("txhash") + ":" + pl.col("logindex").cast(pl.String),
    )


LOGS = Format(
    name="liquidation_logs",
    kind="liquidations",
    time="liquidated_at",
    fields=(
        Field(name="blocknumber", type="integer"),
        Field(name="timestamp", type="time"),
        Field(name="txhash", type="text"),
        Field(name="logindex", type="integer"),
    ),
    begin=begin_as("aave-v3"),
    tidy=_tidy_logs,
    finish=lambda frame, quality, _: (
        frame,
        with_notes(quality, "An index of logs: counts only, no account, side or amount."),
    ),
)


def _token(address: pl.Expr, part: int) -> pl.Expr:
    values = {key: value[part] for key, value in _TOKENS.items()}
    kind = pl.String() if part == 0 else pl.Int64()
    return address.str.to_lowercase().replace_strict(values, default=None, return_dtype=kind)


def _tidy_calls(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    collateral, debt = pl.col("collateralasset"), pl.col("debtasset")
    name = pl.coalesce(_token(collateral, 0), collateral)
    owed = pl.coalesce(_token(debt, 0), debt)
    return frame.select(
        liquidated_at="evt_block_time",
        venue=pl.lit("aave"),
        symbol=name,
        account="user",
        liquidated_side=closed_side(name, owed),
        size_base=_scaled(pl.col("liquidatedcollateralamount"), _token(collateral, 1)),
        debt_asset=owed,
        debt_amount=_scaled(pl.col("debttocover"), _token(debt, 1)),
        liquidator="liquidator",
        transaction="evt_tx_hash" if "evt_tx_hash" in frame.columns else pl.lit(None, pl.String),
    )


def _finish_tokens(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    n_unknown = frame.filter(pl.col("size_base").is_null()).height
    note = f"{n_unknown:,} rows name a token whose decimals are not known here; amounts are null."
    return frame, with_notes(quality, note if n_unknown else "")


AAVE_CALLS = Format(
    name="aave_liquidation_calls",
    kind="liquidations",
    time="liquidated_at",
    fields=(
        Field(name="evt_block_time", type="moment"),
        Field(name="collateralasset", type="text"),
        Field(name="debtasset", type="text"),
        Field(name="user", type="text"),
        Field(name="debttocover", rule="not negative"),
        Field(name="liquidatedcollateralamount", rule="not negative"),
        Field(name="liquidator", type="text"),
        Field(name="evt_tx_hash", type="text", is_nullable=True, is_optional=True),
        Field(name="evt_index", type="integer", is_nullable=True, is_optional=True),
    ),
    begin=begin_as("aave"),
    tidy=_tidy_calls,
    finish=_finish_tokens,
    keeps_equal_rows=True,
)


def _tidy_absorb(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    asset = pl.col("asset")
    name = pl.coalesce(_token(asset, 0), asset)
    return frame.select(
        liquidated_at="evt_block_time",
        venue=pl.lit("compound-v3"),
        symbol=name,
        account="borrower",
        liquidated_side=closed_side(name, pl.lit("USDC")),
        size_base=_scaled(pl.col("collateralabsorbed"), _token(asset, 1)),
        notional_usd=pl.col("usdvalue") / 1e8,
        liquidator="absorber",
    )


def _tidy_absorb_debt(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    return frame.select(
        liquidated_at="evt_block_time",
        venue=pl.lit("compound-v3"),
        account="borrower",
        notional_usd=pl.col("usdvalue") / 1e8,
        debt_amount="basepaidout",
        liquidator="absorber",
    )


def _absorb(name: str, *fields: Field) -> tuple[Field, ...]:
    return (
        Field(name="evt_block_time", type="moment"),
        Field(name="absorber", type="text"),
        Field(name="borrower", type="text"),
        *fields,
        Field(name=name, rule="not negative"),
        Field(name="usdvalue", rule="not negative"),
    )


COMPOUND_COLLATERAL = Format(
    name="compound_absorbed_collateral",
    kind="liquidations",
    time="liquidated_at",
    fields=_absorb("collateralabsorbed", Field(name="asset", type="text")),
    begin=begin_as("compound-v3"),
    tidy=_tidy_absorb,
    finish=_finish_tokens,
    keeps_equal_rows=True,
)
COMPOUND_DEBT = Format(
    name="compound_absorbed_debt",
    kind="liquidations",
    time="liquidated_at",
    fields=_absorb("basepaidout"),
    begin=begin_as("compound-v3"),
    tidy=_tidy_absorb_debt,
    finish=lambda frame, quality, _: (
        frame,
        with_notes(quality, "debt_amount is in base units of the base asset of the market."),
    ),
    keeps_equal_rows=True,
)

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


def _tidy_borrows(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    address = pl.col("reserve")
    return frame.select(
        happened_at="evt_block_time",
        block="evt_block_number",
        venue=pl.lit("aave-v3"),
        account="onbehalfof",
        event=pl.lit("borrow"),
        debt_asset=pl.coalesce(_token(address, 0), address),
        collateral_change=pl.lit(0.0),
        debt_change="amount",
        transaction="evt_tx_hash",
    )


AAVE_BORROWS = Format(
    name="aave_borrows",
    kind="lending_events",
    time="happened_at",
    fields=(
        Field(name="evt_tx_hash", type="text"),
        Field(name="evt_index", type="integer"),
        Field(name="evt_block_time", type="moment"),
        Field(name="evt_block_number", type="integer"),
        Field(name="amount", rule="not negative"),
        Field(name="onbehalfof", type="text"),
        Field(name="reserve", type="text"),
    ),
    begin=begin_as("aave-v3"),
    tidy=_tidy_borrows,
    finish=lambda frame, quality, _: (
        frame,
        with_notes(quality, "Amounts are taken as tokens, as the table writes them."),
    ),
)

#: Formats of lending protocols.
FORMATS = (
    AAVE_V2,
    LOGS,
    AAVE_CALLS,
    COMPOUND_COLLATERAL,
    COMPOUND_DEBT,
    *VAULTS,
    PARAMETERS,
    AAVE_BORROWS,
)
