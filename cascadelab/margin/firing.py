"""What a venue closes when its rule fires: at one set of marks, and along a path of prices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.errors import ParameterError
from cascadelab.ledger import Ledger
from cascadelab.margin import close
from cascadelab.margin.accounts import Marks, is_cross
from cascadelab.margin.rounding import is_triggered
from cascadelab.units import FloatArray

if TYPE_CHECKING:
    from cascadelab.margin.rules import ContractRules

__all__ = ["close_positions", "closed_quantity", "flow_along_path", "static_tranches"]

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class _State:
    """Positions about to be closed, one row each: arrays of shape (n_hit,)."""

    size: FloatArray
    mark: FloatArray
    equity: FloatArray
    notional: FloatArray
    maintenance: FloatArray
    is_cooling: BoolArray


def close_positions(
    rules: ContractRules, ledger: Ledger, marks: Marks, is_cooling: npt.ArrayLike = False
) -> pl.DataFrame:
    """Quantity closed of every position at some marks, under the venue's close rule.

    Parameters
    ----------
    rules : ContractRules
    ledger : Ledger
    marks : float, mapping of market to price, or ndarray of shape (n_positions,)
    is_cooling : array_like of bool of shape (n_positions,)
        Accounts that had their first tranche (Hyperliquid): what follows is the whole.

    Returns
    -------
    polars.DataFrame
        ``account``, ``market``, ``is_liquidated``, ``closed_base`` and ``remaining_base``
        (signed like the position), ``bankruptcy_price`` (limit of the closing order),
        ``deficit`` (equity below zero now, settlement units, not negative; a cross account's is
        shared by maintenance among its positions and adds up to it once), ``taken_by``
        (``"backstop_vault"`` where it takes over, else the first stage of the waterfall) and
        ``cooldown_s`` before the account may be liquidated again.
    """
    table = rules.evaluate(ledger, marks)
    hit = table["is_liquidatable"].to_numpy()
    size = ledger.size_base
    equity = _own_equity(table)
    state = _State(
        size=size[hit],
        mark=table["mark_price"].to_numpy()[hit],
        equity=equity[hit],
        notional=table["notional"].to_numpy()[hit],
        maintenance=table["maintenance_margin"].to_numpy()[hit],
        is_cooling=np.broadcast_to(np.asarray(is_cooling, dtype=bool), size.shape)[hit],
    )
    closed = np.zeros_like(size)
    cooling = np.zeros_like(size)
    rows = np.flatnonzero(hit)
    part = Ledger(ledger.positions[rows.tolist()], ledger.collateral)
    quantity = _closed(rules, part, state)
    closed[hit] = np.sign(state.size) * quantity
    is_partial = quantity < np.abs(state.size)
    cooling[hit] = np.where(is_partial, float(rules.record.close.get("cooldown_s", 0.0)), 0.0)
    first = rules.record.waterfall[0] if rules.record.waterfall else "book"
    takers = np.full(size.size, "", dtype=object)
    vaulted = _is_vaulted(rules, state)
    takers[hit] = np.where(vaulted, "backstop_vault", first)
    return pl.DataFrame(
        {
            "account": ledger.positions["account"],
            "market": ledger.positions["market"],
            "is_liquidated": hit,
            "closed_base": closed,
            "remaining_base": size - closed,
            "bankruptcy_price": table["bankruptcy_price"],
            "deficit": np.where(hit, np.maximum(-equity, 0.0), 0.0),
            "taken_by": pl.Series(takers.tolist(), dtype=pl.String),
            "cooldown_s": cooling,
        }
    )


def _own_equity(table: pl.DataFrame) -> FloatArray:
    """Equity of each row; a cross account's is shared out by maintenance, so that it adds up."""
    equity, need = table["equity"].to_numpy(), table["maintenance_margin"].to_numpy()
    ratio = table["margin_to_liquidation_ratio"].to_numpy()
    is_shared = (table["mode"] == "cross").to_numpy() & np.isfinite(ratio)
    return np.where(is_shared, np.where(is_shared, ratio, 0.0) * need, equity)


def _is_vaulted(rules: ContractRules, state: _State) -> BoolArray:
    fraction = rules.record.close.get("backstop_fraction")
    if fraction is None:
        return np.zeros(state.size.shape, dtype=bool)
    return close.needs_backstop(state.equity, state.maintenance, float(fraction))


def closed_quantity(rules: ContractRules, ledger: Ledger, marks: Marks) -> FloatArray:
    """Signed quantity closed of every position, shape (n_positions,), see `close_positions`."""
    return close_positions(rules, ledger, marks)["closed_base"].to_numpy()


def _closed(rules: ContractRules, part: Ledger, state: _State) -> FloatArray:
    """Unsigned quantity closed of each liquidated position."""
    rule = rules.record.close
    kind = str(rule.get("kind", "whole"))
    gross = np.abs(state.size)
    if kind == "tranche":
        quantity = close.closed_by_tranche(
            gross,
            state.notional / gross,
            float(rule["cut_notional"]),
            float(rule["first_fraction"]),
            state.is_cooling,
        )
        return np.where(_is_vaulted(rules, state), gross, quantity)
    if kind == "step_down":
        quantity = _stepped_down(rules, part, state, int(rule["n_steps"]))
        return np.where(state.equity > _least_equity(rules, part, state), quantity, gross)
    if kind == "to_target":
        return _to_target(rules, part, state, float(rule["buffer_fraction"]))
    if kind == "half":
        rate = float(rules.record.default_maintenance_fraction or 0.0)
        ratio = state.equity / state.notional
        cut = float(rule["full_close_notional"])
        return close.closed_by_half(gross, ratio, rate, state.notional, cut)
    return gross


def _least_equity(rules: ContractRules, part: Ledger, state: _State) -> FloatArray:
    """Equity at or below which a step-down venue takes the whole position over."""
    least = np.zeros_like(state.size)
    if not rules.record.close.get("full_below_first_tier", False):
        return least
    for rule, rows in rules.rules_by_market(part):
        rate, _ = rule.maintenance_rate(np.zeros_like(least)[rows], np.zeros_like(least)[rows])
        least[rows] = state.notional[rows] * (rate + rules.record.taker_fee_fraction)
    return least


def _stepped_down(rules: ContractRules, part: Ledger, state: _State, n_steps: int) -> FloatArray:
    quantity = np.abs(state.size)
    column = part.positions["market"]
    for name in part.markets:
        rows = (column == name).to_numpy()
        rule = rules.rate_rule(name)
        gross, value = quantity[rows], state.notional[rows]
        if rule.table is not None:
            quantity[rows] = close.closed_by_step_down(gross, value / gross, rule.table, n_steps)
        elif rule.convention == "risk_limit":
            base, step = rule.numbers[0], rule.numbers[1]
            k = np.maximum(np.ceil((value - base) / step - 1e-12), 0.0)
            limit = base + np.maximum(k - n_steps, 0.0) * step
            quantity[rows] = np.where(k == 0, gross, gross * (1.0 - limit / value))
    return quantity


def _to_target(rules: ContractRules, part: Ledger, state: _State, buffer: float) -> FloatArray:
    """Least quantity whose closing at the mark restores maintenance plus buffer, by bisection."""
    fee = rules.record.liquidation_fee_fraction
    gross, value = np.abs(state.size), state.notional
    sizes = rules.tier_size(gross, value)

    def slack(fraction: FloatArray) -> FloatArray:
        left = value * (1.0 - fraction)
        need = np.zeros_like(left)
        for rule, rows in rules.rules_by_market(part):
            rate, deduction = rule.maintenance_rate(left[rows], (sizes * (1 - fraction))[rows])
            need[rows] = left[rows] * (rate + buffer + rules.record.fee_at_mark) - deduction
        return np.asarray(state.equity - fee * value * fraction - need)

    low, high = np.zeros_like(gross), np.ones_like(gross)
    is_hopeless = slack(high) <= 0
    for _ in range(60):
        middle = 0.5 * (low + high)
        is_enough = slack(middle) >= 0
        high = np.where(is_enough, middle, high)
        low = np.where(is_enough, low, middle)
    return np.where(is_hopeless, gross, gross * high)


def flow_along_path(
    rules: ContractRules, ledger: Ledger, path: npt.ArrayLike, *, fee_fraction: float = 0.0
) -> pl.DataFrame:
    """Forced flow of isolated positions along a path of one market's marks, without impact.

    Every price applies the close rule once to each position; what is closed is filled at that
    price, its profit and fee go to the margin, the rest lives on.

    Parameters
    ----------
    rules : ContractRules
    ledger : Ledger
        Isolated positions of one market.
    path : array_like of shape (n_prices,)
        Marks in order of time, positive.
    fee_fraction : float
        Fee over closed value, taken from the margin.

    Returns
    -------
    polars.DataFrame
        One row per price: ``mark_price``, ``closed_base`` (unsigned, at this price),
        ``cumulative_base``, ``n_liquidated`` and ``deficit`` (losses beyond margin of positions
        closed whole, settlement units).

    Raises
    ------
    ParameterError
        If a position is in cross margin, or the ledger holds several markets.
    """
    if is_cross(ledger) is not None or len(ledger.markets) > 1:
        raise ParameterError(
            f"The ledger holds {len(ledger.markets)} markets or cross positions; expected isolated "
            f"positions of one market. Call ledger.market(...) and keep mode 'isolated'."
        )
    lenient = rules.without_leverage_caps()
    book = _Book(lenient, ledger)
    rows = [book.step(float(price), fee_fraction) for price in np.asarray(path, dtype=np.float64)]
    frame = pl.DataFrame(
        rows,
        schema={
            "mark_price": pl.Float64,
            "closed_base": pl.Float64,
            "n_liquidated": pl.Int64,
            "deficit": pl.Float64,
        },
        orient="row",
    )
    total = pl.col("closed_base").cum_sum().alias("cumulative_base")
    return frame.with_columns(total).select(
        "mark_price", "closed_base", "cumulative_base", "n_liquidated", "deficit"
    )


class _Book:
    """Open isolated positions during a path; the only mutable state here."""

    def __init__(self, rules: ContractRules, ledger: Ledger) -> None:
        self.rules = rules
        self.positions = ledger.positions.with_columns(pl.lit(False).alias("is_cooling"))

    def step(self, price: float, fee_fraction: float) -> tuple[float, float, int, float]:
        """Apply the close rule at one price."""
        if self.positions.is_empty():
            return price, 0.0, 0, 0.0
        ledger = Ledger(self.positions)
        mark = np.full(ledger.n_positions, price)
        profit = self.rules.unrealized_profit(ledger, mark)
        need = self.rules.maintenance_margin(ledger, mark)
        equity = ledger.margin_quote + profit
        value = self.rules.notional(ledger, mark)
        scale = value + np.abs(ledger.margin_quote)
        hit = is_triggered(equity, need, scale, is_strict=self.rules.record.is_strict)
        if not hit.any():
            return price, 0.0, 0, 0.0
        rows = np.flatnonzero(hit)
        state = _State(
            size=ledger.size_base[hit],
            mark=mark[hit],
            equity=equity[hit],
            notional=value[hit],
            maintenance=need[hit],
            is_cooling=self.positions["is_cooling"].to_numpy()[hit],
        )
        quantity = _closed(self.rules, Ledger(self.positions[rows.tolist()]), state)
        share = np.minimum(quantity / np.abs(state.size), 1.0)
        kept = profit[hit] * share - fee_fraction * value[hit] * share
        margin = np.maximum(ledger.margin_quote[hit] + kept, 0.0)
        is_whole = share >= 1.0 - 1e-12
        deficit = float(np.maximum(-equity[hit], 0.0)[is_whole].sum())
        self._write(rows, np.where(is_whole, 0.0, state.size * (1.0 - share)), margin)
        return price, float(quantity.sum()), int(hit.sum()), deficit

    def _write(self, rows: npt.NDArray[np.int64], size: FloatArray, margin: FloatArray) -> None:
        sizes = self.positions["size_base"].to_numpy().copy()
        margins = self.positions["margin_quote"].to_numpy().copy()
        cooling = self.positions["is_cooling"].to_numpy().copy()
        sizes[rows], margins[rows], cooling[rows] = size, margin, True
        self.positions = self.positions.with_columns(
            pl.Series("size_base", sizes),
            pl.Series("margin_quote", margins),
            pl.Series("is_cooling", cooling),
        ).filter(pl.col("size_base") != 0)


def static_tranches(
    rules: ContractRules, ledger: Ledger, max_steps: int = 32, fill_at: str = "trigger"
) -> pl.DataFrame:
    """Slices of isolated positions with the price at which each is closed.

    Each slice is filled at its own trigger price or at bankruptcy, so that the thresholds of
    what remains are known before any price moves: extra rows instead of a heap.

    Parameters
    ----------
    rules : ContractRules
        Whole, step-down and tranche rules are exact; others give one slice per position.
    ledger : Ledger
        Isolated positions.
    max_steps : int
        Most slices per position; the last closes what is left.
    fill_at : {"trigger", "bankruptcy"}
        At bankruptcy (BitMEX, Bybit) what remains keeps its margin per unit; at the trigger it
        keeps all the equity.

    Returns
    -------
    polars.DataFrame
        ``row`` (of the ledger), ``account``, ``market``, ``size_base`` (signed slice),
        ``trigger_price`` (NaN where never) and ``step``. Slices add up to the position.
    """
    if fill_at not in ("trigger", "bankruptcy"):
        raise ParameterError.unknown("fill_at", fill_at, ("trigger", "bankruptcy"))
    lenient = rules.without_leverage_caps()
    positions = ledger.positions.with_row_index("row")
    found: list[pl.DataFrame] = []
    is_exact = rules.record.close.get("kind") in ("tranche", "step_down")
    for step in range(max_steps):
        part = Ledger(positions)
        price = lenient.liquidation_price(part)
        closed = np.abs(part.size_base)
        if is_exact and step < max_steps - 1:
            closed = _slice(lenient, part, price, step)
        signed = np.sign(part.size_base) * closed
        found.append(
            positions.select("row", "account", "market").with_columns(
                pl.Series("size_base", signed),
                pl.Series("trigger_price", price),
                pl.lit(step).alias("step"),
            )
        )
        if fill_at == "trigger":
            positions = _after_slice(lenient, part, price, signed)
        else:
            positions = _after_slice_at_bankruptcy(part, signed)
        if positions.is_empty():
            break
    return pl.concat(found).sort("row", "step")


def _slice(rules: ContractRules, part: Ledger, price: FloatArray, step: int) -> FloatArray:
    gross = np.abs(part.size_base)
    is_known = np.isfinite(price) & (price > 0)
    mark = np.where(is_known, price, part.entry_price)
    value = rules.notional(part, mark)
    need = rules.maintenance_margin(part, mark)
    state = _State(
        size=part.size_base,
        mark=mark,
        equity=need,
        notional=value,
        maintenance=need,
        is_cooling=np.full(gross.shape, step > 0),
    )
    return np.where(is_known, _closed(rules, part, state), gross)


def _after_slice(
    rules: ContractRules, part: Ledger, price: FloatArray, signed: FloatArray
) -> pl.DataFrame:
    left = part.size_base - signed
    is_open = np.abs(left) > 1e-12 * np.abs(part.size_base)
    mark = np.where(np.isfinite(price) & (price > 0), price, part.entry_price)
    equity = part.margin_quote + rules.unrealized_profit(part, mark)
    return part.positions.with_columns(
        pl.Series("size_base", np.where(is_open, left, 1.0)),
        pl.Series("entry_price", mark),
        pl.Series("margin_quote", np.maximum(equity, 0.0)),
    ).filter(pl.Series(is_open))


def _after_slice_at_bankruptcy(part: Ledger, signed: FloatArray) -> pl.DataFrame:
    left = part.size_base - signed
    is_open = np.abs(left) > 1e-12 * np.abs(part.size_base)
    share = np.where(is_open, left / part.size_base, 1.0)
    return part.positions.with_columns(
        pl.Series("size_base", part.size_base * share),
        pl.Series("margin_quote", part.margin_quote * share),
    ).filter(pl.Series(is_open))
