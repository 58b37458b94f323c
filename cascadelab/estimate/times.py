"""When regressors that must be predetermined were measured, and the check that they were."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cascadelab.errors import DataError
from cascadelab.estimate.checks import assert_predetermined

__all__ = ["ExposureTimes", "check_times"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ExposureTimes:
    """When exposures were measured and when their outcome windows open.

    Parameters
    ----------
    exposure_at, outcome_at : array_like of shape (n,)
        Same clock; exposures must be strictly earlier, row by row. Where a row has several
        predetermined regressors, the time of the latest.
    """

    exposure_at: npt.ArrayLike
    outcome_at: npt.ArrayLike


def check_times(times: ExposureTimes, n_rows: int, *, name: str = "exposure") -> None:
    """Raise unless there is one exposure time per row, strictly before its outcome.

    Parameters
    ----------
    times : ExposureTimes
    n_rows : int
    name : str
        Name of the exposure, for the error.

    Raises
    ------
    DataError
        No times, or another number of them than rows.
    LookAheadError
        An exposure is stamped at or after its outcome.
    """
    stamps(times, name)
    if np.shape(times.exposure_at) != (n_rows,):
        raise DataError(
            f"{name} times have shape {np.shape(times.exposure_at)}. Expected {(n_rows,)}, one "
            f"for each row of the outcome, so that every row is checked. Pass them row by row."
        )
    assert_predetermined(times.exposure_at, times.outcome_at, name=name)


def stamps(
    times: ExposureTimes, name: str
) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]]:
    """Exposure and outcome times as arrays; refuses anything but :class:`ExposureTimes`."""
    if not isinstance(times, ExposureTimes):
        raise DataError(
            f"times of the {name} are {type(times).__name__}. Expected ExposureTimes, so that a "
            f"look-ahead is seen. Pass ExposureTimes(exposure_at=..., outcome_at=...)."
        )
    return np.asarray(times.exposure_at), np.asarray(times.outcome_at)
