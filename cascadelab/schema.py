"""Column names, types and row rules of every table, and the one function that checks them."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from cascadelab.errors import SchemaError

__all__ = ["COLLATERAL", "LEVERAGE_MIX", "POSITIONS", "Column", "Table", "check"]

#: Accepts any integer or float column; the checked frame has float64.
NUMBER = pl.Float64
#: Times are UTC with microseconds.
UTC_TIME = pl.Datetime("us", "UTC")


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    name : str
    dtype : polars data type
        Type after the check; numbers are cast to it, other types must match.
    meaning : str
        Definition with unit and sign.
    is_required : bool
        A column that is not required is filled with `default` when absent.
    default : object
        Value of an absent optional column.
    rule : polars expression or None
        True for a good row; nulls and NaN are reported before it is asked.
    rule_text : str
        The rule in words, for the error.
    is_nullable : bool
        Whether nulls are allowed.
    """

    name: str
    dtype: pl.DataType | type[pl.DataType]
    meaning: str
    is_required: bool = True
    default: object = None
    rule: pl.Expr | None = None
    rule_text: str = ""
    is_nullable: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A named list of columns."""

    name: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        """Column names in order."""
        return [column.name for column in self.columns]


def check(frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Return `frame` with the columns of `table`, cast and in order.

    Columns that the table does not know are kept at the end.

    Parameters
    ----------
    frame : polars.DataFrame
    table : Table

    Returns
    -------
    polars.DataFrame

    Raises
    ------
    SchemaError
        Names the first missing column, the first wrong type or the first bad row (from 0).
    """
    for column in table.columns:
        if column.name not in frame.columns:
            if column.is_required:
                raise SchemaError.missing_column(table.name, column.name, frame.columns)
            value = pl.lit(column.default, dtype=column.dtype).alias(column.name)
            frame = frame.with_columns(value)
            continue
        frame = frame.with_columns(_cast(frame[column.name], column, table.name))
        _check_rows(frame, column, table.name)
    rest = [name for name in frame.columns if name not in table.names]
    return frame.select(table.names + rest)


def _cast(values: pl.Series, column: Column, table: str) -> pl.Series:
    if values.dtype == column.dtype:
        return values
    is_number = column.dtype == pl.Float64 and values.dtype.is_numeric()
    is_time = isinstance(column.dtype, pl.Datetime) and values.dtype in (
        pl.Datetime("ms", "UTC"),
        pl.Datetime("ns", "UTC"),
    )
    is_empty = values.dtype == pl.Null
    is_category = column.dtype == pl.String and values.dtype in (pl.Categorical, pl.Enum)
    if is_number or is_time or is_empty or is_category:
        return values.cast(column.dtype)
    raise SchemaError.wrong_type(table, column.name, values.dtype, str(column.dtype))


def _check_rows(frame: pl.DataFrame, column: Column, table: str) -> None:
    values = frame[column.name]
    if not column.is_nullable:
        _raise_if_any(values.is_null(), values, column, table, "a value")
    if column.dtype == pl.Float64:
        bad = (~values.is_finite()).fill_null(value=False)
        _raise_if_any(bad, values, column, table, "a finite number")
    if column.rule is not None:
        bad = frame.select((~column.rule).fill_null(value=False)).to_series()
        _raise_if_any(bad, values, column, table, column.rule_text)


def _raise_if_any(
    bad: pl.Series, values: pl.Series, column: Column, table: str, expected: str
) -> None:
    if bad.any():
        row = int(bad.arg_max() or 0)
        n_bad = int(bad.sum())
        raise SchemaError.bad_row(table, column.name, row, values[row], expected, n_bad)


POSITIONS = Table(
    name="positions",
    columns=(
        Column(name="account", dtype=pl.String, meaning="account name; may repeat"),
        Column(
            name="market",
            dtype=pl.String,
            meaning="market of the position",
            is_required=False,
            default="",
        ),
        Column(
            name="size_base",
            dtype=NUMBER,
            meaning="signed size, base units (inverse contracts: quote face); long positive",
            rule=pl.col("size_base") != 0,
            rule_text="a size other than zero",
        ),
        Column(
            name="entry_price",
            dtype=NUMBER,
            meaning="average entry price, quote per base",
            rule=pl.col("entry_price") > 0,
            rule_text="a price above zero",
        ),
        Column(
            name="margin_quote",
            dtype=NUMBER,
            meaning="margin posted for the position (isolated), quote; 0 for cross positions",
            is_required=False,
            default=0.0,
            rule=pl.col("margin_quote") >= 0,
            rule_text="margin of at least zero",
        ),
        Column(
            name="mode",
            dtype=pl.String,
            meaning="'isolated' or 'cross'",
            is_required=False,
            default="isolated",
            rule=pl.col("mode").is_in(["isolated", "cross"]),
            rule_text="'isolated' or 'cross'",
        ),
        Column(
            name="opened_at",
            dtype=UTC_TIME,
            meaning="time the position was opened, UTC",
            is_required=False,
            is_nullable=True,
        ),
    ),
)

COLLATERAL = Table(
    name="collateral",
    columns=(
        Column(name="account", dtype=pl.String, meaning="account name"),
        Column(name="asset", dtype=pl.String, meaning="asset held as collateral"),
        Column(
            name="amount",
            dtype=NUMBER,
            meaning="amount of the asset, in its own units; negative for a debt",
        ),
    ),
)

LEVERAGE_MIX = Table(
    name="leverage_mix",
    columns=(
        Column(
            name="leverage",
            dtype=NUMBER,
            meaning="entry notional over margin",
            rule=pl.col("leverage") > 0,
            rule_text="a positive leverage",
        ),
        Column(
            name="share",
            dtype=NUMBER,
            meaning="share of the open interest; all sum to 1",
            rule=pl.col("share") >= 0,
            rule_text="a share of at least 0",
        ),
    ),
)
