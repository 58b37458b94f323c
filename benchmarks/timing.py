"""Side-by-side timing: two callables in turn, in one process, medians and their ratio."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

__all__ = ["Ratio", "compare"]


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How many times faster than its baseline a job is.

    Parameters
    ----------
    job, baseline : str
        What is timed, and against what.
    ratio : float
        Median time of the baseline over the median time of the job.
    floor : float
        The ratio aimed at.
    n_rounds : int
        Interleaved rounds.
    note : str
        What a reader needs to read the ratio, such as the number of cascade rounds.
    """

    job: str
    baseline: str
    ratio: float
    floor: float
    n_rounds: int
    note: str = ""


def compare(
    job: Callable[[], object], baseline: Callable[[], object], *, n_rounds: int = 7
) -> float:
    """Median time of `baseline` over median time of `job`, timed in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    job()
    baseline()
    gc.disable()
    try:
        for _ in range(n_rounds):
            for call, kept in zip((job, baseline), times, strict=True):
                start = time.perf_counter()
                call()
                kept.append(time.perf_counter() - start)
    finally:
        gc.enable()
    return median(times[1]) / median(times[0])
