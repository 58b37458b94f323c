"""Functions for the tests of the grid, importable by worker processes; and a run to be killed."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np

from cascadelab.errors import BookExhausted


def cascade(point, rng):
    """A drawn book and its cascade: randomness and the solver together."""
    import cascadelab as cl

    thresholds = rng.uniform(0, 30, point["n"])
    flow = cl.LedgerFlow(thresholds, np.ones(point["n"]), cl.Coordinate(reference_price=100.0))
    solved = cl.solve(flow, cl.LinearImpact(slope_per_base=20.0 / point["n"]), point["shock"])
    return {"move": solved.move, "n_rounds": solved.n_rounds, "status": solved.status}


def two_rows(point, rng):
    """Several rows, of which one column is missing at times."""
    rows = [{"draw": float(rng.random()), "index": i} for i in range(2)]
    return rows if point["x"] % 2 else [{**row, "odd": None} for row in rows]


def dies_half_way(point, rng):
    """Kill the process without warning at one point, if its folder says so."""
    if point["x"] == 60 and Path(os.environ["GRID_KILL"]).exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return {"draw": rng.standard_normal()}


def fails(point, rng):
    if point["x"] == 3:
        raise ZeroDivisionError("three")
    return {"y": point["x"]}


def exhausts(point, rng):
    raise BookExhausted(point["x"], 2.0)


if __name__ == "__main__":
    from cascadelab import grid
    from tests.grid_points import dies_half_way as function

    grid.run(function, [{"x": i} for i in range(100)], seed=5, folder=sys.argv[1])
