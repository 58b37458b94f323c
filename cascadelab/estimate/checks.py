"""Checks at the door of every estimator: shapes, finite rows, constant and collinear columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cascadelab.errors import DataError, ParameterError
from cascadelab.estimate.warn import (
    CollinearError,
    ConstantRegressorError,
    LookAheadError,
    NonFiniteError,
)
from cascadelab.units import FloatArray

__all__ = [
    "are_units_far_apart",
    "assert_predetermined",
    "check_independent",
    "check_moves",
    "column_lengths",
    "columns",
    "control_columns",
    "floats",
    "fraction",
    "matrix",
    "vector",
]


def floats(values: npt.ArrayLike, what: str) -> FloatArray:
    """Return real numbers as floats, of any shape; NaN and infinity stay.

    Raises
    ------
    DataError
        Text, dates, complex numbers or masked rows.
    """
    if np.ma.is_masked(values):
        raise DataError(
            f"{what}: some rows are masked. Expected every row to count. Drop the masked rows on "
            f"purpose, and say so in the sample note."
        )
    raw = np.asarray(values)
    kind = raw.dtype.kind
    has_text = kind in "US"
    if kind == "O":
        has_text = any(isinstance(item, str | bytes) for item in raw.ravel())
    if kind in "cmM" or has_text:
        raise DataError(
            f"{what}: non-numbers of type {'text' if has_text else raw.dtype}. Expected real "
            f"numbers. Pass an array of floats."
        )
    try:
        return raw.astype(np.float64, copy=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what}: non-numbers ({error}). Pass an array of floats.") from None


def vector(values: npt.ArrayLike, name: str, n_rows: int | None = None) -> FloatArray:
    """Return `values` as a finite float vector.

    Parameters
    ----------
    values : array_like of shape (n_rows,)
    name : str
        For errors.
    n_rows : int or None
        Length expected, where known.

    Raises
    ------
    DataError
        Wrong dimension or length, or text where numbers are expected.
    NonFiniteError
        NaN or infinity, with the first row.
    """
    array = floats(values, repr(name))
    if array.ndim != 1:
        raise DataError(
            f"{name!r} has shape {array.shape}. Expected one dimension. Pass one column."
        )
    if n_rows is not None and array.size != n_rows:
        raise DataError(
            f"{name!r} has {array.size} rows. Expected {n_rows}, as the outcome has. "
            f"Align the series first."
        )
    if array.size == 0:
        raise DataError(f"{name!r} is empty. Expected at least one row. Check the sample rule.")
    bad = ~np.isfinite(array)
    if bad.any():
        row = int(bad.argmax())
        raise NonFiniteError.of(name, row, float(array[row]), int(bad.sum()))
    return array


def matrix(values: npt.ArrayLike, names: Sequence[str], n_rows: int, what: str) -> FloatArray:
    """Return `values` as a finite float matrix of shape (n_rows, n_columns), columns named.

    Raises
    ------
    DataError
        Wrong shape, or another number of names than columns, or a repeated name.
    NonFiniteError
        NaN or infinity, with column and first row.
    """
    array = floats(values, what)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or array.shape[0] != n_rows:
        raise DataError(f"{what} have shape {array.shape}. Expected ({n_rows}, n). Align the rows.")
    if len(names) != array.shape[1]:
        raise DataError(
            f"{what}: {array.shape[1]} columns but {len(names)} names. Expected one name per "
            f"column. Pass names=."
        )
    if len(set(names)) != len(names):
        raise DataError(f"{what}: a name is given twice in {list(names)}. Use distinct names.")
    if "constant" in names:
        raise DataError(
            f"{what}: a column is named 'constant'. Expected another name: it is that of the "
            f"constant, which is added for you. Drop the column or rename it."
        )
    if not np.isfinite(array).all():
        for position, name in enumerate(names):
            vector(array[:, position], name)
    return array


def control_columns(controls: npt.ArrayLike, n_rows: int) -> tuple[FloatArray, list[str]]:
    """Controls as a finite matrix of shape (n_rows, c), and the names ``control 1`` ...

    Raises
    ------
    DataError
        The rows are not `n_rows`, as when the matrix is the wrong way round.
    """
    shape = np.shape(controls)
    count = shape[1] if len(shape) == 2 else 1
    names = [f"control {i + 1}" for i in range(count)]
    return matrix(controls, names, n_rows, "controls"), names


def columns(*parts: FloatArray) -> FloatArray:
    """Return vectors and matrices side by side, shape (n, total columns)."""
    return np.column_stack(parts)


def column_lengths(design: FloatArray) -> FloatArray:
    """Root mean square of each column, 1 for a column of zeros; shape (k,)."""
    size = np.sqrt(np.einsum("ij,ij->j", design, design) / max(design.shape[0], 1))
    return np.where(size > 0, size, 1.0)


def are_units_far_apart(design: FloatArray, ratio: float) -> bool:
    """Whether column sizes differ by more than `ratio`: sums that are not scaled lose digits."""
    size = column_lengths(design)
    return bool(size.max() > ratio * size.min())


def check_moves(values: FloatArray, name: str) -> None:
    """Raise :class:`ConstantRegressorError` if a vector never moves."""
    if values.size > 1 and values[0] != values[-1]:
        return
    if values.size == 0 or float(np.ptp(values)) == 0.0:
        raise ConstantRegressorError.of(name, float(values[0]) if values.size else float("nan"))


def check_independent(
    design: FloatArray, names: Sequence[str], what: str, gram: FloatArray | None = None
) -> None:
    """Raise :class:`CollinearError` naming the first column that the earlier ones reproduce.

    A column counts as reproduced when less than 1e-10 of its length is left after projection.
    `gram`, the cross-products of `design`, saves a pass where it is known.
    """
    n_rows, n_columns = design.shape
    if n_rows <= n_columns:
        raise DataError(
            f"{what}: {n_rows} rows for {n_columns} columns. Expected more rows than columns. "
            f"Drop columns or lengthen the sample."
        )
    gram = design.T @ design if gram is None else gram
    length = np.sqrt(np.diag(gram))
    for position in np.flatnonzero(length == 0.0):
        raise ConstantRegressorError.of(names[int(position)], 0.0)
    if np.linalg.eigvalsh(gram / np.outer(length, length))[0] > 1e-8:
        return
    left = np.abs(np.diag(np.linalg.qr(design / length, mode="r")))
    dependent = np.flatnonzero(left < 1e-10)
    if dependent.size:
        raise CollinearError.of(what, tuple(names), names[int(dependent[0])])


def fraction(value: float, name: str) -> float:
    """Return `value` if it lies strictly between 0 and 1."""
    if not 0.0 < value < 1.0:
        raise ParameterError(f"{name} is {value!r}; expected a fraction in (0, 1). Pass one.")
    return float(value)


def assert_predetermined(
    exposure_at: npt.ArrayLike, outcome_at: npt.ArrayLike, *, name: str = "exposure"
) -> None:
    """Raise unless every exposure was measured strictly before its outcome window opens.

    Parameters
    ----------
    exposure_at, outcome_at : array_like of shape (n,)
        Times, as numbers or datetime64, same clock and unit: when the exposure was last updated,
        and when its outcome window starts.
    name : str
        Name of the exposure, for the error.

    Raises
    ------
    LookAheadError
        Names the first row whose exposure is stamped at or after its outcome.
    """
    exposure, outcome = np.asarray(exposure_at), np.asarray(outcome_at)
    for stamps in (exposure, outcome):
        if stamps.dtype.kind in "USO" and any(isinstance(at, str | bytes) for at in stamps.ravel()):
            raise DataError(
                f"{name!r}: times are text ({stamps.ravel()[0]}), whose order is that of letters. "
                f"Expected numbers or datetimes. Convert them, with "
                f"pl.Series(...).str.to_datetime() for instance."
            )
    if exposure.shape != outcome.shape:
        raise DataError(
            f"{name!r}: {exposure.shape} exposure times for {outcome.shape} outcome times. "
            f"Expected one for each. Align them."
        )
    try:
        late = ~(exposure < outcome)
    except TypeError:
        raise DataError(
            f"{name!r}: times of type {exposure.dtype} and {outcome.dtype} cannot be compared. "
            f"Expected both on one clock, as numbers or as datetimes. Convert one of them."
        ) from None
    if late.any():
        row = int(late.argmax())
        raise LookAheadError(
            f"{name!r}, row {row} is stamped {exposure[row]}, at or after its outcome "
            f"({outcome[row]}); {int(late.sum())} rows in all. Expected exposures strictly before "
            f"the outcome window. Lag the exposure."
        )
