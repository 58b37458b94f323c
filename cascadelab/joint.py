"""The least fixed point of several assets or venues that move each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.display import Displayed, Summary
from cascadelab.errors import ParameterError
from cascadelab.ledger_flow import LedgerFlow
from cascadelab.units import FloatArray

__all__ = ["FlowCurve", "JointCascade", "solve_joint"]


class FlowCurve(Protocol):
    """What a joint cascade asks of a forced-flow curve."""

    def quantity(self, move: npt.ArrayLike) -> FloatArray:
        """Q(y), base units."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class JointCascade(Displayed):
    """Where a cascade over several assets or venues stopped.

    Parameters
    ----------
    shock, move, quantity_base : ndarray of shape (n_nodes,)
        Coordinate units, coordinate units, base units.
    rounds : ndarray of shape (n_rounds + 1, n_nodes)
        Moves after each round.
    status : str
        ``"settled"`` or ``"not_converged"``.
    labels : sequence of str
    """

    shock: FloatArray
    move: FloatArray
    quantity_base: FloatArray
    rounds: FloatArray = field(repr=False)
    status: str
    labels: Sequence[str]

    @property
    def n_rounds(self) -> int:
        """Rounds until nothing more was sold."""
        return len(self.rounds) - 1

    def to_frame(self) -> pl.DataFrame:
        """One row per node: ``node``, ``shock``, ``move``, ``quantity_base``, ``secant_gain``."""
        share = np.divide(
            self.move - self.shock,
            self.move,
            out=np.full_like(self.move, np.nan),
            where=self.move > 0,
        )
        return pl.DataFrame(
            {
                "node": list(self.labels),
                "shock": self.shock,
                "move": self.move,
                "quantity_base": self.quantity_base,
                "secant_gain": share,
            }
        )

    def summary(self) -> Summary:
        """Return the nodes as a printable table."""
        rows: list[tuple[str, object]] = [("rounds", self.n_rounds), ("status", self.status)]
        return Summary(title="Joint cascade", rows=rows, frame=self.to_frame())


def solve_joint(
    flows: Sequence[FlowCurve],
    impact: npt.ArrayLike,
    shock: npt.ArrayLike,
    *,
    labels: Sequence[str] = (),
    max_rounds: int = 100_000,
    tolerance: float = 1e-13,
) -> JointCascade:
    r"""Return the least fixed point of :math:`y=s+\Lambda Q(y)` by isotone rounds.

    Parameters
    ----------
    flows : sequence of FlowCurve
        One curve per node, each of its own move.
    impact : array_like of shape (n_nodes, n_nodes)
        :math:`\Lambda\ge 0`: row b is what a unit sold of each node moves node b.
    shock : array_like of shape (n_nodes,)
        At least 0.
    labels : sequence of str
    max_rounds : int
        A cap that binds shows as status ``"not_converged"``.
    tolerance : float
        Curves: rounds end when none adds more than this share of its own move. Books end exactly.

    Returns
    -------
    JointCascade

    Notes
    -----
    The map is isotone, so rounds from the shock rise to the least fixed point
    (Knaster-Tarski). Cross-margin accounts, whose trigger needs several prices at once, are
    simulated by :mod:`cascadelab.dynamics.cross`.
    """
    slopes = np.asarray(impact, dtype=np.float64)
    start = np.asarray(shock, dtype=np.float64)
    names = tuple(labels) or tuple(str(i) for i in range(len(flows)))
    _check_joint(slopes, start, len(flows), names)
    moves = [start]
    sold = np.zeros_like(start)
    slack = np.array([0.0 if isinstance(flow, LedgerFlow) else tolerance for flow in flows])
    status = "not_converged"
    for _ in range(max_rounds):
        sold = np.array([float(flow.quantity(y)) for flow, y in zip(flows, moves[-1], strict=True)])
        after = start + slopes @ sold
        if (after <= moves[-1] * (1.0 + slack)).all():
            status = "settled"
            break
        moves.append(after)
    return JointCascade(
        shock=start,
        move=moves[-1],
        quantity_base=sold,
        rounds=np.array(moves),
        status=status,
        labels=names,
    )


def _check_joint(slopes: FloatArray, start: FloatArray, n_nodes: int, names: Sequence[str]) -> None:
    if slopes.shape != (n_nodes, n_nodes) or start.shape != (n_nodes,) or len(names) != n_nodes:
        raise ParameterError(
            f"{n_nodes} flows came with impact of shape {slopes.shape}, shock of shape "
            f"{start.shape} and {len(names)} labels; expected one row, column, shock and label per "
            f"flow. Correct the shapes."
        )
    values = np.concatenate([slopes.ravel(), start])
    if not (np.isfinite(values) & (values >= 0)).all():
        raise ParameterError(
            "impact or shock holds a negative, infinite or missing value; expected numbers of at "
            "least 0, because rounds rise to the least fixed point only then. Correct the sign."
        )
