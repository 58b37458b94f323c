"""Exact quantile regression: an interior-point solver and Portnoy–Koenker reduction."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cascadelab.errors import ConvergenceError
from cascadelab.estimate.covariance import least_squares
from cascadelab.units import FloatArray

__all__ = ["check_loss", "quantile_coefficients"]

#: Rows above which the sample is first reduced to those near the quantile line.
FAST_FROM_ROWS = 20_000
_MOST_STEPS = 100
#: Share of the way to the boundary that a step may go.
_INSIDE = 0.9995


def check_loss(residual: FloatArray, quantile: float) -> float:
    """Sum of the check loss ``u (q - 1{u < 0})``: what quantile regression minimises."""
    return float(np.sum(residual * (quantile - (residual < 0))))


def quantile_coefficients(y: FloatArray, design: FloatArray, quantile: float) -> FloatArray:
    r"""Coefficients that minimise the check loss, at any sample size.

    Parameters
    ----------
    y : ndarray of shape (n,)
    design : ndarray of shape (n, k)
        Full rank, with its constant.
    quantile : float
        In (0, 1).

    Returns
    -------
    ndarray of shape (k,)

    Raises
    ------
    ConvergenceError
        The interior-point iteration did not close its gap.

    Notes
    -----
    Above 20,000 rows: Portnoy and Koenker (1997), section 5. A subsample gives the line; rows
    far above or below it are added up into two rows; the small problem is solved, and rows that
    turn out on the wrong side are put back until there are none, so that the answer is that of
    the full problem. References: doi:10.1214/ss/1030037960.
    """
    n_rows, n_columns = design.shape
    size = int(np.ceil((n_columns * float(n_rows)) ** (2.0 / 3.0)))
    if n_rows <= FAST_FROM_ROWS or 3 * size > n_rows:
        return _solve(y, design, quantile)
    rng = np.random.default_rng(n_rows)
    rows = np.sort(rng.choice(n_rows, size=size // 2, replace=False))
    spread = np.sqrt(quantile * (1.0 - quantile) * n_columns / rows.size)
    size = int(6.0 * spread * n_rows)
    start = _interior_point(y[rows], design[rows], quantile, tolerance=1e-4)
    for _ in range(6):
        residual = y - design @ start
        is_near = _near_line(residual, quantile, size)
        for _ in range(6):
            solution = _reduced(y, design, residual, quantile, is_near)
            left = y - design @ solution
            wrong = ~is_near & (np.sign(left) != np.sign(residual))
            if not wrong.any():
                return solution
            is_near |= wrong
        start, size = solution, min(2 * size, n_rows)
    return _solve(y, design, quantile)


def _near_line(residual: FloatArray, quantile: float, size: int) -> npt.NDArray[np.bool_]:
    """Mark about `size` rows around the quantile of the residuals, and all exact zeros."""
    half = size // 2
    middle = int(quantile * residual.size)
    low, high = max(middle - half, 0), min(middle + half, residual.size - 1)
    ends = np.partition(residual, (low, high))[[low, high]]
    return np.asarray(((residual >= ends[0]) & (residual <= ends[1])) | (residual == 0))


def _reduced(
    y: FloatArray,
    design: FloatArray,
    residual: FloatArray,
    quantile: float,
    is_near: npt.NDArray[np.bool_],
) -> FloatArray:
    """Solve with rows off the line summed into one row above and one below.

    A summed row keeps its sign because its response is moved far out: the loss of a row that
    stays on its side is linear in the coefficients, so only the sum of its regressors matters.
    """
    above, below = ~is_near & (residual > 0), ~is_near & (residual < 0)
    rows, values = [design[is_near]], [y[is_near]]
    reach = 10.0 * (1.0 + float(np.abs(y).sum()))
    for mask, sign in ((above, 1.0), (below, -1.0)):
        if mask.any():
            rows.append(mask.astype(np.float64)[None, :] @ design)
            values.append(np.array([sign * reach]))
    return _solve(np.concatenate(values), np.concatenate(rows), quantile, n_sums=len(rows) - 1)


def _solve(y: FloatArray, design: FloatArray, quantile: float, n_sums: int = 0) -> FloatArray:
    """Interior point, then the vertex next to it; the last `n_sums` rows are no candidates."""
    scale = np.sqrt(np.einsum("ij,ij->j", design, design) / design.shape[0])
    scaled = design / scale
    inner = _interior_point(y, scaled, quantile)
    vertex = _vertex(y, scaled, inner, n_sums)
    if check_loss(y - scaled @ vertex, quantile) <= check_loss(y - scaled @ inner, quantile):
        inner = vertex
    return np.asarray(inner / scale)


def _vertex(y: FloatArray, design: FloatArray, point: FloatArray, n_sums: int) -> FloatArray:
    """Fit through the k independent rows with the smallest residuals; `point` if there are none."""
    n_columns = design.shape[1]
    residual = np.abs(y - design @ point)
    if n_sums:
        residual[-n_sums:] = np.inf
    count = min(4 * n_columns, residual.size - n_sums)
    if count < n_columns:
        return point
    order = np.argpartition(residual, count - 1)[:count]
    order = order[np.argsort(residual[order], kind="stable")]
    chosen: list[int] = []
    for row in order.tolist():
        trial = [*chosen, row]
        if np.linalg.matrix_rank(design[trial], tol=1e-9) == len(trial):
            chosen = trial
        if len(chosen) == n_columns:
            return np.asarray(np.linalg.solve(design[chosen], y[chosen]))
    return point


def _longest(value: FloatArray, step: FloatArray) -> float:
    """Longest step that keeps `value` positive."""
    steepest = float(np.min(step / value))
    return -1.0 / steepest if steepest < 0 else 1e20


def _interior_point(
    y: FloatArray, design: FloatArray, quantile: float, tolerance: float = 1e-9
) -> FloatArray:
    r"""Predictor–corrector steps on the dual ``max y'a, X'a = (1-q) X'1, 0 <= a <= 1``.

    The multipliers of the equality are the coefficients. Stops when the duality gap is 1e-9 of
    the loss by default; the vertex next to the point is exact.
    """
    n_rows = y.size
    a = np.full(n_rows, 1.0 - quantile)
    slack = 1.0 - a
    coefficient = least_squares(design, y)
    residual = y - design @ coefficient
    if float(np.abs(residual).max()) <= 1e-12 * float(np.abs(y).max()):
        return coefficient
    floor = 1e-3 * (float(np.abs(residual).mean()) + 1e-300)
    upper = np.maximum(residual, 0.0) + floor
    lower = np.maximum(-residual, 0.0) + floor
    gap, total = np.inf, float(y.sum())
    for _ in range(_MOST_STEPS):
        gap = float(lower @ a + upper @ slack)
        loss = float(y @ a) - (1.0 - quantile) * total
        if gap <= tolerance * abs(loss) + 1e-300:
            return coefficient
        state = (a, slack, lower, upper)
        moves = _newton(design, state, np.zeros(n_rows), np.zeros(n_rows))
        target = _centre(state, moves, gap)
        if target > 0:
            fix_a = target - moves[1] * moves[3]
            fix_s = target + moves[1] * moves[4]
            moves = _newton(design, state, fix_a, fix_s)
        d_coefficient, d_a, d_lower, d_upper = moves[0], moves[1], moves[3], moves[4]
        primal = min(_INSIDE * min(_longest(a, d_a), _longest(slack, -d_a)), 1.0)
        dual = min(_INSIDE * min(_longest(lower, d_lower), _longest(upper, d_upper)), 1.0)
        a += primal * d_a
        slack -= primal * d_a
        coefficient = coefficient + dual * d_coefficient
        lower += dual * d_lower
        upper += dual * d_upper
        if max(primal, dual) < 1e-10:
            break
    if gap <= 1e-7 * abs(check_loss(y - design @ coefficient, quantile)) + 1e-12:
        return coefficient
    raise ConvergenceError(
        f"Quantile regression at {quantile:g} stopped with a duality gap of {gap:g}. Expected "
        f"1e-9 of the loss. Check for repeated rows or badly scaled columns.",
        gap,
        _MOST_STEPS,
    )


State = tuple[FloatArray, FloatArray, FloatArray, FloatArray]
Moves = tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]


def _newton(design: FloatArray, state: State, fix_a: FloatArray, fix_s: FloatArray) -> Moves:
    """Newton step of the optimality conditions with complementarity targets.

    Solves ``lower a -> fix_a`` and ``upper slack -> fix_s`` to first order, X'da = 0.
    """
    a, slack, lower, upper = state
    weight = 1.0 / (lower / a + upper / slack)
    pull = (upper - lower) + fix_a / a - fix_s / slack
    weighted = design * weight[:, None]
    normal = design.T @ weighted
    d_coefficient = np.asarray(np.linalg.solve(normal, weighted.T @ pull), dtype=np.float64)
    d_a = weight * (pull - design @ d_coefficient)
    d_lower = fix_a / a - lower - lower * d_a / a
    d_upper = fix_s / slack - upper + upper * d_a / slack
    return d_coefficient, d_a, -d_a, d_lower, d_upper


def _centre(state: State, moves: Moves, gap: float) -> float:
    """Mehrotra's centring target from the predictor step."""
    a, slack, lower, upper = state
    _, d_a, _, d_lower, d_upper = moves
    primal = min(_INSIDE * min(_longest(a, d_a), _longest(slack, -d_a)), 1.0)
    dual = min(_INSIDE * min(_longest(lower, d_lower), _longest(upper, d_upper)), 1.0)
    ahead = gap + primal * float(lower @ d_a - upper @ d_a)
    ahead += dual * float(d_lower @ a + d_upper @ slack)
    ahead += primal * dual * float(d_lower @ d_a - d_upper @ d_a)
    return (ahead / gap) ** 2 * ahead / (2.0 * a.size)
