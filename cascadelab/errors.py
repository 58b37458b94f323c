"""Every way cascadelab says no, and the words it uses.

A message has three parts: what was found, what was expected, what to do next. Each class also
derives from the built-in a caller would expect, so ``except ValueError`` keeps working.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Self

__all__ = [
    "AccountingError",
    "BookExhausted",
    "CascadelabError",
    "ConvergenceError",
    "DataError",
    "MissingExtraError",
    "ParameterError",
    "ReportError",
    "SchemaError",
    "UnknownFormatError",
    "nearest",
    "require_positive",
]


def nearest(name: str, known: Iterable[str]) -> str:
    """Words that point to the nearest known name, or list a few known ones.

    Examples
    --------
    >>> nearest("binanse", ["binance", "okx"])
    "Did you mean 'binance'?"
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"Did you mean {close[0]!r}?"
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return f"Known: {shown}." if names else "None are known."


class CascadelabError(Exception):
    """Root of all errors raised on purpose by cascadelab; each goes to other processes whole."""

    def __reduce__(self) -> tuple[object, ...]:
        """Words and values as they are: the arguments a class is made from may be others."""
        return _revived, (type(self), self.args, self.__dict__)


def _revived(
    kind: type[CascadelabError], words: tuple[object, ...], values: dict[str, object]
) -> CascadelabError:
    """Build an error as it was raised in another process."""
    error = kind.__new__(kind)
    error.args = words
    error.__dict__.update(values)
    return error


class ParameterError(CascadelabError, ValueError):
    """A parameter has the wrong type, the wrong range or an unknown name."""

    @classmethod
    def out_of_range(cls, owner: object, field: str, expected: str) -> ParameterError:
        """Name the field of a record, the value found and the range expected."""
        found = getattr(owner, field)
        return cls(
            f"{type(owner).__name__}.{field} is {found!r}; expected {expected}. "
            f"Pass a value of {field} in that range."
        )

    @classmethod
    def unknown(cls, what: str, name: str, known: Iterable[str]) -> ParameterError:
        """Name the unknown word and suggest the nearest known one."""
        return cls(f"Unknown {what} {name!r}. {nearest(name, known)}")


def require_positive(record: object, *fields: str) -> None:
    """Raise ParameterError unless each field of a record is a positive finite number."""
    for name in fields:
        value = getattr(record, name)
        if not (math.isfinite(value) and value > 0):
            raise ParameterError.out_of_range(record, name, "a positive finite number")


class SchemaError(CascadelabError, ValueError):
    """A table lacks a column, has one of the wrong type, or a row that breaks a rule."""

    @classmethod
    def missing_column(cls, table: str, column: str, present: Iterable[str]) -> SchemaError:
        """Name the missing column and what the table has instead."""
        return cls(
            f"{table}: column {column!r} is missing. {nearest(column, present)} "
            f"Add or rename the column."
        )

    @classmethod
    def wrong_type(cls, table: str, column: str, found: object, expected: str) -> SchemaError:
        """Name the column, its type and the type expected."""
        return cls(
            f"{table}: column {column!r} has type {found}; expected {expected}. "
            f"Cast the column before passing it."
        )

    @classmethod
    def bad_row(
        cls, table: str, column: str, row: int, found: object, expected: str, n_bad: int = 1
    ) -> SchemaError:
        """Name the first bad row (counted from 0), the value found and the rule it breaks."""
        more = f" ({n_bad} rows break this rule.)" if n_bad > 1 else ""
        return cls(
            f"{table}: row {row}, column {column!r} is {found!r}; expected {expected}.{more} "
            f"Correct or drop the row."
        )


class DataError(CascadelabError, ValueError):
    """A data file is of the wrong kind, truncated, empty or breaks a rule of its format."""

    @classmethod
    def in_file(cls, path: Path | str, problem: str, cure: str, line: int | None = None) -> Self:
        """Name the file, the line (counted from 1) where one is at fault, and what to do."""
        where = f"{path}" if line is None else f"{path}, line {line}"
        return cls(f"{where}: {problem} {cure}")


class ConvergenceError(CascadelabError, RuntimeError):
    """An iteration did not reach its tolerance; carries the last iterate.

    Parameters
    ----------
    message : str
        What was found, what was expected, what to do.
    last : float
        Last iterate.
    n_iterations : int
        Iterations done.
    """

    def __init__(self, message: str, last: float, n_iterations: int) -> None:
        super().__init__(message)
        self.last = last
        self.n_iterations = n_iterations


class UnknownFormatError(DataError):
    """A data file is whole and readable, but of no known format."""


class BookExhausted(CascadelabError, RuntimeError):
    """More was sold than the order book holds; there is no price for the rest.

    Parameters
    ----------
    quantity_base : float
        Quantity asked for, base units.
    capacity_base : float
        Quantity the book holds, base units.
    """

    def __init__(self, quantity_base: float, capacity_base: float) -> None:
        super().__init__(
            f"{quantity_base:g} base units were sold into a book that holds {capacity_base:g}; "
            f"there is no price beyond the last level. Add levels or use a continuous impact."
        )
        self.quantity_base = quantity_base
        self.capacity_base = capacity_base

    @classmethod
    def withdrawn(cls, move: float) -> BookExhausted:
        """All depth was withdrawn on the way to a move."""
        error = cls(float("nan"), 0.0)
        error.args = (
            f"At a move of {move:g} the channels have withdrawn all depth; expected some to be "
            f"left, because something is to be sold. Withdraw it more slowly, or lower the gain.",
        )
        return error


class AccountingError(CascadelabError, RuntimeError):
    """Money or contracts do not add up after an engine step."""


class ReportError(CascadelabError, RuntimeError):
    """A notebook or report could not be run or written."""


class MissingExtraError(CascadelabError, ImportError):
    """An optional dependency is not installed."""

    @classmethod
    def of(cls, package: str, extra: str) -> MissingExtraError:
        """Name the package and the extra that brings it."""
        return cls(f"{package} is not installed. Run: pip install 'cascadelab[{extra}]'.")
