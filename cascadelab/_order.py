"""One order of floats: stable, quick, and the same on every processor."""

from __future__ import annotations

import numpy as np

from cascadelab.units import FloatArray, IntArray

__all__ = ["stable_order"]

#: Length up to which NumPy's own stable sort costs less than the passes before ours.
_SHORT = 1024
_MISSING = np.float64("nan").view(np.int64) & np.int64(0x7FFF_FFFF_FFFF_FFFF)


def stable_order(values: FloatArray) -> IntArray:
    """Order of rising values, equal ones in their own order, NaN last.

    Parameters
    ----------
    values : ndarray of shape (n,)

    Returns
    -------
    ndarray of shape (n,)
        What ``np.argsort(values, kind="stable")`` gives, several times faster on long arrays.

    Notes
    -----
    The leading bits of a float rank like the float; the place takes the place of the others, and
    one sort of integers does for both. Values equal in all leading bits are put right afterwards.
    """
    if len(values) <= _SHORT:
        return np.argsort(values, kind="stable")
    n_bits = (len(values) - 1).bit_length()
    keys = (values + 0.0).view(np.int64)  # adding zero leaves one kind of zero
    is_missing = values != values
    if is_missing.any():
        keys[is_missing] = _MISSING
    del is_missing
    if keys.min() < 0:  # a negative float falls as its bits rise
        keys ^= (keys >> 63) & np.int64(0x7FFF_FFFF_FFFF_FFFF)
    keys &= -1 << n_bits
    keys |= np.arange(len(values))
    keys.sort()
    keys &= (1 << n_bits) - 1
    ranked = values[keys]
    if (ranked[1:] < ranked[:-1]).any():
        again = np.argsort(ranked, kind="stable")
        del ranked
        return np.asarray(keys[again])
    return keys
