"""Readers of on-chain lending: liquidations of Aave and Compound, borrows, vaults of Maker."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from cascadelab.history import lending_vaults
from cascadelab.history.checks import with_notes
from cascadelab.history.formats import Context, Format, State
from cascadelab.history.parse import Field
from cascadelab.history.quality import Quality
from cascadelab.history.records import begin_as

__all__ = ["FORMATS", "STABLE"]

#: Assets that are meant to be worth one dollar.
STABLE = (
    "USDC", "USDT", "DAI", "GUSD", "TUSD", "BUSD", "SUSD", "PAX", "FEI", "FRAX", "LUSD", "USDP",
    "GHO", "crvUSD", "USDe", "PYUSD", "sDAI", "USDS",
)  # fmt: skip
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
    "0x40d16fc0246ad3160ccc09b8d0d3a2cd28ae6c2f": ("GHO", 18),
    "0x4c9edd5852cd905f086c759e8383e09bff1e68b3": ("USDe", 18),
    "0x6c3ea9036406852006290770bedfcaba0e23a0e8": ("PYUSD", 6),
    "0x83f20f44975d03b1b09e64809b757c47f942beea": ("sDAI", 18),
    "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2": ("WETH", 18),
    "0x2260fac5e5542a773aa44fbcfedf7c193bc2c599": ("WBTC", 8),
    "0xcbb7c0000ab88b473b1f5afd9ef808440eed33bf": ("cbBTC", 8),
    "0x7f39c581f595b53c5cb19bd0b3f8da6c935e2ca0": ("wstETH", 18),
    "0xae7ab96520de3a18e5e111b5eaab095312d7fe84": ("stETH", 18),
    "0xae78736cd615f374d3085123a210448e74fc6393": ("rETH", 18),
    "0xbe9895146f7af43049ca1c1ae358b0541ea49704": ("cbETH", 18),
    "0xcd5fe23c85820f7b72d0926fc9b05b43e359b7ee": ("weETH", 18),
    "0x514910771af9ca656af840dff83e8264ecf986ca": ("LINK", 18),
    "0x7fc66500c84a76ad7e9c93437bfc5ac33e2ddae9": ("AAVE", 18),
    "0x1f9840a85d5af5bf1d1762f925bdaddc4201f984": ("UNI", 18),
    "0xc00e94cb662c3520282e6f5717214004a7f26888": ("COMP", 18),
    "0x9f8f72aa9304c8b593d555f12ef6589cc3a579a2": ("MKR", 18),
}
#: Markets of Compound v3 by address: base asset and its decimals.
_MARKETS = {
    "0xc3d688b66703497daa19211eedff47f25384cdc3": ("USDC", 6),
    "0xa17581a9e3356d9a858b789d68b4d866e593ae94": ("WETH", 18),
    "0x3afdc9bca9213a35503b077a6072f3d0d5ab0840": ("USDT", 6),
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
        transaction=_transaction(frame),
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


def _market(frame: pl.DataFrame) -> pl.Expr:
    """Base asset of the market of each row; null where no column or address tells."""
    if "contract_address" not in frame.columns:
        return pl.lit(None, dtype=pl.String)
    names = {address: name for address, (name, _) in _MARKETS.items()}
    address = pl.col("contract_address").str.to_lowercase()
    return address.replace_strict(names, default=None, return_dtype=pl.String)


def _dollars(base: pl.Expr) -> pl.Expr:
    """USD of the event; its "usdValue" is ETH in the market of WETH, and null here."""
    return pl.when(base.is_null() | (base != "WETH")).then(pl.col("usdvalue") / 1e8)


def _tidy_absorb(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    asset, base = pl.col("asset"), _market(frame)
    name = pl.coalesce(_token(asset, 0), asset)
    return frame.select(
        liquidated_at="evt_block_time",
        venue=pl.lit("compound-v3"),
        symbol=name,
        account="borrower",
        liquidated_side=closed_side(name, pl.coalesce(base, pl.lit("USDC"))),
        size_base=_scaled(pl.col("collateralabsorbed"), _token(asset, 1)),
        notional_usd=_dollars(base),
        debt_asset=base,
        liquidator="absorber",
        transaction=_transaction(frame),
    )


#: Value in 1e-8 USD per base unit of a dollar of 6 decimals, and how far from it a price may be.
_PER_UNIT, _PEG = 100.0, 0.05


def _tidy_absorb_debt(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    paid, base = pl.col("basepaidout"), _market(frame)
    decimals = {name: places for name, places in _MARKETS.values()}
    known = base.replace_strict(decimals, default=None, return_dtype=pl.Int64)
    # Without an address, the value tells a dollar of 6 decimals (USDC, USDT) from anything else.
    per_unit = pl.when(paid > 0).then(pl.col("usdvalue") / paid)
    is_dollar = base.is_null() & ((per_unit / _PER_UNIT - 1.0).abs() < _PEG)
    places = pl.when(is_dollar).then(6).otherwise(known)
    return frame.select(
        liquidated_at="evt_block_time",
        venue=pl.lit("compound-v3"),
        account="borrower",
        notional_usd=_dollars(base),
        debt_asset=base,
        debt_amount=_scaled(paid, places),
        liquidator="absorber",
        transaction=_transaction(frame),
    )


def _transaction(frame: pl.DataFrame) -> pl.Expr:
    has_hash = "evt_tx_hash" in frame.columns
    return pl.col("evt_tx_hash") if has_hash else pl.lit(None, dtype=pl.String)


def _finish_absorb(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    amount = "size_base" if frame["symbol"].null_count() < frame.height else "debt_amount"
    n_unknown, n_ether = frame[amount].null_count(), frame["notional_usd"].null_count()
    is_told = frame["debt_asset"].null_count() == 0
    return frame, with_notes(
        quality,
        f"{n_unknown:,} amounts are null: the decimals of their token are not known here."
        if n_unknown
        else "",
        f"{n_ether:,} rows are of the WETH market, whose values are ETH: notional_usd is null."
        if n_ether
        else "",
        "" if is_told else "Rows without contract_address are taken as of a market in dollars.",
    )


def _absorb(name: str, *fields: Field) -> tuple[Field, ...]:
    return (
        Field(name="evt_block_time", type="moment"),
        Field(name="absorber", type="text"),
        Field(name="borrower", type="text"),
        *fields,
        Field(name=name, rule="not negative"),
        Field(name="usdvalue", rule="not negative"),
        *(
            Field(name=more, type="text", is_nullable=True, is_optional=True)
            for more in ("contract_address", "evt_tx_hash")
        ),
    )


COMPOUND_COLLATERAL = Format(
    name="compound_absorbed_collateral",
    kind="liquidations",
    time="liquidated_at",
    fields=_absorb("collateralabsorbed", Field(name="asset", type="text")),
    begin=begin_as("compound-v3"),
    tidy=_tidy_absorb,
    finish=_finish_absorb,
    keeps_equal_rows=True,
)
COMPOUND_DEBT = Format(
    name="compound_absorbed_debt",
    kind="liquidations",
    time="liquidated_at",
    fields=_absorb("basepaidout"),
    begin=begin_as("compound-v3"),
    tidy=_tidy_absorb_debt,
    finish=_finish_absorb,
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
    *lending_vaults.FORMATS,
    AAVE_BORROWS,
)
