"""Discrete cascades: how many positions one trigger takes with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.criticality import loop_gain
from cascadelab.errors import ParameterError
from cascadelab.flow import ForcedFlow
from cascadelab.impact import Impact
from cascadelab.units import FloatArray

__all__ = [
    "BorelAvalanche",
    "FiniteAvalanche",
    "simulate_avalanches",
    "slow_drive_counts",
]

#: Random numbers drawn at a time.
_BLOCK = 2_000_000
#: Avalanches of more positions than this are taken as never ending.
_ENDLESS = 10_000_000


@dataclass(frozen=True, kw_only=True)
class BorelAvalanche:
    r"""Number of positions closed after one trigger: the Borel law with parameter g.

    Equal sizes q, Poisson thresholds with density :math:`\rho_n` (positions per coordinate
    unit) and linear impact :math:`\lambda` give it exactly, with :math:`g=\lambda q\rho_n`.

    Parameters
    ----------
    gain : float
        g, in (0, 50].

    Notes
    -----
    :math:`P(k)=e^{-gk}(gk)^{k-1}/k!` for :math:`k \ge 1`, the trigger included. The law of the
    total progeny of a Poisson branching process (Borel 1942; Otter 1949).

    Examples
    --------
    >>> BorelAvalanche(gain=0.5).probability([1, 2, 3]).round(5)
    array([0.60653, 0.18394, 0.08367])
    """

    gain: float

    def __post_init__(self) -> None:
        if not 0 < self.gain <= 50:
            raise ParameterError.out_of_range(self, "gain", "(0, 50]")

    def probability(self, n_closed: npt.ArrayLike) -> FloatArray:
        """P(k), shape of the input; 0 for k below 1."""
        from scipy.special import gammaln

        k = np.asarray(n_closed, dtype=np.float64)
        safe = np.maximum(k, 1.0)
        log_p = -self.gain * safe + (safe - 1.0) * np.log(self.gain * safe) - gammaln(safe + 1.0)
        return np.where(k >= 1, np.exp(log_p), 0.0)

    @property
    def mean(self) -> float:
        """Mean of k, 1/(1-g); infinite from g = 1 on."""
        return 1.0 / (1.0 - self.gain) if self.gain < 1 else float("inf")

    @property
    def variance(self) -> float:
        """Variance of k, g/(1-g)^3; infinite from g = 1 on."""
        return self.gain / (1.0 - self.gain) ** 3 if self.gain < 1 else float("inf")

    @property
    def cutoff(self) -> float:
        r"""Size :math:`k_\xi` beyond which the tail :math:`k^{-3/2}` is cut; infinite at g = 1."""
        excess = self.gain - 1.0
        if abs(excess) < 1e-3:  # the difference of two near numbers has lost its digits
            terms = [(-excess) ** n / n for n in range(2, 8)]
            return 1.0 / sum(terms) if excess else float("inf")
        return 1.0 / (excess - float(np.log1p(excess)))

    @property
    def infinite_probability(self) -> float:
        r"""Probability that the avalanche never ends, :math:`1+W_0(-ge^{-g})/g`; 0 up to g = 1."""
        if self.gain <= 1:
            return 0.0
        from scipy.special import lambertw

        excess, gain = self.gain - 1.0, self.gain
        share = 1.0 + float(lambertw(-gain * np.exp(-gain)).real) / gain
        if excess > 0.01:
            return share
        share = 2.0 * excess / gain**2  # W_0 has lost its digits so near its branch point
        for _ in range(6):
            share -= (share + np.expm1(-gain * share)) / (1.0 - gain * np.exp(-gain * share))
        return float(share)

    def mean_total_base(self, mean_size_base: float) -> float:
        """Mean quantity sold, E[q]/(1-g), for independent sizes of that mean; g counts E[q]."""
        return mean_size_base * self.mean

    def draw(self, n_draws: int, rng: np.random.Generator) -> FloatArray:
        """Sizes of independent avalanches, drawn generation by generation.

        Parameters
        ----------
        n_draws : int
        rng : numpy.random.Generator

        Returns
        -------
        ndarray of shape (n_draws,)
            Positions closed, the trigger included; infinite for an avalanche that passes ten
            million, which for a gain above 1 happens with `infinite_probability`.
        """
        _require_runs("n_draws", n_draws)
        total = np.ones(n_draws)
        living = np.ones(n_draws)
        active = np.arange(n_draws)
        while active.size:
            born = rng.poisson(self.gain * living[active]).astype(np.float64)
            living[active] = born
            total[active] += born
            total[active[total[active] > _ENDLESS]] = np.inf
            active = active[(born > 0) & np.isfinite(total[active])]
        return total


@dataclass(frozen=True, kw_only=True)
class FiniteAvalanche:
    r"""Exact law of an avalanche among finitely many positions with even thresholds.

    One position is closed; N others have independent thresholds, uniform on a band, and each
    closed position moves the mark by a share a = g/N of the band.

    Parameters
    ----------
    n_positions : int
        N, other positions, at least 1.
    gain : float
        g, the mean number of positions that one closed position reaches; positive.

    Notes
    -----
    :math:`P(k)=\frac1k\binom{N}{k-1}(ka)^{k-1}(1-ka)^{N-k+1}` for :math:`ka<1`: k - 1 thresholds
    in the range swept by k positions, arranged so that it did not stop earlier, which has the
    probability 1/k (parking functions). What is left is the probability that all N + 1 go. As
    :math:`N\to\infty` it becomes the Borel law. Up to a gain of 1 that probability is
    :math:`(N+1)^{N-1}(g/N)^N`.
    """

    n_positions: int
    gain: float

    def __post_init__(self) -> None:
        is_count = isinstance(self.n_positions, int | np.integer)
        if not is_count or isinstance(self.n_positions, bool) or self.n_positions < 1:
            raise ParameterError.out_of_range(self, "n_positions", "an integer of at least 1")
        if not (np.isfinite(self.gain) and self.gain > 0):
            raise ParameterError.out_of_range(self, "gain", "a positive finite number")

    def probability(self, n_closed: npt.ArrayLike) -> FloatArray:
        """P(k), shape of the input; 0 outside 1 to N + 1."""
        k = np.asarray(n_closed, dtype=np.int64)
        law = self.law
        inside = (k >= 1) & (k <= self.n_positions + 1)
        return np.where(inside, law[np.clip(k, 1, self.n_positions + 1) - 1], 0.0)

    @property
    def law(self) -> FloatArray:
        """P(1) to P(N + 1), shape (n_positions + 1,)."""
        from scipy.special import gammaln, xlog1py

        n = self.n_positions
        k = np.arange(1, n + 1, dtype=np.float64)
        swept = k * self.gain / n
        inside = np.where(swept < 1, swept, 0.5)
        log_p = gammaln(n + 1.0) - gammaln(k) - gammaln(n - k + 2.0) - np.log(k)
        log_p += (k - 1) * np.log(inside) + xlog1py(n - k + 1, -inside)
        part = np.where(swept < 1, np.exp(np.maximum(log_p, -700.0)), 0.0)
        if self.gain > 1:
            return np.append(part, max(1.0 - float(part.sum()), 0.0))
        log_all = (n - 1) * np.log(n + 1.0) + n * np.log(self.gain / n)
        return np.append(part, np.exp(max(log_all, -700.0)))

    @property
    def mean(self) -> float:
        """Mean number of positions closed, the trigger included."""
        return float(self.law @ np.arange(1, self.n_positions + 2))

    @property
    def all_probability(self) -> float:
        """Probability that every position is closed."""
        return float(self.law[-1])


def _require_runs(name: str, value: int) -> None:
    is_count = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not (is_count and value >= 0):
        raise ParameterError(f"{name} is {value!r}; expected an integer of at least 0. Pass one.")


def simulate_avalanches(
    *,
    n_positions: int,
    gain: float,
    n_runs: int,
    rng: np.random.Generator,
    relative_sizes: Callable[[np.random.Generator, tuple[int, int]], FloatArray] | None = None,
) -> pl.DataFrame:
    """Avalanches in books of finitely many positions with uniform thresholds, drawn and followed.

    Parameters
    ----------
    n_positions : int
        Positions besides the trigger.
    gain : float
        Mean number of positions that one closed position of mean size reaches.
    n_runs : int
        Books.
    rng : numpy.random.Generator
    relative_sizes : callable, optional
        Draws sizes over their mean, given a generator and a shape (n_runs, n_positions + 1), the
        trigger first. None: equal sizes.

    Returns
    -------
    polars.DataFrame
        One row per run: ``n_closed`` (the trigger included) and ``closed_size`` (sum of relative
        sizes).
    """
    law = FiniteAvalanche(n_positions=n_positions, gain=gain)
    _require_runs("n_runs", n_runs)
    parts = []
    per_block = max(1, _BLOCK // (n_positions + 1))
    for start in range(0, n_runs, per_block):
        n = min(per_block, n_runs - start)
        thresholds = np.sort(rng.random((n, n_positions)), axis=1)
        shape = (n, n_positions + 1)
        sizes = np.ones(shape) if relative_sizes is None else relative_sizes(rng, shape)
        swept = np.cumsum(sizes, axis=1)
        stops = np.ones(shape, dtype=bool)
        stops[:, :-1] = thresholds > swept[:, :-1] * (law.gain / n_positions)
        last = np.argmax(stops, axis=1)
        closed = swept[np.arange(n), last]
        parts.append(pl.DataFrame({"n_closed": last + 1, "closed_size": closed}))
    schema = {"n_closed": pl.Int64, "closed_size": pl.Float64}
    return pl.concat(parts) if parts else pl.DataFrame(schema=schema)


def slow_drive_counts(
    n_closed: npt.ArrayLike, flow: ForcedFlow, impact: Impact, size_base: float, upper: float
) -> FloatArray:
    r"""Expected number of avalanches of each size while a shock slowly sweeps a curve.

    Parameters
    ----------
    n_closed : array_like of shape (n_sizes,)
        Avalanche sizes k, positions.
    flow : ForcedFlow
        Curve; positions of one size, with Poisson thresholds.
    impact : Impact
    size_base : float
        Size of a position, base units.
    upper : float
        Move up to which the curve is swept, coordinate units; the gain must stay at most 1.

    Returns
    -------
    ndarray of shape (n_sizes,)
        :math:`D_k=\int\rho_n(y)(1-g(y))\,\mathrm{Borel}(k;g(y))\,dy`; :math:`\sum_k k D_k` is the
        number of positions swept.

    Raises
    ------
    ParameterError
        If the gain exceeds 1 before `upper`: the sweep ends in a jump there.

    References
    ----------
    Pradhan, Hansen, Hemmer (2006), Crossover Behavior in Failure Avalanches (fibre bundles).
    """
    nodes, weights = np.polynomial.legendre.leggauss(8)
    jumps = [move for move in getattr(flow, "edges", ()) if 0.0 < move < upper]
    edges = np.unique(np.concatenate([np.linspace(0.0, upper, 513), jumps]))
    half = 0.5 * np.diff(edges)
    moves = ((edges[:-1] + half)[:, None] + half[:, None] * nodes).ravel()
    gains = loop_gain(flow, impact, moves)
    if (gains > 1).any():
        raise ParameterError(
            f"The loop gain passes 1 at a move of {moves[np.argmax(gains > 1)]:.6g}; expected at "
            f"most 1 up to upper. The sweep jumps there: stop before it."
        )
    share = (half[:, None] * weights).ravel()
    rate = share * flow.density(moves) / size_base * (1.0 - gains)
    counts = [float(rate @ _borel(float(k), gains)) for k in np.atleast_1d(np.asarray(n_closed))]
    return np.array(counts)


def _borel(k: float, gains: FloatArray) -> FloatArray:
    """Borel probability of one size for many gains, those of zero included."""
    from scipy.special import gammaln, xlogy

    log_p = -gains * k + xlogy(k - 1.0, gains * k) - float(gammaln(k + 1.0))
    return np.asarray(np.exp(np.maximum(log_p, -700.0)))
