"""One thin adapter per margin engine: renames a case's inputs and calls the public library.

No formula, no rule constant, and no look at a case's id or expected values lives here. An
adapter answers with every quantity it can name; a case checks the ones it knows.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from cascadelab.margin import (
    adl,
    auctions,
    breakers,
    close,
    commission,
    cross,
    derive_book,
    derive_portfolio,
    derive_standard,
    drift,
    dydx,
    funding,
    gmx,
    halving,
    inverse,
    lending,
    linear,
    liquity,
    maker,
    options,
    rounding,
    span,
    tiered,
    tiers,
    vega,
)
from cascadelab.margin.errors import AuctionRefused
from cascadelab.margin.linear import Requirement

Inputs = dict[str, Any]
Answer = dict[str, Any]


def evaluate(case: dict[str, Any]) -> Answer:
    """Answer of the library to one case: ``engine``, ``kind`` and ``inputs`` in, numbers out."""
    return ENGINES[case["engine"]](case["kind"], case["inputs"])


def _size(x: Inputs, key: str = "position_size") -> float:
    return linear.signed_size(x["side"], x[key])


def _table(x: Inputs, is_marginal: bool = True) -> tiers.TierTable:
    floor, rate, *_ = zip(*x["tiers"], strict=True)
    return tiers.TierTable.from_floors(floor, rate, is_marginal=is_marginal)


def _price(price: float, size: float, x: Inputs, never: float | None = None) -> float | None:
    """Price on the tick where one is given, blank (or the venue's zero) where none exists."""
    return rounding.printed_price(_tick(float(price), size, x), never)


def _tier_answer(x: Inputs) -> Answer:
    table = _table(x)
    answer: Answer = {"cum": table.deduction.tolist()}
    if "level" in x and x["level"] is not None:
        answer["maintenance_amount"] = float(table.deduction[x["level"] - 1])
    if "notional" in x:
        rate, deduction = table.lookup(x["notional"])
        answer |= {
            "maintenance_margin_rate": float(rate),
            "maintenance_amount": float(deduction),
            "maintenance_margin": float(table.maintenance(x["notional"])),
        }
    return answer


def _first(x: Inputs, *names: str) -> Any:
    """Value of the first of several names of one input."""
    return x[next((name for name in names if name in x), names[0])]


def _is_inverse(x: Inputs) -> bool:
    return any(name in x for name in ("contract_size_usd", "contract_value_usd", "contracts_usd"))


def _next_deduction(x: Inputs) -> Answer:
    floor = _first(x, "notional_floor_coin", "notional_floor")
    amount = tiers.next_deduction(
        floor, x["mmr"], x["mmr_previous"], x["maintenance_amount_previous"]
    )
    return {"maintenance_amount": amount}


def _tick(price: float, size: float, x: Inputs) -> float:
    return float(rounding.to_tick(price, size, x["tick"])) if "tick" in x else price


# ---------------------------------------------------------------- contracts of exchanges


def _binance_wallet(x: Inputs, entry: float, size: float) -> float:
    if "wallet_balance" in x:
        return x["wallet_balance"]
    if "isolated_margin" not in x:
        return float(linear.initial_margin(entry, size, x["leverage"]))
    profit = x.get("unrealized_pnl")
    if profit is None:
        profit = float(linear.unrealized_profit(entry, size, x["mark_price"]))
    return linear.isolated_wallet(x["isolated_margin"], profit)


def _binance_usdm(kind: str, x: Inputs) -> Answer:
    if kind == "funding":
        rate = funding.clamped_rate(x["premium_index"], x["interest_rate"], x["clamp"])
        return {"funding_rate": float(rate)}
    if kind in ("tier_lookup", "tier_maintenance_amount"):
        return _tier_answer(x) if "tiers" in x else _next_deduction(x)
    if kind == "maintenance_margin":
        return _binance_maintenance(x)
    return _binance_liquidation(x)


def _binance_maintenance(x: Inputs) -> Answer:
    notional = x.get("notional")
    if notional is None:
        notional = float(linear.value_at(x["mark_price"], x["position_size"]))
    if "tiers" in x:
        margin = _table(x).maintenance(notional)
    else:
        margin = tiers.maintenance_at_rate(
            notional, x["maintenance_margin_rate"], x.get("maintenance_amount", 0.0)
        )
    return {"notional": notional, "maintenance_margin": float(margin)}


def _binance_liquidation(x: Inputs) -> Answer:
    size = _size(x)
    entry = x.get("entry_price")
    if entry is None:
        entry = linear.entry_from_profit(x["mark_price"], size, x["unrealized_pnl"])
    wallet = _binance_wallet(x, entry, size)
    listed = [] if x.get("margin_mode") == "isolated" else x.get("other_positions", [])
    totals = [leg for leg in listed if "maintenance_margin" in leg]
    others = [_binance_leg(leg, x) for leg in listed if "maintenance_margin" not in leg]
    if x.get("margin_mode") == "isolated":
        given = (0.0, 0.0)
    else:
        given = (x.get("other_maintenance_margin", 0.0), x.get("other_unrealized_pnl", 0.0))
    if "tiers" in x and "maintenance_margin_rate" not in x:
        margin = cross.free_wallet(wallet, *given)
        price = tiered.liquidation_price_of_one(entry, size, margin, _table(x))
        return {"liquidation_price": _price(price, size, x, never=0.0)}
    main = cross.Leg(
        market=x.get("symbol", ""),
        entry_price=entry,
        size_base=size,
        mark_price=x.get("mark_price", entry),
        maintenance_fraction=x["maintenance_margin_rate"],
        deduction=x.get("maintenance_amount", 0.0),
    )
    price = cross.cross_liquidation_price(
        main,
        others,
        wallet,
        other_maintenance=sum((leg["maintenance_margin"] for leg in totals), given[0]),
        other_profit=sum((leg["unrealized_pnl"] for leg in totals), given[1]),
    )
    answer: Answer = {"liquidation_price": _price(price, size, x, never=0.0)}
    if "mark_price" in x:
        profit = float(linear.unrealized_profit(entry, size, x["mark_price"]))
        answer |= {
            "unrealized_pnl": profit,
            "isolated_margin": linear.isolated_margin_field(wallet, profit),
        }
    if "buffer_fraction" in x:
        buffered = linear.buffered_price(price, entry, x["buffer_fraction"])
        answer["liquidation_price_with_5pct_buffer"] = float(buffered)
    return answer


def _binance_leg(leg: Inputs, main: Inputs) -> cross.Leg:
    return cross.Leg(
        market=leg.get("symbol", main.get("symbol", "")),
        entry_price=leg["entry_price"],
        size_base=_size(leg),
        mark_price=leg.get("mark_price", leg["entry_price"]),
        maintenance_fraction=leg["maintenance_margin_rate"],
        deduction=leg.get("maintenance_amount", 0.0),
    )


def _face(x: Inputs) -> float:
    if "contracts_usd" in x:
        return x["contracts_usd"]
    if "contract_value_usd" in x and "contracts" not in x:
        return x["contract_value_usd"]
    unit = x.get("contract_size_usd", x.get("contract_value_usd", 1))
    return linear.base_of_contracts(x.get("contracts", 1), unit)


def _binance_coinm(kind: str, x: Inputs) -> Answer:
    if kind == "tier_maintenance_amount":
        return _tier_answer(x) if "tiers" in x else _next_deduction(x)
    if kind == "maintenance_margin":
        notional = float(inverse.coin_value(x["mark_price"], _face(x)))
        margin = _binance_maintenance({**x, "notional": notional})["maintenance_margin"]
        return {"notional_coin": notional, "maintenance_margin": margin}
    face = linear.signed_size(x["side"], _face(x))
    profit = x.get("unrealized_pnl", 0.0)
    if "mark_price" in x:
        profit = float(inverse.unrealized_profit(x["entry_price"], face, x["mark_price"]))
    wallet = x.get("wallet_balance")
    if wallet is None:
        wallet = linear.isolated_wallet(x["isolated_margin"], profit)
    margin = wallet
    if x.get("margin_mode") != "isolated":
        margin = cross.free_wallet(
            wallet, x.get("other_maintenance_margin", 0.0), x.get("other_unrealized_pnl", 0.0)
        )
    if "tiers" in x and "maintenance_margin_rate" not in x:
        price = tiered.inverse_liquidation_price_of_one(x["entry_price"], face, margin, _table(x))
    else:
        line = Requirement(
            rate_at_mark=x["maintenance_margin_rate"], deduction=x.get("maintenance_amount", 0.0)
        )
        price = float(inverse.trigger_price(x["entry_price"], face, margin, line))
    answer: Answer = {"liquidation_price": _price(price, face, x, never=0.0)}
    if "mark_price" in x:
        notional = inverse.coin_value(x["mark_price"], face)
        answer |= {
            "notional": rounding.truncated(float(notional), 8),
            "unrealized_pnl": rounding.truncated(profit, 8),
            "isolated_margin": rounding.truncated(linear.isolated_margin_field(wallet, profit), 8),
        }
    return answer


def _bybit_linear(kind: str, x: Inputs) -> Answer:
    size, entry, leverage = _size(x), x["entry_price"], x["leverage"]
    fee = x.get("taker_fee_rate", 0.0)
    rate, amount = x.get("maintenance_margin_rate", 0.0), x.get("maintenance_amount", 0.0)
    if kind in ("liquidation_price", "bankruptcy_price"):
        price = linear.displayed_price_at_entry_maintenance(
            entry, size, leverage, rate, amount, x.get("extra_margin", 0.0)
        )
        bankrupt = float(linear.bankruptcy_price_at_leverage(entry, size, leverage))
        return {
            "liquidation_price": _price(price, size, x),
            "bankruptcy_price": _price(bankrupt, size, x),
        }
    margins = linear.margins_with_fee_to_close(entry, size, leverage, rate, fee, amount)
    return {
        "position_value": margins.value,
        "initial_margin": margins.initial,
        "position_balance": margins.initial,
        "maintenance_margin": margins.maintenance,
        "fee_to_close": margins.fee_to_close,
        "order_cost": margins.order_cost,
    }


def _exit(x: Inputs) -> float:
    return _first(x, "exit_price", "mark_price")


def _bybit_inverse(kind: str, x: Inputs) -> Answer:
    if kind == "average_entry_price":
        face, price = zip(*x["fills"], strict=True)
        return {"average_entry_price": inverse.average_entry_price(price, face)}
    gross = _face(x)
    if kind == "initial_margin":
        margin = float(inverse.initial_margin(x["entry_price"], gross, x["leverage"]))
        return {"initial_margin_btc": margin, "initial_margin": margin}
    if kind == "maintenance_margin":
        value = inverse.coin_value(x["entry_price"], gross)
        need = float(tiers.maintenance_at_rate(value, x["maintenance_margin_rate"]))
        return {"maintenance_margin_btc": need, "maintenance_margin": need}
    face = linear.signed_size(x.get("side", "long"), gross)
    if kind == "unrealized_pnl":
        profit = float(inverse.unrealized_profit(x["entry_price"], face, _exit(x)))
        return {"pnl_btc": profit, "unrealized_pnl": profit, "unrealized_pnl_btc": profit}
    rate, fee = x.get("maintenance_margin_rate", 0.0), x.get("taker_fee_rate", 0.0)
    if "wallet_balance_btc" in x:
        prices = inverse.cross_prices_with_fee_at_bankruptcy(
            x["entry_price"], face, x["wallet_balance_btc"], rate, fee
        )
    elif "extra_margin_btc" in x or "maintenance_amount" in x:
        line = Requirement(rate_at_mark=rate, deduction=x.get("maintenance_amount", 0.0))
        unified = inverse.unified_liquidation_price(
            x["entry_price"], face, x["leverage"], line, x.get("extra_margin_btc", 0.0), fee
        )
        return {"liquidation_price": _price(unified, face, x)}
    else:
        prices = inverse.isolated_prices_at_leverage(x["entry_price"], face, x["leverage"], rate)
    return {
        "bankruptcy_price": _price(prices[0], face, x),
        "liquidation_price": _price(prices[1], face, x),
    }


def _mcs_inverse(kind: str, x: Inputs) -> Answer:
    face = linear.signed_size(x["side"], _face(x))
    prices = inverse.isolated_prices_at_leverage(
        x["entry_price"], face, x["leverage"], x["maintenance_margin_rate"]
    )
    return {
        "bankruptcy_price": _price(prices[0], face, x),
        "liquidation_price": _price(prices[1], face, x),
    }


def _gate(kind: str, x: Inputs) -> Answer:
    if kind == "tier_maintenance_amount":
        return _tier_answer(x) if "tiers" in x else _next_deduction(x)
    size = _size(x)
    if kind == "unrealized_pnl":
        profit = linear.unrealized_profit(x["entry_price"], size, _exit(x))
        value = linear.value_at(_exit(x), size)
        return {"unrealized_pnl": float(profit), "value": float(value)}
    return _price_with_fee_at_mark(x)


def _price_with_fee_at_mark(x: Inputs) -> Answer:
    size = _size(x)
    line = Requirement.with_fee_at_mark(
        x["maintenance_margin_rate"],
        x.get("taker_fee_rate", 0.0),
        x.get("maintenance_amount", 0.0),
    )
    margin = x.get("margin")
    if margin is None:
        margin = float(linear.initial_margin(x["entry_price"], size, x["leverage"]))
    price = linear.trigger_price(x["entry_price"], size, margin, line)
    return {"liquidation_price": _price(float(price), size, x)}


def _phemex(kind: str, x: Inputs) -> Answer:
    size, fee = _size(x), x.get("taker_fee_rate", 0.0)
    balance = x.get("assigned_balance")
    if balance is None:
        balance = commission.assigned_balance(x["entry_price"], size, x["leverage"], fee)
    price = commission.liquidation_price_of_assigned_balance(
        x["entry_price"], size, balance, x["maintenance_margin_rate"], fee
    )
    return {"assigned_balance": balance, "liquidation_price": _price(price, size, x)}


def _kucoin(kind: str, x: Inputs) -> Answer:
    answer: Answer = {}
    held = x.get("position_commission", 0.0)
    need = x.get("position_maintenance")
    if need is None and "maintenance_margin_rate" in x:
        need = commission.maintenance_with_commission(
            x["position_cost"],
            x["maintenance_margin_rate"],
            held,
            x.get("side", "long"),
            x.get("funding_rate", 0.0),
        )
    if need is not None:
        answer["position_maintenance"] = need
    if "position_size" in x:
        size = _size(x)
        prices = commission.liquidation_price_from_cost(
            x["position_cost"], size, x["position_initial_margin"], need or held, held
        )
        bankrupt = prices[0]
        if "tick" in x:
            bankrupt = float(rounding.nearest_tick(bankrupt, x["tick"]))
        answer["bankruptcy_price"] = bankrupt
        answer["liquidation_price"] = _price(prices[1], size, x)
    if "mark_value" in x:
        balance = commission.margin_balance(
            x["position_initial_margin"],
            held,
            x["mark_value"],
            _first(x, "entry_value", "position_cost"),
            x.get("side", "long"),
        )
        answer |= asdict(balance) | {
            "unrealized_pnl": balance.unrealized_profit,
            "maint_margin_balance": balance.margin_balance,
        }
    return answer


def _edgex(kind: str, x: Inputs) -> Answer:
    size = _size(x)
    rate = x["maintenance_margin_rate"]
    prices = commission.prices_from_collateral(
        size, x["collateral_balance"], rate, x.get("taker_fee_rate", 0.0)
    )
    if "tick" in x:
        prices = {
            name: float(rounding.floor_to_tick(price, x["tick"])) for name, price in prices.items()
        }
    answer: Answer = {name: rounding.printed_price(price) for name, price in prices.items()}
    if "oracle_price" in x:
        value = linear.value_at(x["oracle_price"], size)
        initial = x.get("initial_margin_rate", 0.0)
        answer |= {
            "equity": x["collateral_balance"]
            + float(linear.unrealized_profit(0.0, size, x["oracle_price"])),
            "maintenance_margin": float(tiers.maintenance_at_rate(value, rate)),
            "initial_margin": float(tiers.maintenance_at_rate(value, initial)),
        }
    return answer


def _okx(kind: str, x: Inputs) -> Answer:
    if kind == "initial_margin":
        family, gross = (inverse, _face(x)) if _is_inverse(x) else (linear, _okx_gross(x))
        price = _first(x, "entry_price", "mark_price")
        margin = float(family.initial_margin(price, gross, x["leverage"]))
        return {"initial_margin_btc": margin, "initial_margin": margin}
    if kind == "unrealized_pnl":
        family, gross = (inverse, _face(x)) if _is_inverse(x) else (linear, _okx_gross(x))
        size = linear.signed_size(x["side"], gross)
        profit = float(family.unrealized_profit(x["entry_price"], size, _exit(x)))
        return {"pnl": profit, "pnl_btc": profit, "unrealized_pnl": profit}
    if kind == "liquidation_amount":
        closed = close.okx_contracts_closed(
            x["position_contracts"],
            x.get("position_tier", 1),
            x.get("target_tier_max_contracts", 0.0),
            is_above_first_tier=x.get("margin_ratio_above_tier1", True),
        )
        return {"contracts_closed": closed}
    if _is_inverse(x) or ("contracts" in x and "contract_multiplier" not in x):
        return _okx_inverse(x)
    return _okx_linear(kind, {**x, "position_size": _okx_gross(x)})


def _okx_gross(x: Inputs) -> float:
    if "position_size" in x:
        return x["position_size"]
    return linear.base_of_contracts(x["contracts"], x["contract_multiplier"])


def _okx_inverse(x: Inputs) -> Answer:
    face = linear.signed_size(x["side"], _face(x))
    rate = x["maintenance_margin_rate"]
    fee = x.get("taker_fee_rate", x.get("liquidation_fee_rate", 0.0))
    mark = x.get("mark_price", x["entry_price"])
    margin = x.get("margin")
    if margin is None:
        margin = float(inverse.initial_margin(x["entry_price"], face, x["leverage"]))
    profit = float(inverse.unrealized_profit(x["entry_price"], face, mark))
    maintenance, ratio = commission.inverse_ratio(margin, face, x["entry_price"], mark, rate, fee)
    price = inverse.liquidation_price_with_divided_fee(x["entry_price"], face, margin, rate, fee)
    return {
        "margin": margin,
        "unrealized_pnl": profit,
        "maintenance_margin": maintenance,
        "margin_ratio": ratio,
        "liquidated": commission.is_liquidated_at_ratio(ratio),
        "liquidation_price": _price(float(price), face, x),
    }


def _okx_linear(kind: str, x: Inputs) -> Answer:
    size, rate = _size(x), x["maintenance_margin_rate"]
    if kind == "margin_ratio" and "liquidation_fee_rate" not in x:
        return _okx_unified_ratio(x, size)
    if kind == "margin_ratio":
        state = commission.fixed_margin_state(
            x["entry_price"], size, x["margin"], x["mark_price"], rate, x["liquidation_fee_rate"]
        )
        return {
            "unrealized_pnl": state.unrealized_profit,
            "margin_ratio": state.margin_ratio,
            "required_ratio": state.required_ratio,
            "liquidated": state.is_liquidated,
        }
    if "margin_ratio_reported" not in x and "equity" not in x:
        return _price_with_fee_at_mark(x)
    fee, mark = x.get("taker_fee_rate", 0.0), x["mark_price"]
    equity = x.get("equity")
    if equity is None:
        equity = commission.equity_from_reported_ratio(
            x["margin_ratio_reported"], size, mark, rate, fee
        )
    line = Requirement.with_fee_at_mark(rate, fee)
    maintenance = float(tiers.maintenance_at_rate(linear.value_at(mark, size), rate))
    answer: Answer = {
        "liquidation_price": _price(float(linear.trigger_price(mark, size, equity, line)), size, x),
        "maintenance_margin": maintenance,
        "equity": equity,
    }
    if "leverage" in x:
        answer["initial_margin"] = float(linear.initial_margin(mark, size, x["leverage"]))
    return answer


def _okx_unified_ratio(x: Inputs, size: float) -> Answer:
    mark = x["mark_price"]
    profit = float(linear.unrealized_profit(x.get("entry_price", mark), size, mark))
    margin = x.get("margin")
    if margin is None and "leverage" in x:
        margin = float(linear.initial_margin(x.get("entry_price", mark), size, x["leverage"]))
    value = linear.value_at(mark, size)
    maintenance = tiers.maintenance_at_rate(value, x["maintenance_margin_rate"])
    fee = tiers.maintenance_at_rate(value, x.get("taker_fee_rate", 0.0))
    equity = x["equity"] if "equity" in x else linear.isolated_margin_field(margin, profit)
    ratio = float(commission.margin_ratio_with_fee(equity, maintenance, fee))
    return {
        "margin": margin,
        "unrealized_pnl": profit,
        "maintenance_margin": float(maintenance),
        "margin_ratio": ratio,
        "liquidated": commission.is_liquidated_at_ratio(ratio),
    }


def _bitmex(kind: str, x: Inputs) -> Answer:
    if kind == "risk_limit":
        rates = tiers.rates_at_risk_limit(
            x["position_xbt"],
            x["base_risk_limit_xbt"],
            x["risk_step_xbt"],
            x["base_mm"],
            x["base_im"],
        )
        maintenance, initial = (float(rate) for rate in rates)
        return {
            "maintenance_margin_rate": maintenance,
            "initial_margin_rate": initial,
            "maintenance_margin_xbt": float(
                tiers.maintenance_at_rate(x["position_xbt"], maintenance)
            ),
            "initial_margin_xbt": float(tiers.maintenance_at_rate(x["position_xbt"], initial)),
        }
    if kind == "adl_fill":
        return _bitmex_adl(x)
    if kind == "unrealized_pnl":
        family, gross = (
            (inverse, x["contracts"]) if "contracts" in x else (linear, x["position_size"])
        )
        face = linear.signed_size(x["side"], gross)
        profit = float(family.unrealized_profit(x["entry_price"], face, _exit(x)))
        return {"pnl_xbt": profit, "unrealized_pnl": profit}
    return _bitmex_inverse(x) if "contracts" in x else _bitmex_linear(x)


def _bitmex_adl(x: Inputs) -> Answer:
    if "accounts" in x:
        accounts = x["accounts"]
        score = [one["score"] if "score" in one else _bitmex_score(one) for one in accounts]
        quantity = [one["quantity"] for one in accounts]
        names = [str(one["account"]) for one in accounts]
        answer: Answer = {
            "scores": dict(zip(names, score, strict=True)),
            "lights": dict(zip(names, adl.lights(score, quantity).tolist(), strict=True)),
        }
        if "liquidated_quantity" in x:
            closed = adl.fill_by_score(score, quantity, x["liquidated_quantity"])
            answer |= {
                "closed_quantity": dict(zip(names, closed.tolist(), strict=True)),
                "fill_price": x.get("bankruptcy_price"),
            }
        return answer
    cost, home = commission.execution_print(x["side"], x["contracts"], x["price"])
    return {"exec_cost_sat": cost, "home_notional_xbt": home}


def _bitmex_score(one: Inputs) -> float:
    gain = _first(one, "pnl_pct", "pnl_percentage", "profit_ratio")
    return float(adl.bitmex_score(gain, _first(one, "effective_leverage", "leverage")))


def _bitmex_inverse(x: Inputs) -> Answer:
    contracts = linear.signed_size(x["side"], x["contracts"])
    entry, leverage, rate = x["entry_price"], x["leverage"], x.get("maintenance_margin_rate", 0.0)
    paid = x.get("funding_rate", 0.0)
    prices = commission.liquidation_price_from_integer_cost(entry, contracts, leverage, rate, paid)
    cost = float(commission.integer_cost(entry, abs(contracts)))
    margins = commission.reserved_margin(
        cost, x["side"], leverage, rate, x.get("taker_fee_rate", 0.0), paid
    )
    answer: Answer = {
        "position_cost_sat": cost,
        "position_initial_margin_sat": float(rounding.round_half_up(margins.initial_margin)),
        "position_commission_sat": float(rounding.round_half_up(margins.commission)),
        "position_maintenance_sat": float(rounding.round_half_up(margins.maintenance)),
        "position_margin_sat": float(rounding.round_half_up(margins.position_margin)),
        "bankruptcy_price": _price(prices[0], contracts, x),
        "liquidation_price": _price(prices[1], contracts, x),
    }
    if "mark_price" in x:
        profit = commission.integer_unrealized_profit(entry, contracts, x["mark_price"])
        answer |= {
            "mark_value_sat": float(commission.integer_cost(x["mark_price"], abs(contracts))),
            "unrealized_pnl_sat": float(profit),
        }
    return answer


def _bitmex_linear(x: Inputs) -> Answer:
    size, rate, entry = _size(x), x.get("maintenance_margin_rate", 0.0), x["entry_price"]
    cost = float(linear.value_at(entry, size))
    margins = commission.reserved_margin(
        cost,
        x["side"],
        x["leverage"],
        rate,
        x.get("taker_fee_rate", 0.0),
        x.get("funding_rate", 0.0),
    )
    bankrupt, price = commission.liquidation_price_from_cost(
        cost, size, margins.initial_margin, margins.maintenance, margins.commission
    )
    answer: Answer = {
        "initial_margin": margins.initial_margin,
        "position_cost": cost,
        "position_commission": margins.commission,
        "position_maintenance": margins.maintenance,
        "position_margin": margins.position_margin,
        "bankruptcy_price": _price(bankrupt, size, x),
        "liquidation_price": _price(price, size, x),
    }
    if "mark_price" in x:
        profit = float(linear.unrealized_profit(entry, size, x["mark_price"]))
        answer |= {
            "unrealized_pnl": profit,
            "mark_value": float(linear.value_at(x["mark_price"], size)),
        }
    return answer


def _deribit(kind: str, x: Inputs) -> Answer:
    if kind == "portfolio_margin_component":
        return _deribit_component(x)
    if "right" in x:
        amount = x.get("amount", x.get("position_size", x.get("contracts", 1)))
        held = options.deribit_option(
            x["right"],
            x["strike"],
            x["underlying_price"],
            x["mark_price"],
            linear.signed_size(x.get("side", "short"), abs(amount)),
        )
        margin = {"initial_margin": held.initial, "maintenance_margin": held.maintenance}
        return margin | {"margin": margin[kind]}
    size = x["position_size"]
    rate = float(tiers.rates_linear_in_size(size, x["base_rate"], x.get("rate_per_unit", 0.0)))
    value = linear.value_at(x.get("price", 1), size)
    return {"margin": float(tiers.maintenance_at_rate(value, rate, 0.0)), "rate": rate}


def _deribit_component(x: Inputs) -> Answer:
    if "option_positions" in x:
        charge = span.option_short_charge(x["option_positions"], x["rate"])
        return {"contingency": charge, "contingency_btc": charge}
    if "long_btc" in x:
        charge = span.futures_offset_charge(x["long_btc"], x["short_btc"], x["rate"])
        return {"contingency_btc": charge, "contingency": charge}
    shock = span.volatility_shock(
        x["base_shock"],
        x["days_to_expiry"],
        **{name: x[name] for name in ("reference_days", "power") if name in x},
    )
    return {"vol_shock": float(shock)}


def _hyperliquid(kind: str, x: Inputs) -> Answer:
    size = _size(x)
    floors, caps = x.get("tier_floors", [0.0]), x.get("tier_max_leverages")
    if "tiers" in x:
        floors, caps, *_ = zip(*x["tiers"], strict=True)
    table = tiers.TierTable.from_leverage(floors, caps or [x["max_leverage"]])
    if "account_value" in x:
        price = tiered.cross_liquidation_price_of_one(
            x["mark_price"], size, x["account_value"], table, x.get("total_maintenance_margin")
        )
    else:
        price = tiered.liquidation_price_of_one(x["entry_price"], size, x["margin"], table)
    return {"liquidation_price": rounding.printed_price(price)}


# ---------------------------------------------------------------- on-chain perpetuals


def _subaccount(x: Inputs) -> tuple[dydx.Subaccount, list[str]]:
    markets = list(x["positions"])
    account = dydx.Subaccount(
        quote_balance=x["quote_balance"],
        size_base=np.array([x["positions"][m] for m in markets], dtype=float),
        oracle_price=np.array([x["oracle_prices"][m] for m in markets], dtype=float),
        maintenance_fraction=_by_market(x["maintenance_margin_fraction"], markets),
    )
    return account, markets


def _by_market(value: Any, markets: list[str]) -> Any:
    return np.array([value[m] for m in markets]) if isinstance(value, dict) else value


def _dydx(kind: str, x: Inputs) -> Answer:
    return _DYDX[kind](x)


def _dydx_initial(x: Inputs) -> Answer:
    caps = (x["open_interest_notional"], x["open_interest_lower_cap"], x["open_interest_upper_cap"])
    return {
        "adjusted_initial_margin_ppm": dydx.adjusted_initial_ppm(x["initial_margin_ppm"], *caps),
        "initial_margin_quote_quantums": dydx.initial_margin_quantums(
            x.get("position_quote_quantums", 0), x["initial_margin_ppm"], *caps
        ),
    }


def _dydx_bankruptcy(x: Inputs) -> Answer:
    if "position_quantums" in x:
        quantums = dydx.single_position_bankruptcy_quantums(
            x["quote_balance_quantums"], x["position_quantums"], x["delta_quantums"]
        )
        return {"bankruptcy_quote_quantums": quantums}
    account, markets = _subaccount(x)
    market = markets.index(x.get("market", markets[0]))
    delta = x.get("delta", -float(account.size_base[market]))
    return {"bankruptcy_quote": account.bankruptcy_quote(market, delta)}


def _dydx_fillable(x: Inputs) -> Answer:
    account, markets = _subaccount(x)
    limits = [x[name] for name in ("bankruptcy_adjustment", "spread_to_mmr_ratio") if name in x]
    price = account.fillable_price(markets.index(x.get("market", markets[0])), *limits)
    return {"fillable_price": price}


def _dydx_insurance(x: Inputs) -> Answer:
    account, markets = _subaccount(x)
    market = markets.index(x.get("market", markets[0]))
    delta = x.get("delta", -float(account.size_base[market]))
    change = account.insurance_fund_delta(market, delta, x["fill_price"], x["max_liquidation_fee"])
    return {"insurance_fund_delta": change}


def _dydx_deleveraging(x: Inputs) -> Answer:
    after = dydx.deleverage(
        x["bankrupt_position"],
        x.get("bankrupt_quote", 0.0),
        x["offset_position"],
        x.get("offset_quote", 0.0),
        x["bankruptcy_price"],
    )
    return {
        "offset_quote_after": after.offset_quote,
        "offset_position_after": after.offset_position,
        "bankrupt_quote_after": after.bankrupt_quote,
        "bankrupt_position_after": after.bankrupt_position,
        "closed_quantity": after.matched_base,
    }


def _dydx_liquidatable(x: Inputs) -> Answer:
    account, _ = _subaccount(x)
    return {
        "liquidatable": account.is_liquidatable,
        "total_net_collateral": account.net_collateral,
        "maintenance_margin": account.maintenance_margin,
    }


_DYDX: dict[str, Callable[[Inputs], Answer]] = {
    "initial_margin": _dydx_initial,
    "maintenance_margin": lambda x: {
        "maintenance_margin_ppm": rounding.floor_ppm(
            x["initial_margin_ppm"], x["maintenance_fraction_ppm"]
        )
    },
    "bankruptcy_price": _dydx_bankruptcy,
    "fillable_price": _dydx_fillable,
    "insurance_fund_delta": _dydx_insurance,
    "deleveraging": _dydx_deleveraging,
    "liquidatable": _dydx_liquidatable,
    "liquidation_amount": lambda x: {
        "max_liquidatable_notional": float(
            dydx.max_liquidatable_notional(
                x["position_notional"], x["max_position_portion"], x["min_position_notional"]
            )
        )
    },
    "funding_clamp": lambda x: {
        "max_abs_funding_ppm": funding.max_abs_rate_ppm(
            x["clamp_factor_ppm"], x["initial_margin_ppm"], x["maintenance_fraction_ppm"]
        )
    },
}


def _drift(kind: str, x: Inputs) -> Answer:
    if kind in ("initial_margin", "maintenance_margin"):
        scaled = {
            "asset_weight": drift.asset_weight,
            "liability_weight": drift.liability_weight,
            "margin_ratio": drift.liability_weight,
        }
        return {
            name: float(weight(x[name], x.get("imf_factor", 0.0), x.get("size", 0.0)))
            for name, weight in scaled.items()
            if name in x
        }
    return _drift_fee(x) if kind == "liquidation_fee" else _drift_amount(x)


def _drift_sides(x: Inputs) -> tuple[tuple[float, float], tuple[float, float]]:
    return (
        (x["asset_weight"], x.get("asset_multiplier", 1.0)),
        (x["liability_weight"], x.get("liability_multiplier", 1.0)),
    )


def _drift_fee(x: Inputs) -> Answer:
    if "slots_elapsed" in x:
        fee = drift.liquidator_fee(
            x["base_fee"],
            x["max_fee"],
            x["slots_elapsed"],
            **{name: x[name] for name in ("grace_slots", "increase_per_slot") if name in x},
        )
        return {"liquidation_fee": fee}
    if "base_amount" in x:
        value = float(linear.value_at(x["oracle_price"], x["base_amount"]))
        fee = drift.perp_insurance_fee(
            x["margin_shortage"], x["margin_ratio"], x["liquidator_fee"], value, x["max_if_fee"]
        )
        return {"if_fee": fee}
    value = float(linear.value_at(x["liability_price"], x["token_amount"]))
    fee = drift.spot_insurance_fee(x["margin_shortage"], *_drift_sides(x), value, x["max_if_fee"])
    return {"if_fee": fee}


def _drift_amount(x: Inputs) -> Answer:
    if "margin_ratio" in x:
        base = drift.base_to_cover(
            x["margin_shortage"],
            x["margin_ratio"],
            x.get("liquidator_fee", 0.0),
            x.get("if_fee", 0.0),
            x["oracle_price"],
            x.get("quote_price", 1.0),
        )
        return {"base_to_close": float(base)}
    if "initial_pct" in x:
        share = drift.max_step_fraction(
            x["margin_shortage"],
            x["initial_pct"],
            x["slots_elapsed"],
            x["liquidation_duration_slots"],
            x.get("margin_already_freed", 0.0),
        )
        return {"max_pct": share}
    if "asset_value" in x:
        tokens = drift.liability_transfer_of_asset(
            x["asset_value"],
            x["liability_price"],
            x["asset_multiplier"],
            x["liability_multiplier"],
        )
        return {"liability_transfer": tokens}
    if "liability_weight" in x:
        tokens = drift.liability_transfer_to_cover(
            x["margin_shortage"], *_drift_sides(x), x.get("if_fee", 0.0), x["liability_price"]
        )
        return {"liability_transfer": tokens}
    return _drift_step(x)


def _drift_step(x: Inputs) -> Answer:
    step = drift.liquidation_step(
        (x["base"], x["quote_entry"]),
        x["oracle_price"],
        x["collateral"],
        (x["maintenance_ratio"], x.get("buffer", 0.0)),
        (x.get("liquidator_fee", 0.0), x.get("if_fee", 0.0)),
        x.get("max_pct", 1.0),
    )
    return asdict(step) | {"if_fee_paid": step.insurance_fee_paid}


def _gmx(kind: str, x: Inputs) -> Answer:
    if kind == "adl_rank":
        side = "long" if "long_size_usd" in x else "short"
        if f"{side}_pnl_usd" in x:
            factor = gmx.profit_factor(x[f"{side}_pnl_usd"], x["pool_value_usd"])
            enabled = gmx.deleveraging_is_enabled(factor, x["max_pnl_factor"])
            return {"adl_enabled": enabled, "pnl_factor": factor}
        factor = gmx.pool_profit_factor(
            x[f"{side}_size_usd"],
            x["entry_index_price"],
            x["index_price"],
            x["pool_value_usd"],
            side,
        )
        return {
            "adl_enabled": gmx.deleveraging_is_enabled(factor, x["max_pnl_factor"]),
            "pnl_factor": factor,
        }
    names = {
        "fees_usd": "fees_usd",
        "price_impact_usd": "price_impact_usd",
        "min_collateral_usd": "min_collateral_usd",
        "min_collateral_factor": "min_collateral_fraction",
        "max_price_impact_factor": "max_impact_fraction",
    }
    extra = {ours: x[theirs] for theirs, ours in names.items() if theirs in x}
    position = gmx.GmxPosition(
        side=x["side"],
        size_usd=x["size_usd"],
        entry_price=x["entry_index_price"],
        index_price=x["index_price"],
        collateral_amount=x["collateral_amount"],
        collateral_price=x["collateral_price"],
        **extra,
    )
    return {
        "liquidatable": position.is_liquidatable,
        "returned_collateral": position.returned_collateral,
        "remaining_collateral_usd": position.remaining_usd,
        "pnl_usd": position.profit_usd,
    }


def _perp_curie(kind: str, x: Inputs) -> Answer:
    if kind == "liquidation_fee":
        rules = _curie_rules(x)
        penalty = halving.curie_penalty(x["closed_notional"], rules, x.get("bad_debt", False))
        names = ("penalty", "insurance_fund_fee", "liquidator_fee")
        return dict(zip(names, penalty, strict=True))
    size = x["position_size"]
    if x.get("side") == "short":
        size = linear.signed_size("short", abs(size))
    done = halving.curie_liquidation(
        size, x["open_notional"], x["mark_price"], x["collateral"], _curie_rules(x)
    )
    return {
        "liquidatable": done.is_liquidatable,
        "closed_size": done.closed_size,
        "closed_notional": done.closed_notional,
        "penalty": done.penalty,
        "insurance_fund_fee": done.insurance_fee,
        "liquidator_fee": done.liquidator_fee,
        "realized_pnl": done.realized_profit,
        "liquidator_exchanged_quote": done.liquidator_quote,
        "bad_debt": done.has_bad_debt,
    }


def _curie_rules(x: Inputs) -> halving.CurieRules:
    names = {
        "mm_ratio": "maintenance_fraction",
        "penalty_ratio": "penalty_fraction",
        "insurance_share": "insurance_share",
        "min_full_value": "full_close_usd",
    }
    return halving.CurieRules(**{ours: x[theirs] for theirs, ours in names.items() if theirs in x})


def _squeeth(kind: str, x: Inputs) -> Answer:
    if kind == "health_factor":
        debt = halving.squeeth_debt_eth(
            x["short_power_units"],
            x["eth_price"],
            x.get("norm_factor", 1.0),
            **{name: x[name] for name in ("scale",) if name in x},
        )
        return {
            "safe": halving.squeeth_is_safe(x["collateral_eth"], debt),
            "debt_eth": debt,
        }
    done = halving.squeeth_liquidation(
        x["short_power_units"],
        x["power_price_eth"],
        x["collateral_eth"],
        **{name: x[name] for name in ("min_collateral_eth",) if name in x},
    )
    return {"units_liquidated": done.units_closed, "collateral_paid": done.collateral_paid}


def _vega(kind: str, x: Inputs) -> Answer:
    return _VEGA[kind](x)


def _vega_maintenance(x: Inputs) -> Answer:
    if "futures_margin" in x:
        margin = funding.funding_margin(
            x["futures_margin"], x["funding_payment"], x["position"], x["funding_factor"]
        )
        return {"margin": float(margin)}
    long, short = vega.riskiest_sides(x["open_volume"], x.get("buys", 0), x.get("sells", 0))
    factors = vega.RiskFactors(
        long=x.get("risk_factor_long", 0.0),
        short=x.get("risk_factor_short", 0.0),
        linear_slippage=x.get("linear_slippage_factor", 0.0),
    )
    need = vega.maintenance(
        x["open_volume"], x.get("buys", 0), x.get("sells", 0), x.get("mark_price", 1), factors
    )
    return {
        "riskiest_long": long,
        "riskiest_short": short,
        "maintenance_margin_long": need.long,
        "maintenance_margin_short": need.short,
        "maintenance_margin": need.position,
        "maintenance_margin_with_orders": need.with_orders,
        "order_margin": need.orders,
    }


def _vega_network(x: Inputs) -> Answer:
    states = vega.NetworkPosition().after([tuple(event) for event in x["events"]])
    return {"network_state": [[s.volume, s.realized, s.unrealized] for s in states]}


def _vega_funding(x: Inputs) -> Answer:
    payment = funding.twap_payment(
        x["s_twap"],
        x["f_twap"],
        x["interest_rate"],
        x["delta_t"],
        x["clamp_lower"],
        x["clamp_upper"],
    )
    return {"funding_payment": payment}


def _vega_isolated(x: Inputs) -> Answer:
    position = x.get("position", 0)
    held = vega.isolated_margin(x.get("average_entry_price", 0.0), position, x["margin_factor"])
    orders = vega.isolated_order_margin(
        position,
        [tuple(order) for order in x.get("buy_orders", [])],
        [tuple(order) for order in x.get("sell_orders", [])],
        x["margin_factor"],
    )
    return {"margin_account": held, "order_margin": orders}


_VEGA: dict[str, Callable[[Inputs], Answer]] = {
    "funding": _vega_funding,
    "initial_margin": _vega_isolated,
    "maintenance_margin": _vega_maintenance,
    "liquidation_amount": lambda x: {
        "disposal_volumes": vega.disposal_schedule(
            x["open_volume"],
            x["disposal_fraction"],
            x["full_disposal_size"],
            x["max_fraction_consumed"],
            x["book_side_volume"],
        )
    },
    "insurance_fund_delta": _vega_network,
}


# ---------------------------------------------------------------- lending and auctions


def _seizure(x: Inputs) -> Answer:
    unit = next((name.removeprefix("debt") for name in x if name in _DEBTS), "")
    done = lending.seizure_with_bonus(
        x[f"debt{unit}"],
        x["close_factor"],
        x["liquidation_bonus"],
        x.get(f"collateral{unit}", math.inf),
    )
    return {
        f"debt_repaid{unit}": done.debt_repaid,
        f"bonus{unit}": done.bonus,
        f"collateral_seized{unit}": done.collateral_seized,
    }


_DEBTS = ("debt_eth", "debt_usd", "debt_usdc", "debt_value", "debt_value_usd")


def _values(rows: list[Inputs], amount: str = "amount") -> np.ndarray:
    amounts = [row.get(amount, 0.0) for row in rows]
    return lending.asset_values(amounts, [row["price"] for row in rows])


def _aave_rules(x: Inputs) -> lending.AaveRules:
    if "max_close_factor_threshold_usd" in x:
        small = x["max_close_factor_threshold_usd"]
        return lending.AaveRules(version=x["version"], small_usd=small)
    return lending.AaveRules(version=x["version"])


def _aave_close_factor(x: Inputs) -> float:
    debt = x.get("debt_value_usd")
    if debt is None and "debts_usd" in x:
        debt = x["debts_usd"][x.get("target_debt_index", 0)]
    return lending.aave_close_factor(
        _aave_rules(x),
        x["health_factor"],
        x.get("collateral_value_usd", math.inf),
        math.inf if debt is None else debt,
    )


def _aave_v3(kind: str, x: Inputs) -> Answer:
    if kind == "health_factor":
        health = lending.health_factor(
            _values(x["collaterals"]),
            [c["liquidation_threshold"] for c in x["collaterals"]],
            _values(x.get("debts", [])),
        )
        return {"health_factor": lending.reported_health_factor(health)}
    if kind == "close_factor":
        return {"close_factor": _aave_close_factor(x)}
    if "debts_usd" in x:
        factor = x["close_factor"] if "close_factor" in x else _aave_close_factor(x)
        repay = lending.aave_max_repay(
            _aave_rules(x), factor, x["debts_usd"], x.get("target_debt_index", 0)
        )
        return {"max_repay_usd": repay}
    if "debt_to_cover" not in x:
        return _seizure(x)
    return lending.aave_seizure_integers(
        x["debt_to_cover"],
        x["collateral_balance"],
        (x["debt_price"], x["collateral_price"]),
        (x["debt_unit"], x["collateral_unit"]),
        x["liquidation_bonus_bps"],
        x.get("protocol_fee_bps", 0),
    )


def _compound_v2(kind: str, x: Inputs) -> Answer:
    if kind == "liquidation_amount" and "repay" in x:
        seized, kept = lending.compound_seize_tokens(
            x["repay"],
            x["liquidation_incentive"],
            (x["borrowed_price"], x["collateral_price"]),
            x["exchange_rate"],
            x.get("protocol_seize_share", 0.0),
        )
        return {"seize_tokens": seized, "liquidator_tokens": kept, "protocol_tokens": seized - kept}
    if kind == "liquidation_amount":
        return _seizure(x)
    markets = x["markets"]
    liquidity, shortfall = lending.account_liquidity(
        _values(markets, "supplied"),
        [m.get("collateral_factor", 0.0) for m in markets],
        _values(markets, "borrowed"),
        [m.get("entered", True) for m in markets],
    )
    return {"liquidity": liquidity, "shortfall": shortfall, "liquidatable": shortfall > 0}


def _compound_v3(kind: str, x: Inputs) -> Answer:
    if kind == "auction_price":
        out = lending.comet_collateral_for_base(
            x["base_amount"],
            x["collateral_price"],
            x["liquidation_factor"],
            x["store_front_price_factor"],
            x.get("base_price", 1.0),
        )
        return {"collateral_out": float(out)}
    values = _values(x["collaterals"])
    debt = float(lending.asset_values(_first(x, "debt", "borrow"), x.get("base_price", 1.0)))
    if kind == "initial_margin":
        factors = [c["borrow_collateral_factor"] for c in x["collaterals"]]
        covered = lending.comet_is_borrow_collateralized(debt, values, factors)
        return {"borrow_collateralized": covered}
    answer: Answer = {}
    factors = [c | x for c in x["collaterals"]]
    name = "liquidate_collateral_factor"
    if all(name in c for c in factors):
        each = [c.get(name, x.get(name)) for c in x["collaterals"]]
        answer["liquidatable"] = lending.comet_is_liquidatable(debt, values, each)
    if kind == "liquidation_amount":
        rates = [
            c.get("liquidation_factor", x.get("liquidation_factor", 1.0)) for c in x["collaterals"]
        ]
        done = lending.comet_absorb(debt, values, rates)
        answer |= asdict(done) | {"reserves_change": -done.reserves_loss}
    return answer


def _maker(kind: str, x: Inputs) -> Answer:
    if kind == "keeper_incentive":
        chost = x.get("chost")
        if chost is None:
            chost = maker.smallest_tab(x.get("dust", 0.0), x.get("chop", 1.0))
        paid = maker.keeper_incentive(
            x.get("tip", 0.0),
            x.get("chip", 0.0),
            x["tab"],
            float(lending.asset_values(x.get("lot", math.inf), x.get("price", 1.0))),
            chost,
            "redo" if x.get("redo", False) else "bark",
        )
        return {"incentive": paid}
    if kind in ("auction_price", "auction_reset"):
        return _maker_auction(x)
    run = _maker_take if "tab" in x else _maker_bark
    try:
        answer = run(x)
    except AuctionRefused:
        answer = {"reverts": True, "unsafe": True}
    return answer | {"reverted": answer["reverts"]}


def _maker_auction(x: Inputs) -> Answer:
    curve = {
        "duration_s": x.get("tau", float("nan")),
        "cut": x.get("cut", float("nan")),
        "step_s": x.get("step", float("nan")),
    }
    price = x.get("price")
    if price is None:
        price = float(auctions.auction_price(x["curve"], x["top"], x["seconds"], **curve))
    answer: Answer = {"price": price}
    if "tail" in x or "cusp" in x:
        answer["needs_reset"] = auctions.needs_reset(
            price, x["top"], x["seconds"], x.get("tail", math.inf), x.get("cusp", 0.0)
        )
    return answer


def _maker_bark(x: Inputs) -> Answer:
    done = maker.bark(
        x["ink"],
        x["art"],
        x.get("rate", 1.0),
        x["price"],
        maker.IlkRules(
            mat=x["mat"], **{name: x[name] for name in ("chop", "buf", "dust") if name in x}
        ),
        maker.Limits(**{name: x[name] for name in ("Hole", "Dirt", "hole", "dirt") if name in x}),
    )
    return asdict(done) | {"unsafe": done.is_unsafe, "reverts": not done.is_unsafe}


def _maker_take(x: Inputs) -> Answer:
    price = _first(x, "auction_price", "price")
    highest = _first(x, "max_price", "max") if "max" in x or "max_price" in x else math.inf
    done = maker.take(x["lot"], x["tab"], price, x["amt"], x.get("chost", 0.0), highest)
    return asdict(done) | {"reverts": False}


def _liquity(kind: str, x: Inputs) -> Answer:
    if kind == "stability_pool":
        pool = liquity.StabilityPool(
            **({"caller_fraction": x["gas_compensation"]} if "gas_compensation" in x else {})
        )
        for name, *values in x["events"]:
            pool = getattr(pool, name)(*values)
        return {"deposits": dict(pool.deposits), "eth_gains": dict(pool.gains)}
    if kind == "liquidation_fee":
        rate = (x["rate"],) if "rate" in x else ()
        paid = liquity.gas_compensation(x["collateral_eth"], *rate)
        return {"gas_compensation_eth": paid}
    if kind == "health_factor":
        return {"icr": liquity.collateral_ratio(x["collateral_eth"], x["price"], x["debt"])}
    action = liquity.liquidation_action(
        x["icr"],
        x["tcr"],
        x.get("stability_pool_covers_debt", True),
        *[x[name] for name in ("mcr", "ccr") if name in x],
    )
    return {"action": action, "liquidatable": action != "none"}


# ---------------------------------------------------------------- options and portfolios


def _reg_t(kind: str, x: Inputs) -> Answer:
    if kind == "liquidation_price":
        return _reg_t_call(x)
    if "legs" in x:
        legs = [
            options.OptionLeg(
                right=leg["right"], strike=leg["strike"], quantity=leg.get("quantity", 1)
            )
            for leg in x["legs"]
        ]
        unit = options.maximum_loss_at_expiry(legs)
    else:
        unit = options.reg_t_short_option(
            x["right"],
            x["strike"],
            x["underlying_price"],
            x["option_price"],
            options.broad_index_fraction(x.get("broad_index", False)),
        )
    total = options.contract_total(unit, x.get("contracts", 1), x.get("multiplier", 1))
    return {"margin": total}


def _reg_t_call(x: Inputs) -> Answer:
    rate = x["maintenance_rate"]
    shares = x.get("shares", 1)
    if "loan" in x:
        value = options.margin_call_value_long(x["loan"], rate)
    elif "short_value" in x:
        value = options.margin_call_value_short(x["short_value"], x["initial_margin"], rate)
    elif x.get("side") == "short":
        price = options.margin_call_value_short(x["entry_price"], x["initial_margin"], rate)
        return {"trigger_price": price, "trigger_value": options.contract_total(price, shares, 1)}
    else:
        price = options.margin_call_price_long(x["entry_price"], x["initial_margin"], rate)
        return {"trigger_price": price, "trigger_value": options.contract_total(price, shares, 1)}
    return {"trigger_value": value, "trigger_price": options.per_share(value, shares)}


def _span(kind: str, x: Inputs) -> Answer:
    if "positions" in x:
        risk = span.scan_risk(
            [p["quantity"] for p in x["positions"]], _unit_profits(x["positions"])
        )
        margin = span.span_requirement(
            risk,
            x.get("intra_commodity_charge", 0.0),
            x.get("inter_commodity_credit", 0.0),
            x.get("short_option_minimum", 0.0),
            x.get("net_option_value", 0.0),
        )
        return {"scan_risk": risk, "margin": margin}
    if "price_scan_range" in x:
        net, margin = span.net_futures_margin(
            x.get("long", 0), x.get("short", 0), x["price_scan_range"]
        )
        return {"net_position": net, "margin": margin}
    margin = options.futures_option_margin_before_span(
        x["futures_margin"], x["option_premium"], x.get("half_out_of_the_money", 0.0)
    )
    return {"margin": margin}


def _unit_profits(positions: list[Inputs]) -> np.ndarray:
    return np.array([p["pnl"] for p in positions], dtype=float)


def _dederi(kind: str, x: Inputs) -> Answer:
    profit = span.future_profit(
        x["index_price"],
        x["annual_rate"],
        x["days_to_expiry"],
        x["futures_size"],
        x["spot_move"],
    )
    return {"scenario_pnl": profit}


def _books(rows: list[Inputs]) -> list[derive_book.OptionBook]:
    return derive_book.group_by_expiry(
        [o["seconds_to_expiry"] for o in rows],
        [o["strike"] for o in rows],
        [o["amount"] for o in rows],
        [o["vol"] for o in rows],
        [o["right"] for o in rows],
    )


def _confidence(seconds: float, expiry: Inputs, rows: list[Inputs]) -> float:
    feeds = [expiry.get("forward_confidence", 1.0), expiry.get("rate_confidence", 1.0)]
    feeds += [o.get("vol_confidence", 1.0) for o in rows if o["seconds_to_expiry"] == seconds]
    return derive_book.least_confidence(feeds)


def _derive_pmrm(kind: str, x: Inputs) -> Answer:
    rows = x.get("options", [])
    books = _books(rows)
    by_time = {e["seconds_to_expiry"]: e for e in x.get("expiries", [])}
    expiries = []
    for book in books:
        one = by_time[book.seconds_to_expiry]
        expiries.append(
            derive_book.Expiry(
                forward_variable=one["forward_variable"],
                forward_fixed=one.get("forward_fixed", 0.0),
                rate=one.get("rate", 0.0),
                confidence=_confidence(book.seconds_to_expiry, one, rows),
            )
        )
    names = {
        "stable_price": "stable_price",
        "perp_price": "perp_price",
        "spot_confidence": "spot_confidence",
        "perp_confidence": "perp_confidence",
        "cash": "cash",
        "perp_position": "perp_position",
        "base_position": "base_position",
        "unrealized_perp_pnl": "unrealized_perp",
        "unrealized_funding": "unrealized_funding",
    }
    account = derive_portfolio.PortfolioAccount(
        spot_price=x["spot_price"],
        books=books,
        expiries=expiries,
        **{ours: x[theirs] for theirs, ours in names.items() if theirs in x},
    )
    margin = derive_portfolio.portfolio_margin(account)
    return {
        "initial_margin": margin.initial,
        "maintenance_margin": margin.maintenance,
        "mark_to_market": margin.mark_to_market,
    }


def _derive_srm(kind: str, x: Inputs) -> Answer:
    markets = []
    for name, m in x["markets"].items():
        rows = [o for o in x.get("options", []) if o["underlying"] == name]
        books = _books(rows)
        ours = [e for e in x.get("expiries", []) if e["underlying"] == name]
        by_time = {e["seconds_to_expiry"]: e for e in ours}
        expiries = [by_time[book.seconds_to_expiry] for book in books]
        plain = ("perp_price", "spot_confidence", "perp_confidence", "perp_position")
        plain += ("perp_entry_price", "base_position", "settlement_price")
        markets.append(
            derive_standard.StandardMarket(
                spot_price=m["spot_price"],
                unpaid_funding=m.get("funding_index", 0.0) - m.get("account_funding_index", 0.0),
                books=books,
                forwards=[e["forward_price"] for e in expiries],
                confidences=[
                    _confidence(book.seconds_to_expiry, e, rows)
                    for book, e in zip(books, expiries, strict=True)
                ],
                **{field: m[field] for field in plain if field in m},
            )
        )
    margin = derive_standard.standard_margin(
        markets, x.get("cash", 0.0), x.get("stable_price", 1.0)
    )
    return {
        "initial_margin": margin.initial,
        "maintenance_margin": margin.maintenance,
        "mark_to_market": margin.mark_to_market,
    }


def _derive_auction(kind: str, x: Inputs) -> Answer:
    value, maintenance = x["mark_to_market"], x["maintenance_margin"]
    if kind == "liquidation_fee":
        buffer = (x["buffer_margin_fraction"],) if "buffer_margin_fraction" in x else ()
        fee = auctions.start_fee(value, maintenance, x["fee_rate"], *buffer)
        return {"liquidation_fee": fee}
    if value <= 0:
        bid = auctions.insolvent_bid(
            value,
            maintenance,
            x["seconds_since_start"],
            x.get("insolvent_length_s", auctions.INSOLVENT_LENGTH_S),
            x.get("fraction_requested", 1.0),
        )
    else:
        names = {
            "starting_mtm_fraction": "start",
            "fast_cutoff_fraction": "cutoff",
            "fast_length_s": "fast_s",
            "slow_length_s": "slow_s",
        }
        schedule = auctions.DiscountSchedule(
            **{ours: x[theirs] for theirs, ours in names.items() if theirs in x}
        )
        bid = auctions.solvent_bid(
            value,
            maintenance,
            float(schedule.at(x["seconds_since_start"])),
            x.get("fraction_requested", 1.0),
            x.get("reserved_cash", 0.0),
            x.get("buffer_margin_fraction", 0.2),
        )
    return asdict(bid) | {"bid_price": bid.price}


def _us_mwcb(kind: str, x: Inputs) -> Answer:
    declines = (x["levels"],) if "levels" in x else ()
    answer: Answer = {
        "trigger_levels": breakers.market_wide_levels(x["prior_close"], *declines).tolist()
    }
    if "index" in x:
        halt = breakers.market_wide_halt(
            x["index"],
            x["prior_close"],
            dt.time.fromisoformat(x.get("eastern_time", "12:00")),
            frozenset(x.get("levels_used", ())),
        )
        answer |= {"level": halt.level, "halt_minutes": halt.minutes}
    return answer


ENGINES: dict[str, Callable[[str, Inputs], Answer]] = {
    "aave_v2": lambda kind, x: _seizure(x),
    "aave_v3": _aave_v3,
    "binance_coinm": _binance_coinm,
    "binance_usdm": _binance_usdm,
    "bitmex": _bitmex,
    "bybit_inverse": _bybit_inverse,
    "bybit_linear": _bybit_linear,
    "compound_v2": _compound_v2,
    "compound_v3": _compound_v3,
    "dederi_pm": _dederi,
    "deribit": _deribit,
    "derive_auction": _derive_auction,
    "derive_pmrm": _derive_pmrm,
    "derive_srm": _derive_srm,
    "drift": _drift,
    "dydx_v4": _dydx,
    "edgex": _edgex,
    "gate": _gate,
    "gmx_v2": _gmx,
    "hyperliquid": _hyperliquid,
    "kucoin_linear": _kucoin,
    "liquity": _liquity,
    "maker_liq2": _maker,
    "mcs_inverse": _mcs_inverse,
    "okx": _okx,
    "perp_curie": _perp_curie,
    "phemex": _phemex,
    "reg_t": _reg_t,
    "span": _span,
    "squeeth": _squeeth,
    "us_mwcb": _us_mwcb,
    "vega": _vega,
}
