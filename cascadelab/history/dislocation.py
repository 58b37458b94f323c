"""How much further a price fell on one venue than on another: the local part of a cascade."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from cascadelab.display import Displayed, Summary
from cascadelab.errors import ParameterError
from cascadelab.history.catalogue import minutes as minute_figures

__all__ = ["Dislocation", "dislocation", "dislocations", "with_coin_and_market"]


@dataclass(frozen=True, kw_only=True)
class Dislocation(Displayed):
    r"""How much further a price fell on one venue than on a reference venue.

    Parameters
    ----------
    venue, reference : str
        Names.
    price_before, price_low : float
        On the venue: last price before the start, lowest price, quote per base.
    reference_before, reference_low : float
        The same on the reference venue.

    Notes
    -----
    With falls in logs, ``local_share`` is :math:`1 - y_{ref}/y_{venue}`: the secant gain of the
    venue's own loop if the reference fall is taken as its shock. The reference fell too because
    arbitrage carried sales to it, so the loop's share of the whole fall may be larger; and what
    is local to a venue includes withdrawn quotes and voluntary sales, so the share due to forced
    closing alone may be smaller.
    """

    venue: str
    reference: str
    price_before: float
    price_low: float
    reference_before: float
    reference_low: float

    @property
    def fall(self) -> float:
        """Fall on the venue, log points."""
        return math.log(self.price_before / self.price_low)

    @property
    def reference_fall(self) -> float:
        """Fall on the reference venue, log points."""
        return math.log(self.reference_before / self.reference_low)

    @property
    def local_share(self) -> float:
        """Share of the venue's fall that the reference did not share."""
        return 1.0 - self.reference_fall / self.fall

    @property
    def amplification(self) -> float:
        """Fall on the venue over fall on the reference."""
        return self.fall / self.reference_fall

    def to_dict(self) -> dict[str, float | str]:
        """Plain values, falls as fractions of the price."""
        return {
            "venue": self.venue,
            "reference": self.reference,
            "price_before": self.price_before,
            "price_low": self.price_low,
            "fall_fraction": 1.0 - self.price_low / self.price_before,
            "reference_fall_fraction": 1.0 - self.reference_low / self.reference_before,
            "local_share": self.local_share,
            "amplification": self.amplification,
        }

    def summary(self) -> Summary:
        """Return the comparison as a printable table."""
        rows: list[tuple[str, object]] = [
            (k.replace("_", " "), v) for k, v in self.to_dict().items()
        ]
        notes = [
            "Local share: part of the venue's log fall that the reference venue did not share; "
            "the venue's own endogenous share if the reference fall is taken as exogenous."
        ]
        return Summary(title="Dislocation between venues", rows=rows, notes=notes)


def dislocation(
    venue: pl.DataFrame, reference: pl.DataFrame, started_at: datetime, *, low: str = "low"
) -> Dislocation:
    """Compare the falls of two price series from one moment on.

    Parameters
    ----------
    venue, reference : polars.DataFrame
        One symbol each: ``minute_at``, ``symbol``, ``venue``, ``close`` and the column `low`.
    started_at : datetime
        The price before is the last close of the minutes before it, UTC.
    low : str
        Column whose minimum is the low: ``"low"`` (trades) or ``"close"`` (closes of minutes).

    Raises
    ------
    ParameterError
        If a series has no minute before `started_at`, or none after it, or did not fall.
    """
    ends = []
    for frame in (venue, reference):
        name = f"{frame['venue'][0]} {frame['symbol'][0]}" if frame.height else "the series"
        before = frame.filter(pl.col("minute_at") < started_at).sort("minute_at")
        after = frame.filter(pl.col("minute_at") >= started_at)
        if before.is_empty() or after.is_empty():
            raise ParameterError(
                f"{name} has no minute {'before' if before.is_empty() else 'after'} {started_at}; "
                f"expected both. Choose started_at inside the span of the series."
            )
        first, last = float(before["close"][-1]), float(after[low].min())  # type: ignore[arg-type]
        if last >= first:
            raise ParameterError(
                f"{name} did not fall after {started_at} ({first:g} to {last:g}); "
                f"expected a fall. Choose another start or series."
            )
        ends.append((name, first, last))
    (name, before_, low_), (ref_name, ref_before, ref_low) = ends
    return Dislocation(
        venue=name,
        reference=ref_name,
        price_before=before_,
        price_low=low_,
        reference_before=ref_before,
        reference_low=ref_low,
    )


def dislocations(started: Sequence[datetime]) -> pl.DataFrame:
    """Dislocation of each perpetual of the shipped minutes from the same coin on the spot venue.

    Parameters
    ----------
    started : sequence of datetime
        Starts to compare from, UTC: which one is right is a matter of view.

    Returns
    -------
    polars.DataFrame
        One row per coin, start and kind of low: ``coin``, ``started_at``, ``low_of``
        (``"trades"`` or ``"minute closes"``) and the values of :meth:`Dislocation.to_dict`.
    """
    minutes = with_coin_and_market(minute_figures())
    rows = []
    for coin in minutes["coin"].unique().sort():
        of_coin = minutes.filter(pl.col("coin") == coin)
        perpetual = of_coin.filter(pl.col("market") == "perpetual")
        spot = of_coin.filter(pl.col("market") == "spot")
        for start in started:
            for low, words in (("low", "trades"), ("close", "minute closes")):
                found = dislocation(perpetual, spot, start, low=low)
                key = {"coin": coin, "started_at": start, "low_of": words}
                rows.append(key | found.to_dict())
    return pl.DataFrame(rows)


def with_coin_and_market(minutes: pl.DataFrame) -> pl.DataFrame:
    """Minute figures with ``coin`` and ``market`` (``"perpetual"`` or ``"spot"``)."""
    is_perpetual = pl.col("symbol").str.ends_with("_PERP")
    return minutes.with_columns(
        coin=pl.col("symbol").str.replace(r"(USD_PERP|-USD)$", ""),
        market=pl.when(is_perpetual).then(pl.lit("perpetual")).otherwise(pl.lit("spot")),
    )
