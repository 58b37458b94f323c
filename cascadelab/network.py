"""Several assets, venues or protocols in the linear regime: gain matrices, delays, attribution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.display import Displayed, Summary
from cascadelab.errors import ParameterError
from cascadelab.units import FloatArray

__all__ = [
    "DelayedPath",
    "GainMatrix",
    "cross_margin_gain",
    "oracle_gain",
    "spectral_radius",
]


def spectral_radius(matrix: npt.ArrayLike) -> float:
    """Largest modulus of an eigenvalue, for a square matrix."""
    table = np.asarray(matrix, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or not np.isfinite(table).all():
        raise ParameterError(
            f"matrix has shape {table.shape} or a value that is not finite; expected a square one "
            f"of finite numbers. Correct it."
        )
    values = np.linalg.eigvals(table)
    return float(np.abs(values).max(initial=0.0))


@dataclass(frozen=True, eq=False)
class GainMatrix(Displayed):
    r"""Loop gains between nodes: a unit move of node a moves node b by :math:`G_{ba}`.

    Parameters
    ----------
    matrix : ndarray of shape (n_nodes, n_nodes)
        :math:`G \ge 0`; row b is what node b receives.
    labels : sequence of str
        Names of the nodes (assets, venues, protocols, channels).

    Raises
    ------
    ParameterError
        If the matrix is not square, not finite, negative somewhere, or labels do not match.

    Notes
    -----
    In the linear regime :math:`y = s + G y`, which has a finite answer iff the spectral radius
    r(G) is below 1: two loops that are safe alone can be unstable together.

    Examples
    --------
    >>> loop = GainMatrix(np.array([[0.5, 0.2], [0.6, 0.3]]), ["spot", "vol"])
    >>> round(loop.spectral_radius, 8), loop.response([1.0, 0.0]).round(6).tolist()
    (0.76055513, [3.043478, 2.608696])
    """

    matrix: FloatArray
    labels: Sequence[str] = ()

    def __post_init__(self) -> None:
        matrix = np.array(self.matrix, dtype=np.float64)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
            raise ParameterError(
                f"matrix has shape {matrix.shape}; expected a square one of at least one node. "
                f"Pass one row and one column per node."
            )
        bad = ~(np.isfinite(matrix) & (matrix >= 0))
        if bad.any():
            row, column = np.argwhere(bad)[0].tolist()
            raise ParameterError(
                f"matrix[{row}, {column}] is {matrix[row, column]}; expected finite gains of at "
                f"least 0. A damping channel belongs into the diagonal of its own model."
            )
        labels = tuple(self.labels) or tuple(str(i) for i in range(len(matrix)))
        if len(labels) != len(matrix) or len(set(labels)) != len(labels):
            raise ParameterError(
                f"labels are {labels}; expected {len(matrix)} different names. Name each node once."
            )
        matrix.flags.writeable = False
        object.__setattr__(self, "matrix", matrix)
        object.__setattr__(self, "labels", labels)

    @cached_property
    def spectral_radius(self) -> float:
        """r(G); stable below 1, whatever the delays."""
        return spectral_radius(self.matrix)

    @property
    def is_stable(self) -> bool:
        """Whether r(G) < 1."""
        return self.spectral_radius < 1.0

    def response(self, shock: npt.ArrayLike) -> FloatArray:
        """Total moves :math:`(I-G)^{-1}s` of a shock, shape (n_nodes,).

        Raises
        ------
        ParameterError
            If r(G) >= 1, where no finite response exists, or the shock has another shape.
        """
        given = self._shock(shock)
        if not self.is_stable:
            raise ParameterError(
                f"The spectral radius is {self.spectral_radius:.6g}; expected below 1, because "
                f"moves grow without bound otherwise. Lower gains, or solve the curves with "
                f"solve_joint(), which end."
            )
        moves = np.linalg.solve(np.eye(len(self.matrix)) - self.matrix, given).astype(np.float64)
        return np.asarray(moves, dtype=np.float64)

    def _shock(self, shock: npt.ArrayLike) -> FloatArray:
        given = np.asarray(shock, dtype=np.float64)
        if given.shape != (len(self.matrix),) or not np.isfinite(given).all():
            raise ParameterError(
                f"shock is {given.tolist()}; expected {len(self.matrix)} finite moves, one per "
                f"node. Pass them in the order of labels."
            )
        return given

    @cached_property
    def importance(self) -> FloatArray:
        """Left eigenvector of r(G), shape (n_nodes,), adding to 1.

        How much a unit shock at each node feeds the slowest-dying pattern of moves.
        """
        return _perron(self.matrix.T)

    @cached_property
    def pattern(self) -> FloatArray:
        """Right eigenvector of r(G), shape (n_nodes,), adding to 1: how late moves are shared."""
        return _perron(self.matrix)

    def without(self, label: str) -> GainMatrix:
        """Return the matrix with one node's row and column set to zero."""
        if label not in self.labels:
            raise ParameterError.unknown("node", label, self.labels)
        at = list(self.labels).index(label)
        matrix = self.matrix.copy()
        matrix[at, :] = 0.0
        matrix[:, at] = 0.0
        return GainMatrix(matrix, self.labels)

    def attribution(self) -> pl.DataFrame:
        """What removing each node does to r(G), the largest effect first.

        Returns
        -------
        polars.DataFrame
            ``node``, ``own_gain``, ``radius_without``, ``radius_fall``, ``importance``
            (left eigenvector) and ``share_of_pattern`` (right eigenvector).
        """
        own = np.diag(self.matrix)
        left = np.array([self.without(name).spectral_radius for name in self.labels])
        return pl.DataFrame(
            {
                "node": list(self.labels),
                "own_gain": own,
                "radius_without": left,
                "radius_fall": self.spectral_radius - left,
                "importance": self.importance,
                "share_of_pattern": self.pattern,
            }
        ).sort("radius_fall", descending=True, maintain_order=True)

    def edges(self) -> pl.DataFrame:
        r"""What a small change of each gain does to r(G), the largest first.

        Returns
        -------
        polars.DataFrame
            ``source``, ``target``, ``gain``, ``sensitivity`` :math:`\partial r/\partial G_{ba}`,
            ``radius_without``: r(G) with that one gain at 0.
        """
        left, right = self.importance, self.pattern
        scale = float(left @ right)
        slope = np.outer(left, right) / scale if scale > 0 else np.zeros_like(self.matrix)
        rows = []
        for b, a in np.argwhere(self.matrix > 0).tolist():
            cut = self.matrix.copy()
            cut[b, a] = 0.0
            ends = (self.labels[a], self.labels[b])
            gains = (self.matrix[b, a], slope[b, a], spectral_radius(cut))
            rows.append((*ends, *(float(value) for value in gains)))
        schema = ["source", "target", "gain", "sensitivity", "radius_without"]
        frame = pl.DataFrame(rows, schema=schema, orient="row")
        return frame.sort("radius_without", maintain_order=True) if rows else frame

    def growth_rate(self, delay_s: npt.ArrayLike) -> float:
        r"""Rate :math:`\nu` at which moves grow (or die, negative) under delays, per second.

        Parameters
        ----------
        delay_s : array_like of shape (n_nodes, n_nodes)
            Seconds from node a (column) to node b (row), positive where the gain is.

        Returns
        -------
        float
            Root of :math:`r(G\circ e^{-\nu\tau})=1`; minus infinity if moves die out in
            finitely many steps. One loop: :math:`\nu=\ln g/\tau`.

        Notes
        -----
        The sign of the rate is that of r(G) - 1 whatever the delays: they set speed only.
        """
        delay = self._delays(delay_s)
        if spectral_radius(self.matrix > 0) < 1e-12:
            return float("-inf")

        def radius(rate: float) -> float:
            return spectral_radius(self.matrix * np.exp(-rate * delay))

        step = 1.0 / float(delay[self.matrix > 0].max())
        low, high = (-step, 0.0) if radius(0.0) < 1 else (0.0, step)
        while radius(high) > 1:
            low, high = high, 2.0 * high
        while radius(low) < 1:
            low, high = 2.0 * low, low
        for _ in range(200):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if radius(middle) > 1 else (low, middle)
        return 0.5 * (low + high)

    def _delays(self, delay_s: npt.ArrayLike) -> FloatArray:
        delay = np.asarray(delay_s, dtype=np.float64)
        is_good = delay.shape == self.matrix.shape
        if is_good:
            used = delay[self.matrix > 0]
            is_good = bool((np.isfinite(used) & (used > 0)).all())
        if not is_good:
            raise ParameterError(
                f"delay_s has shape {delay.shape} or a value that is not positive and "
                f"finite; expected {self.matrix.shape}, positive where the gain is. Use the "
                f"engine's interval for what seems instantaneous."
            )
        return delay

    def simulate(
        self, shock: npt.ArrayLike, delay_s: npt.ArrayLike, *, step_s: float = 1.0, n_steps: int
    ) -> DelayedPath:
        r"""Moves through time after a lasting shock.

        :math:`y_b(t)=s_b+\sum_a G_{ba}y_a(t-\tau_{ba})`.

        Parameters
        ----------
        shock : array_like of shape (n_nodes,)
        delay_s : array_like of shape (n_nodes, n_nodes)
            Seconds, multiples of `step_s`.
        step_s : float
        n_steps : int

        Returns
        -------
        DelayedPath
        """
        given = self._shock(shock)
        delay = self._delays(delay_s)
        if not (step_s > 0 and n_steps >= 0):
            raise ParameterError(
                f"step_s is {step_s!r}, n_steps {n_steps!r}; expected positive seconds and at "
                f"least 0 steps. Correct them."
            )
        lag = np.rint(delay / step_s).astype(np.int64)
        is_edge = self.matrix > 0
        off = np.abs(lag * step_s - delay)[is_edge]
        if (off > 1e-9 * np.maximum(delay[is_edge], step_s)).any() or (lag[is_edge] < 1).any():
            raise ParameterError(
                f"A delay is no positive multiple of step_s = {step_s!r}; expected whole steps. "
                f"Choose a smaller step_s."
            )
        moves = np.zeros((n_steps + 1, len(given)))
        for t in range(n_steps + 1):
            at = t - lag
            past = np.where(at >= 0, moves[np.maximum(at, 0), np.arange(len(given))], 0.0)
            moves[t] = given + (self.matrix * past).sum(axis=1)
        times = step_s * np.arange(n_steps + 1, dtype=np.float64)
        return DelayedPath(times_s=np.asarray(times), moves=moves, labels=self.labels)

    def summary(self) -> Summary:
        """Spectral radius, stability and the attribution to nodes."""
        return Summary(
            title="Gain matrix",
            rows=[("spectral radius r(G)", self.spectral_radius), ("stable", self.is_stable)],
            frame=self.attribution(),
            notes=["radius_without: r(G) once the node's loops are cut."],
        )


def _perron(matrix: FloatArray) -> FloatArray:
    values, vectors = np.linalg.eig(matrix)
    vector = np.abs(np.real(vectors[:, int(np.argmax(np.real(values)))]))
    total = float(vector.sum())
    return np.asarray(vector / total) if total > 0 else vector


@dataclass(frozen=True, kw_only=True, eq=False)
class DelayedPath:
    """Moves of every node through time.

    Parameters
    ----------
    times_s : ndarray of shape (n_steps + 1,)
    moves : ndarray of shape (n_steps + 1, n_nodes)
        Coordinate units.
    labels : sequence of str
    """

    times_s: FloatArray
    moves: FloatArray
    labels: Sequence[str]

    def to_frame(self) -> pl.DataFrame:
        """One row per time and node: ``time_s``, ``node``, ``move``."""
        n_times, n_nodes = self.moves.shape
        return pl.DataFrame(
            {
                "time_s": np.repeat(self.times_s, n_nodes),
                "node": list(self.labels) * n_times,
                "move": self.moves.ravel(),
            }
        )


def cross_margin_gain(
    density_per_quote: float, impact: npt.ArrayLike, holdings_base: npt.ArrayLike
) -> FloatArray:
    r"""Gain matrix of accounts that all hold one portfolio, :math:`G=\phi\Lambda hh^T`.

    Parameters
    ----------
    density_per_quote : float
        :math:`\phi`, accounts per unit of equity buffer, at least 0.
    impact : array_like of shape (n_assets,) or (n_assets, n_assets)
        :math:`\Lambda`: own slopes, or own and cross slopes, quote per base per base.
    holdings_base : array_like of shape (n_assets,)
        :math:`h`, base units per account.

    Returns
    -------
    ndarray of shape (n_assets, n_assets)
        Rank one; :math:`r=\phi\,h^T\Lambda h`.

    Examples
    --------
    >>> gain = cross_margin_gain(0.3, [0.05, 0.2], [3.0, 2.0])
    >>> round(spectral_radius(gain), 12)
    0.375
    """
    slope = np.asarray(impact, dtype=np.float64)
    slope = np.diag(slope) if slope.ndim == 1 else slope
    holdings = np.asarray(holdings_base, dtype=np.float64)
    is_good = slope.shape == (holdings.size, holdings.size) and density_per_quote >= 0
    if not (is_good and np.isfinite(slope).all() and np.isfinite(holdings).all()):
        raise ParameterError(
            f"impact has shape {slope.shape}, holdings_base {holdings.shape}, density_per_quote is "
            f"{density_per_quote!r}; expected one finite slope per holding and a density of at "
            f"least 0. Correct them."
        )
    return np.asarray(density_per_quote * slope @ np.outer(holdings, holdings))


def oracle_gain(
    weights: npt.ArrayLike, impact: npt.ArrayLike, density_base: npt.ArrayLike
) -> FloatArray:
    r"""Gain matrix of protocols reading several venues, :math:`G_{uv}=w_{uv}\lambda_v\rho_u`.

    Parameters
    ----------
    weights : array_like of shape (n_protocols, n_venues)
        :math:`w_{uv}`: how far the oracle of protocol u follows venue v; here protocol v sells
        on venue v.
    impact : array_like of shape (n_venues,)
        Slopes :math:`\lambda_v`.
    density_base : array_like of shape (n_protocols,)
        Threshold densities :math:`\rho_u` of the protocols.

    Returns
    -------
    ndarray of shape (n, n)
        Acts on forced flow: entry (u, v) is what u sells per unit sold by v.
    """
    weight, slope = np.asarray(weights, dtype=np.float64), np.asarray(impact, dtype=np.float64)
    density = np.asarray(density_base, dtype=np.float64)
    n = slope.size
    is_good = weight.shape == (n, n) and slope.shape == density.shape == (n,)
    if not is_good or not all((part >= 0).all() for part in (weight, slope, density)):
        raise ParameterError(
            f"weights have shape {weight.shape}, impact {slope.shape}, density_base "
            f"{density.shape}, or one is negative or missing; expected one venue per protocol and "
            f"numbers of at least 0. Correct them."
        )
    return np.asarray(weight * slope * density[:, None])
