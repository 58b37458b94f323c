"""Who holds what: positions and collateral, checked once at the door, arrays inside."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.errors import ParameterError, SchemaError
from cascadelab.schema import COLLATERAL, POSITIONS, check
from cascadelab.units import FloatArray

__all__ = ["Ledger"]


def _no_collateral() -> pl.DataFrame:
    return pl.DataFrame(schema={column.name: column.dtype for column in COLLATERAL.columns})


def _require_frames(**tables: object) -> None:
    for name, table in tables.items():
        if not isinstance(table, pl.DataFrame):
            raise SchemaError(
                f"{name}: found {type(table).__name__}; expected polars.DataFrame. "
                f"Pass pl.DataFrame(...), or collect a lazy frame first."
            )


def _require_margin(positions: pl.DataFrame) -> None:
    """Isolated contracts must say their margin: a missing column is not a margin of zero.

    Loans say their debt instead.
    """
    if "margin_quote" in positions.columns or "debt_quote" in positions.columns:
        return
    is_cross = "mode" in positions.columns and (positions["mode"] == "cross").all()
    if positions.height and not is_cross:
        raise SchemaError.missing_column("positions", "margin_quote", positions.columns)


@dataclass(frozen=True, eq=False)
class Ledger:
    """Checked table of positions, one row each, and of collateral per account and asset.

    Parameters
    ----------
    positions : polars.DataFrame
        Columns ``account``, ``size_base`` (signed, long positive), ``entry_price`` and, where
        they matter, ``market``, ``margin_quote`` (isolated), ``mode`` (``"isolated"`` or
        ``"cross"``), ``opened_at``. Definitions: :data:`cascadelab.schema.POSITIONS`. Further
        columns are kept.
    collateral : polars.DataFrame, optional
        Columns ``account``, ``asset``, ``amount``: what backs the cross positions.

    Raises
    ------
    SchemaError
        Names the first missing column, wrong type or bad row (counted from 0).

    Examples
    --------
    >>> ledger = Ledger(
    ...     pl.DataFrame(
    ...         {
    ...             "account": ["a", "b"],
    ...             "size_base": [1.0, -2.0],
    ...             "entry_price": [100.0, 100.0],
    ...             "margin_quote": [10.0, 20.0],
    ...         }
    ...     )
    ... )
    >>> ledger.n_positions, ledger.leverage.tolist()
    (2, [10.0, 10.0])
    """

    positions: pl.DataFrame
    collateral: pl.DataFrame = field(default_factory=_no_collateral)

    def __post_init__(self) -> None:
        _require_frames(positions=self.positions, collateral=self.collateral)
        _require_margin(self.positions)
        object.__setattr__(self, "positions", check(self.positions, POSITIONS))
        object.__setattr__(self, "collateral", check(self.collateral, COLLATERAL))

    @classmethod
    def from_arrays(
        cls,
        *,
        entry_price: npt.ArrayLike,
        size_base: npt.ArrayLike,
        leverage: npt.ArrayLike,
        market: str = "",
    ) -> Ledger:
        """Isolated positions from arrays, margin being entry notional over leverage.

        Parameters
        ----------
        entry_price : array_like of shape (n_positions,)
            Quote per base.
        size_base : array_like of shape (n_positions,)
            Signed size; long positive.
        leverage : array_like of shape (n_positions,) or float
            Entry notional over margin, at least 1 is usual; must be positive.
        market : str
            Market of all positions.

        Returns
        -------
        Ledger
            Accounts are named by their row number.

        Raises
        ------
        ParameterError
            If a leverage is not positive and finite, or shapes differ.
        SchemaError
            If an entry price or a size is not allowed.
        """
        entry = np.asarray(entry_price, dtype=np.float64)
        size = np.asarray(size_base, dtype=np.float64)
        if entry.ndim != 1 or entry.shape != size.shape:
            raise ParameterError(
                f"entry_price has shape {entry.shape} and size_base {size.shape}; "
                f"expected two one-dimensional arrays of one length. Pass one row per position."
            )
        ratio = np.broadcast_to(np.asarray(leverage, dtype=np.float64), entry.shape)
        bad = ~(np.isfinite(ratio) & (ratio > 0))
        if bad.any():
            row = int(np.argmax(bad))
            raise ParameterError(
                f"leverage of row {row} is {ratio[row]}; expected a positive finite number. "
                f"Correct or drop the row."
            )
        frame = pl.DataFrame(
            {
                "account": pl.int_range(len(entry), eager=True).cast(pl.String),
                "market": pl.repeat(market, len(entry), eager=True),
                "size_base": size,
                "entry_price": entry,
                "margin_quote": np.abs(size) * entry / ratio,
            }
        )
        return cls(frame)

    @property
    def n_positions(self) -> int:
        """Number of positions."""
        return self.positions.height

    def _array(self, name: str) -> FloatArray:
        values: FloatArray = self.positions[name].to_numpy()
        return values

    @property
    def size_base(self) -> FloatArray:
        """Signed sizes, shape (n_positions,), base units; long positive."""
        return self._array("size_base")

    @property
    def entry_price(self) -> FloatArray:
        """Entry prices, shape (n_positions,), quote per base."""
        return self._array("entry_price")

    @property
    def margin_quote(self) -> FloatArray:
        """Isolated margin, shape (n_positions,), quote."""
        return self._array("margin_quote")

    @property
    def leverage(self) -> FloatArray:
        """Entry notional over margin, shape (n_positions,); infinite where margin is 0."""
        notional = np.abs(self.size_base) * self.entry_price
        margin = self.margin_quote
        out = np.full(notional.shape, np.inf)
        np.divide(notional, margin, out=out, where=margin > 0)
        return out

    @property
    def markets(self) -> list[str]:
        """Distinct markets, sorted."""
        return self.positions["market"].unique().sort().to_list()

    def side(self, side: str) -> Ledger:
        """Only the long, or only the short, positions; collateral is kept."""
        if side not in ("long", "short"):
            raise ParameterError.unknown("side", side, ("long", "short"))
        sign = pl.col("size_base") > 0 if side == "long" else pl.col("size_base") < 0
        return Ledger(self.positions.filter(sign), self.collateral)

    def market(self, market: str) -> Ledger:
        """Only the positions of one market; collateral is kept.

        Raises
        ------
        SchemaError
            If no position is in that market.
        """
        chosen = self.positions.filter(pl.col("market") == market)
        if chosen.is_empty():
            message = f"no position is in market {market!r}; the ledger has {self.markets}."
            raise SchemaError(f"positions: {message} Choose one of them.")
        return Ledger(chosen, self.collateral)
