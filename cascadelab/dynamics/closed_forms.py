"""Answers of the loop in time that need no simulation; the simulation is tested on them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl

from cascadelab.errors import ParameterError
from cascadelab.units import Side

__all__ = [
    "ForcedSale",
    "Hunt",
    "backlog_rate",
    "check_interval_rounds",
    "halted_move",
    "has_second_round",
    "hunting_profit",
    "optimal_forced_sale",
    "ramp_amplification",
    "residual_impact",
]


def residual_impact(*, after_s: float, sold_for_s: float, exponent: float) -> float:
    r"""Impact left some time after selling at a constant rate, over its peak; power law.

    Parameters
    ----------
    after_s : float
        :math:`\tau`, seconds since the last sale, at least 0.
    sold_for_s : float
        :math:`T`, length of the sale, seconds, positive.
    exponent : float
        :math:`\gamma` of the kernel :math:`t^{-\gamma}`, in (0, 1).

    Returns
    -------
    float
        :math:`(1+\tau/T)^{1-\gamma}-(\tau/T)^{1-\gamma}`.

    Examples
    --------
    >>> round(residual_impact(after_s=60.0, sold_for_s=60.0, exponent=0.5), 5)
    0.41421
    """
    if not (after_s >= 0 and sold_for_s > 0 and 0 < exponent < 1):
        raise ParameterError(
            f"after_s is {after_s!r}, sold_for_s {sold_for_s!r}, exponent {exponent!r}; expected "
            f"at least 0, positive, and in (0, 1). Correct the one out of range."
        )
    ratio = after_s / sold_for_s
    return float((1.0 + ratio) ** (1.0 - exponent) - ratio ** (1.0 - exponent))


@dataclass(frozen=True, kw_only=True, slots=True)
class ForcedSale:
    """Cheapest way to sell a quantity in a given time against a book that refills.

    Parameters
    ----------
    block_base : float
        Sold at the start, and again at the end, base units.
    rate_base_per_s : float
        Sold per second between.
    cost_quote : float
        Transient cost.
    cost_at_once_quote : float
        Cost of selling everything in one block.
    """

    block_base: float
    rate_base_per_s: float
    cost_quote: float
    cost_at_once_quote: float


def optimal_forced_sale(
    *, quantity_base: float, horizon_s: float, slope_per_base: float, decay_per_s: float
) -> ForcedSale:
    r"""Obizhaeva-Wang schedule: a block, a constant rate, a block.

    Parameters
    ----------
    quantity_base : float
        X, base units, positive.
    horizon_s : float
        T, seconds, at least 0.
    slope_per_base : float
        Transient slope :math:`\kappa` of a flat book, quote per base per base unit, positive.
    decay_per_s : float
        Resilience :math:`\beta`, per second, at least 0.

    Returns
    -------
    ForcedSale
        Blocks :math:`X/(\beta T+2)`, rate :math:`\beta X/(\beta T+2)`, cost
        :math:`\kappa X^2/(\beta T+2)` against :math:`\kappa X^2/2` at once.

    References
    ----------
    Obizhaeva, Wang (2013), Optimal Trading Strategy and Supply/Demand Dynamics.

    Examples
    --------
    >>> sale = optimal_forced_sale(
    ...     quantity_base=1.0, horizon_s=1.0, slope_per_base=1.0, decay_per_s=2.0
    ... )
    >>> sale.block_base, sale.cost_quote
    (0.25, 0.25)
    """
    if not (quantity_base > 0 and horizon_s >= 0 and slope_per_base > 0 and decay_per_s >= 0):
        raise ParameterError(
            f"quantity_base is {quantity_base!r}, horizon_s {horizon_s!r}, slope_per_base "
            f"{slope_per_base!r}, decay_per_s {decay_per_s!r}; expected positive, at least 0, "
            f"positive, at least 0. Correct the one out of range."
        )
    parts = decay_per_s * horizon_s + 2.0
    return ForcedSale(
        block_base=quantity_base / parts,
        rate_base_per_s=decay_per_s * quantity_base / parts,
        cost_quote=slope_per_base * quantity_base**2 / parts,
        cost_at_once_quote=slope_per_base * quantity_base**2 / 2.0,
    )


def ramp_amplification(*, gain: float, decay_per_s: float, duration_s: float) -> float:
    r"""Amplification of a fall that comes evenly over some time, exponential decay.

    Parameters
    ----------
    gain : float
        g in [0, 1).
    decay_per_s : float
        :math:`\beta`, at least 0.
    duration_s : float
        T, seconds, at least 0.

    Returns
    -------
    float
        :math:`A=1+\frac{g}{\beta T}(1-e^{-\beta T/(1-g)})`: from :math:`1/(1-g)` for a sudden
        fall down to 1 for a very slow one.

    Notes
    -----
    Uniform thresholds, an engine that checks all the time: while the move rises
    :math:`dD=g\,dy-\beta D\,dt` with :math:`y=s+D`.

    Examples
    --------
    >>> ramp_amplification(gain=0.5, decay_per_s=0.1, duration_s=0.0)
    2.0
    """
    _require_loop(gain, decay_per_s, "duration_s", duration_s)
    _require("gain", gain, gain < 1, "a gain below 1, because a sudden fall has no end otherwise")
    faded = decay_per_s * duration_s
    if faded == 0:
        return 1.0 / (1.0 - gain)
    return 1.0 - gain / faded * math.expm1(-faded / (1.0 - gain))


def _require(name: str, value: float, is_good: bool, expected: str) -> None:
    """Raise ParameterError unless a value is good."""
    if not is_good:
        raise ParameterError(f"{name} is {value!r}; expected {expected}. Correct it.")


def _require_loop(gain: float, decay_per_s: float, name: str, seconds: float) -> None:
    """Raise ParameterError unless gain, decay and a time are finite and at least 0."""
    for what, value in (("gain", gain), ("decay_per_s", decay_per_s), (name, seconds)):
        _require(what, value, 0 <= value < math.inf, "a finite number of at least 0")


def has_second_round(*, gain: float, decay_per_s: float, interval_s: float) -> bool:
    r"""Whether a second feedback round occurs: :math:`(1+g)e^{-\beta\Delta}>1`."""
    _require_loop(gain, decay_per_s, "interval_s", interval_s)
    return (1.0 + gain) * math.exp(-decay_per_s * interval_s) > 1.0


def check_interval_rounds(
    *, gain: float, decay_per_s: float, interval_s: float, shock: float, n_checks: int = 64
) -> pl.DataFrame:
    r"""Move seen at each check of an engine that looks only every so often.

    Parameters
    ----------
    gain : float
        g, at least 0.
    decay_per_s, interval_s : float
        :math:`\beta` and :math:`\Delta`.
    shock : float
        s, coordinate units.
    n_checks : int
        Checks listed, the first included.

    Returns
    -------
    polars.DataFrame
        ``check``, ``time_s``, ``move``, ``new_move`` (:math:`d_k`, what is newly triggered).

    Notes
    -----
    :math:`d_0=s`, :math:`D_{k+1}=e^{-\beta\Delta}(D_k+g d_k)`,
    :math:`d_{k+1}=(D_{k+1}-D_k)^+`; thresholds are uniform.
    """
    _require_loop(gain, decay_per_s, "interval_s", interval_s)
    _require("shock", shock, 0 <= shock < math.inf, "a finite move of at least 0")
    _require("n_checks", n_checks, n_checks >= 1, "at least 1")
    left = math.exp(-decay_per_s * interval_s)
    depressed, new = [0.0], [shock]
    for _ in range(n_checks - 1):
        after = left * (depressed[-1] + gain * new[-1])
        new.append(max(after - depressed[-1], 0.0))
        depressed.append(after)
    return pl.DataFrame(
        {
            "check": np.arange(n_checks),
            "time_s": interval_s * np.arange(n_checks),
            "move": shock + np.array(depressed),
            "new_move": np.array(new),
        }
    )


def backlog_rate(
    *,
    density_base: float,
    move_per_s: float,
    gain: float,
    capacity_base_per_s: float,
) -> float:
    r"""Growth of the unsold backlog of an engine with a throughput cap, base per second.

    Parameters
    ----------
    density_base : float
        :math:`\rho`, base per coordinate unit.
    move_per_s : float
        :math:`\dot s`, exogenous move per second.
    gain : float
        g of what is sold at once, at least 0; from 1 on sales alone keep the line from shrinking.
    capacity_base_per_s : float
        c.

    Returns
    -------
    float
        :math:`\rho\dot s-c(1-g)` where that is positive, else 0.
    """
    for name, value in (
        ("density_base", density_base),
        ("move_per_s", move_per_s),
        ("gain", gain),
        ("capacity_base_per_s", capacity_base_per_s),
    ):
        _require(name, value, 0 <= value < math.inf, "a finite number of at least 0")
    return max(density_base * move_per_s - capacity_base_per_s * (1.0 - gain), 0.0)


def halted_move(
    *, gain: float, shock: float, band: float, depth_refill: float = 1.0, impact_left: float = 1.0
) -> float:
    r"""Where a cascade ends that a circuit breaker interrupts at a band; uniform, linear.

    Parameters
    ----------
    gain : float
        g before the halt, at least 0.
    shock : float
        s, coordinate units, positive.
    band : float
        b, move at which trading halts, positive.
    depth_refill : float
        r, depth after the halt over depth before.
    impact_left : float
        d, share of the impact so far that is left after the halt, in [0, 1].

    Returns
    -------
    float
        :math:`\max(b,\,(s+gb(d-1/r))/(1-g/r))`; where the cascade does not reach the band, its
        undisturbed end :math:`s/(1-g)`.

    Examples
    --------
    >>> round(halted_move(gain=0.6, shock=2.0, band=3.0, depth_refill=2.0), 6)
    4.142857
    """
    for name, value in (("shock", shock), ("band", band), ("depth_refill", depth_refill)):
        _require(name, value, 0 < value < math.inf, "a positive finite number")
    _require("impact_left", impact_left, 0 <= impact_left <= 1, "a number in [0, 1]")
    _require("gain", gain, 0 <= gain < depth_refill, "at least 0 and below depth_refill")
    if gain < 1 and shock / (1.0 - gain) < band:
        return shock / (1.0 - gain)
    after = gain / depth_refill
    start = shock + gain * band * (impact_left - 1.0 / depth_refill)
    return max(band, start / (1.0 - after))


@dataclass(frozen=True, kw_only=True, slots=True)
class Hunt:
    """What it earns to trade the price to a cluster of thresholds, and back.

    Parameters
    ----------
    traded_base : float
        Sold to reach the cluster (bought, for shorts) and taken back later, base units.
    gross_quote, fees_quote : float
        Profit before fees, and fees paid both ways.
    break_even_base : float
        Cluster with which fees and fading are just earned; infinite where none is large enough.
    """

    traded_base: float
    gross_quote: float
    fees_quote: float
    break_even_base: float

    @property
    def net_quote(self) -> float:
        """Profit after fees; with nothing in the cluster, less the cost of searching it."""
        return self.gross_quote - self.fees_quote


def hunting_profit(
    *,
    distance: float,
    cluster_base: float,
    slope_per_base: float,
    reference_price: float,
    fee_fraction: float = 0.0,
    impact_left: float = 1.0,
    side: Side = "long",
) -> Hunt:
    r"""Profit of selling down to a cluster of thresholds and buying back once it has fired.

    Parameters
    ----------
    distance : float
        d, how far the cluster is, quote per base, positive.
    cluster_base : float
        q, what is closed once the price is there, with all that follows; base units, at least 0.
        0: nothing is found, and the hunt costs what the search costs.
    slope_per_base : float
        Slope :math:`\lambda` of a linear impact in prices, quote per base per base unit, positive.
    reference_price : float
        p0, quote per base, positive.
    fee_fraction : float
        :math:`\phi`, fee of the hunter over traded value, in [0, 1).
    impact_left : float
        r, share of impact left when the hunter trades back, in [0, 1]; 1: permanent.
    side : {"long", "short"}
        Longs are hunted by selling, shorts by buying.

    Returns
    -------
    Hunt

    Notes
    -----
    Fills at the average along the book, in one piece each way: X = d/:math:`\lambda` is traded,
    the gross profit is :math:`X((d+\lambda q)r-d)`, which is d q if impact is permanent, and the
    fees are :math:`\phi X(2p_0\mp(d+\lambda q)r)`. With nothing to fire and no fees a permanent
    impact gives exactly 0, a fading one a loss. Under fills at the last price each way costs
    :math:`\lambda X^2/2` more.

    Examples
    --------
    >>> hunt = hunting_profit(
    ...     distance=4.0, cluster_base=160.0, slope_per_base=0.01, reference_price=100.0
    ... )
    >>> hunt.traded_base, round(hunt.gross_quote, 9)
    (400.0, 640.0)
    """
    for name, value in (
        ("distance", distance),
        ("slope_per_base", slope_per_base),
        ("reference_price", reference_price),
    ):
        _require(name, value, 0 < value < math.inf, "a positive finite number")
    _require("cluster_base", cluster_base, 0 <= cluster_base < math.inf, "finite, at least 0")
    _require("fee_fraction", fee_fraction, 0 <= fee_fraction < 1, "a fraction in [0, 1)")
    _require("impact_left", impact_left, 0 <= impact_left <= 1, "a number in [0, 1]")
    if side not in ("long", "short"):
        raise ParameterError.unknown("side", str(side), ("long", "short"))
    sign = 1.0 if side == "long" else -1.0
    traded = distance / slope_per_base
    shifted = (distance + slope_per_base * cluster_base) * impact_left
    kept = impact_left * (1.0 + sign * fee_fraction)
    needed = math.inf
    if kept > 0:
        spent = distance + 2.0 * fee_fraction * reference_price
        needed = max((spent / kept - distance) / slope_per_base, 0.0)
    return Hunt(
        traded_base=traded,
        gross_quote=traded * (shifted - distance),
        fees_quote=fee_fraction * traded * (2.0 * reference_price - sign * shifted),
        break_even_base=needed,
    )
