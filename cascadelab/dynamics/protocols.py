"""Protocols that read oracles and sell on shared venues, through time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol as TypingProtocol

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.display import Displayed, Summary
from cascadelab.dynamics.execution import Venue, route_sale
from cascadelab.dynamics.oracles import MedianOracle, Oracle, Reader
from cascadelab.errors import ParameterError
from cascadelab.units import Coordinate, FloatArray

__all__ = ["NetworkRun", "Protocol", "simulate_protocols"]


class _Curve(TypingProtocol):
    def quantity(self, move: npt.ArrayLike) -> FloatArray: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Protocol:
    """A margin engine or lending protocol: what it must sell, what it reads, where it sells.

    Parameters
    ----------
    name : str
    curve : object with ``quantity(move)``
        Forced-flow curve in the coordinate.
    coordinate : Coordinate
        Falls of the oracle price.
    oracle : Oracle
    weights : sequence of float
        Share sold on each venue, adding to 1; empty: routed to equal marginal prices.
    """

    name: str
    curve: _Curve
    coordinate: Coordinate
    oracle: Oracle = field(default_factory=MedianOracle)
    weights: Sequence[float] = ()

    def __post_init__(self) -> None:
        if self.coordinate.side != "long":
            raise ParameterError(
                f"The coordinate of {self.name!r} measures rises; expected falls, because a "
                f"protocol sells. Pass a coordinate with side='long'."
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkRun(Displayed):
    """Prices of every venue, readings and sales of every protocol, through time.

    Parameters
    ----------
    venues, protocols : tuple of str
    step_s : float
    prices : ndarray of shape (n_steps + 1, n_venues)
        After the sales of each step, quote per base.
    readings : ndarray of shape (n_steps + 1, n_protocols)
        Oracle prices.
    sold_base : ndarray of shape (n_steps + 1, n_protocols)
        Per step.
    received_quote : ndarray of shape (n_protocols,)
    """

    venues: tuple[str, ...]
    protocols: tuple[str, ...]
    step_s: float
    prices: FloatArray = field(repr=False)
    readings: FloatArray = field(repr=False)
    sold_base: FloatArray = field(repr=False)
    received_quote: FloatArray = field(repr=False)

    def to_frame(self) -> pl.DataFrame:
        """One row per step: ``time_s``, ``price_*``, ``oracle_*``, ``sold_base_*``."""
        columns: dict[str, object] = {"time_s": self.step_s * np.arange(len(self.prices))}
        columns |= {f"price_{v}": self.prices[:, i] for i, v in enumerate(self.venues)}
        columns |= {f"oracle_{p}": self.readings[:, i] for i, p in enumerate(self.protocols)}
        columns |= {f"sold_base_{p}": self.sold_base[:, i] for i, p in enumerate(self.protocols)}
        return pl.DataFrame(columns)

    def summary(self) -> Summary:
        """Lowest prices, and what every protocol sold and received."""
        sold = self.sold_base.sum(axis=0)
        frame = pl.DataFrame(
            {
                "protocol": list(self.protocols),
                "sold_base": sold,
                "received_quote": self.received_quote,
                "lowest_reading": self.readings.min(axis=0),
            }
        )
        rows: list[tuple[str, object]] = [
            (f"lowest price on {name}", float(self.prices[:, i].min()))
            for i, name in enumerate(self.venues)
        ]
        return Summary(title="Protocols on shared venues", rows=rows, frame=frame)


def simulate_protocols(
    protocols: Sequence[Protocol],
    venues: Sequence[Venue],
    fundamental_price: npt.ArrayLike,
    *,
    step_s: float = 1.0,
) -> NetworkRun:
    """Run protocols that sell on shared venues along a path of the fundamental.

    Parameters
    ----------
    protocols : sequence of Protocol
    venues : sequence of Venue
        Used up by the run: pass fresh ones.
    fundamental_price : array_like of shape (n_steps + 1,) or (n_steps + 1, n_venues)
        Quote per base; one column per venue where they differ.
    step_s : float
        Seconds between readings and sales: each protocol looks once a step.

    Returns
    -------
    NetworkRun

    Notes
    -----
    At each step venues recover, every oracle reads the same venue prices, and then protocols
    sell in the order given what the worst reading so far has triggered.
    """
    paths = np.asarray(fundamental_price, dtype=np.float64)
    paths = np.repeat(paths[:, None], len(venues), axis=1) if paths.ndim == 1 else paths
    _check(protocols, venues, paths)
    if not (np.isfinite(step_s) and step_s > 0):
        raise ParameterError(f"step_s is {step_s!r}; expected positive seconds. Pass some.")
    readers: list[Reader] = [protocol.oracle.reader(step_s) for protocol in protocols]
    sold = np.zeros((len(paths), len(protocols)))
    readings, prices = np.empty_like(sold), np.empty_like(paths)
    worst, received = np.zeros(len(protocols)), np.zeros(len(protocols))
    done = np.zeros(len(protocols))
    for k, row in enumerate(paths):
        for venue, price in zip(venues, row.tolist(), strict=True):
            venue.advance(step_s if k else 0.0, price)
        seen = np.array([venue.price for venue in venues])
        for u, protocol in enumerate(protocols):
            readings[k, u] = readers[u].read(seen)
            move = float(protocol.coordinate.move_to(readings[k, u]))
            worst[u] = max(worst[u], move)
            due = float(protocol.curve.quantity(worst[u])) - done[u]
            if due > 0:
                sold[k, u], done[u] = due, done[u] + due
                received[u] += _sell(protocol, venues, due)
        prices[k] = [venue.price for venue in venues]
    return NetworkRun(
        venues=tuple(venue.name for venue in venues),
        protocols=tuple(protocol.name for protocol in protocols),
        step_s=step_s,
        prices=prices,
        readings=readings,
        sold_base=sold,
        received_quote=received,
    )


def _sell(protocol: Protocol, venues: Sequence[Venue], quantity: float) -> float:
    if len(protocol.weights):
        parts = quantity * np.asarray(protocol.weights, dtype=np.float64)
    else:
        parts = route_sale(venues, quantity)
    return sum(venue.sell(part) for venue, part in zip(venues, parts.tolist(), strict=True) if part)


def _check(protocols: Sequence[Protocol], venues: Sequence[Venue], paths: FloatArray) -> None:
    is_good = paths.ndim == 2 and paths.shape[1] == len(venues) and paths.size > 0
    if not (is_good and (np.isfinite(paths) & (paths > 0)).all()):
        raise ParameterError(
            f"fundamental_price has shape {paths.shape} or a price that is not positive and "
            f"finite; expected one column for each of {len(venues)} venues. Correct the path."
        )
    for kind, names in (
        ("protocols", [protocol.name for protocol in protocols]),
        ("venues", [venue.name for venue in venues]),
    ):
        if len(set(names)) < len(names):
            raise ParameterError(
                f"The {kind} are named {names}; expected different names. Rename one of them."
            )
    for protocol in protocols:
        shares = np.asarray(protocol.weights, dtype=np.float64)
        is_good = shares.shape == (len(venues),) and (shares >= 0).all()
        if shares.size and not (is_good and abs(shares.sum() - 1.0) < 1e-9):
            raise ParameterError(
                f"weights of {protocol.name!r} are {list(protocol.weights)}; expected "
                f"{len(venues)} shares that add up to 1, or none. Correct them."
            )
