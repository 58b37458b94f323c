"""Feather files: names of columns and rows, checked for damage and size before they are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import polars as pl

from cascadelab.errors import DataError

if TYPE_CHECKING:
    from cascadelab.history.source import Source

__all__ = ["feather_schema", "read_feather"]

_BYTES_PER_VALUE = 8
_Result = TypeVar("_Result")


def feather_schema(source: Source) -> pl.Schema:
    """Names and types of the columns.

    Raises
    ------
    DataError
        If the file is cut off or damaged.
    """
    return pl.Schema(_guarded(source, lambda: pl.read_ipc_schema(source.path)))


def read_feather(source: Source, names: Sequence[str], n_rows: int | None = None) -> pl.DataFrame:
    """Some columns of the first rows; all rows where `n_rows` is None.

    Raises
    ------
    DataError
        If the file is cut off or damaged, or holds more than the limit of its source.
    """
    from cascadelab.history.source import refuse_bomb

    lazy = pl.scan_ipc(source.path)
    if n_rows is None:
        n_all = int(_guarded(source, lambda: lazy.select(pl.len()).collect()).item())
        refuse_bomb(source.path, n_all * len(names) * _BYTES_PER_VALUE, source.limit_bytes)
    some = lazy if n_rows is None else lazy.head(n_rows)
    return _guarded(source, lambda: some.select(names).collect())


def _guarded(source: Source, action: Callable[[], _Result]) -> _Result:
    """Turn what polars raises on damaged bytes, a panic included, into one error of ours."""
    try:
        return action()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _damaged(source, str(error)) from error
    except BaseException as error:
        # A panic of the Rust library is no Exception; nothing else may be caught here.
        if type(error).__name__ != "PanicException":
            raise
        raise _damaged(source, str(error)) from error


def _damaged(source: Source, words: str) -> DataError:
    first = words.split("\n")[0].rstrip(".")[:80]
    problem = f"The feather file is cut off or damaged ({first})."
    return DataError.in_file(source.path, problem, "Download the file again.")
