"""Checks of what the Hawkes functions are given beside the event times."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from cascadelab.errors import ParameterError
from cascadelab.units import FloatArray

__all__ = ["check_positive", "check_whole", "decays", "rates"]


def check_positive(**values: float) -> None:
    """Raise ParameterError unless each named value is a positive finite number."""
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise ParameterError(
                f"{name} is {value!r}; expected a positive finite number. Pass such a number."
            )


def check_whole(name: str, value: int, low: int, high: float = math.inf) -> None:
    """Raise ParameterError unless the value is a whole number from `low` to `high`."""
    if value != int(value) or not low <= value <= high:
        span = f"of at least {low}" if math.isinf(high) else f"from {low} to {high:g}"
        raise ParameterError(
            f"{name} is {value!r}; expected a whole number {span}. Pass such a number."
        )


def rates(values: npt.ArrayLike, name: str, *, shape: tuple[int, ...]) -> FloatArray:
    """Return finite numbers of at least 0 in a given shape.

    Parameters
    ----------
    values : array_like
    name : str
        For the error.
    shape : tuple of int

    Raises
    ------
    ParameterError
        Wrong shape, or a number that is negative or not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.shape != shape:
        raise ParameterError(f"{name} has shape {array.shape}; expected {shape}. Pass such values.")
    is_good = np.isfinite(array) & (array >= 0)
    if not is_good.all():
        place = np.argwhere(~is_good)[0].tolist()
        raise ParameterError(
            f"{name}, position {place}, is {array[tuple(place)]:g}; expected finite numbers of at "
            f"least 0. Pass such values."
        )
    return array


def decays(values: npt.ArrayLike, *, shape: tuple[int, ...]) -> FloatArray:
    """Return :func:`rates` of which none is 0: a kernel that never decays has no integral."""
    array = rates(values, "decay", shape=shape)
    if not (array > 0).all():
        raise ParameterError("A decay is 0; expected positive numbers per second. Pass such.")
    return array
