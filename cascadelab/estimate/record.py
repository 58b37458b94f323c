"""What every estimation result shares: equality by value, small pickles, JSON-plain content."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import polars as pl

from cascadelab.display import Displayed
from cascadelab.estimate.export import Exported

__all__ = ["Record", "canonical_json", "plain"]


def plain(value: object) -> Any:
    """Return `value` as JSON-plain content: dicts, lists, text, numbers, booleans, None.

    Numbers that JSON has no word for become the text ``"inf"``, ``"-inf"`` or ``"nan"``, which
    ``float`` reads back. Records become dicts of their compared fields.

    Examples
    --------
    >>> plain({"a": np.array([1.0, np.inf])})
    {'a': [1.0, 'inf']}
    """
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value.tolist()]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, pl.DataFrame):
        return {name: plain(value[name].to_list()) for name in value.columns}
    if isinstance(value, Record):
        return value.to_dict()
    return str(value)


def canonical_json(value: object) -> str:
    """JSON text with sorted keys: equal content gives equal bytes."""
    return json.dumps(plain(value), sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)


def _same(left: object, right: object) -> bool:
    if isinstance(left, np.ndarray) or isinstance(right, np.ndarray):
        a, b = np.asarray(left), np.asarray(right)
        return a.shape == b.shape and bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, pl.DataFrame) and isinstance(right, pl.DataFrame):
        return left.equals(right, null_equal=True)
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left):
        return math.isnan(right)
    return bool(left == right)


class Record(Displayed, Exported):
    """Base of frozen result records.

    Two records are equal when their compared fields are, arrays element by element (NaN equals
    NaN). Fields declared with ``compare=False`` (foreign objects) are not pickled and not shown.
    """

    def _fields(self) -> list[str]:
        return [f.name for f in dataclasses.fields(self) if f.compare]  # type: ignore[arg-type]

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(_same(getattr(self, name), getattr(other, name)) for name in self._fields())

    def __hash__(self) -> int:
        return hash((type(self).__name__, canonical_json(self)))

    def __getstate__(self) -> dict[str, object]:
        kept = self._fields()
        return {key: value for key, value in self.__dict__.items() if key in kept}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        for item in dataclasses.fields(self):  # type: ignore[arg-type]
            if not item.compare:
                self.__dict__[item.name] = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-plain content."""
        return {name: plain(getattr(self, name)) for name in self._fields()}

    def to_frame(self) -> pl.DataFrame:
        """Return the main table of the result; the labelled values where it has no other."""
        summary = self.summary()
        if summary.frame is not None:
            return summary.frame
        rows = [(label, str(plain(value))) for label, value in summary.rows]
        return pl.DataFrame(rows, schema=["quantity", "value"], orient="row")

    def table(self) -> pl.DataFrame:
        """Return the same frame as :meth:`to_frame`."""
        return self.to_frame()
