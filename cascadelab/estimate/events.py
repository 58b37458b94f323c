"""S5 off-book placebo, S6 near-miss levels, S7 matched non-forced flow."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cascadelab.errors import DataError, ParameterError
from cascadelab.estimate.checks import (
    assert_predetermined,
    check_moves,
    control_columns,
    floats,
    matrix,
    vector,
)
from cascadelab.estimate.covariance import Clustered, ErrorKind, score_meat
from cascadelab.estimate.hypothesis import HypothesisTest, wald_test
from cascadelab.estimate.identify import IdentifiedEstimate
from cascadelab.estimate.linear import Labels, ols
from cascadelab.estimate.result import FitResult
from cascadelab.estimate.times import ExposureTimes, check_times, stamps
from cascadelab.rng import check_generator
from cascadelab.units import FloatArray, IntArray

__all__ = ["matched_flow", "near_miss", "off_book_placebo"]


def off_book_placebo(
    returns: npt.ArrayLike,
    book_sales: npt.ArrayLike,
    off_book_sales: npt.ArrayLike,
    *,
    controls: npt.ArrayLike | None = None,
    errors: ErrorKind | None = None,
    labels: Labels | None = None,
) -> IdentifiedEstimate:
    """S5: sales executed in the book against closings that sent no order (ADL, vault).

    Parameters
    ----------
    returns : array_like of shape (n,)
    book_sales, off_book_sales : array_like of shape (n,)
        Base units, sales positive. Liquidations matched one to one with ADL are off-book.
    controls : array_like of shape (n, c), optional
    errors : Hac, Robust or Clustered
    labels : Labels

    Returns
    -------
    IdentifiedEstimate
        Term ``difference``: slope of book sales minus slope of off-book closings, which is minus
        the impact. Tests ``off-book slope`` (null: 0, the placebo) and ``difference``.
    """
    words = labels or Labels()
    y = vector(returns, words.outcome)
    book = vector(book_sales, "book sales", y.size)
    off = vector(off_book_sales, "off-book sales", y.size)
    names = ["book sales", "off-book sales"]
    design = np.column_stack([book, off])
    if controls is not None:
        extra, more = control_columns(controls, y.size)
        names += more
        design = np.column_stack([design, extra])
    fit = ols(y, design, names=names, errors=errors, labels=Labels(sample=words.sample))
    contrast = np.zeros((1, len(fit.terms)))
    contrast[0, 1:3] = 1.0, -1.0
    gap = float((contrast @ fit.estimate)[0])
    variance = float((contrast @ fit.cov @ contrast.T)[0, 0])
    placebo = np.zeros((1, len(fit.terms)))
    placebo[0, 2] = 1.0
    unit = f"{words.outcome_unit} per base sold"
    both = FitResult(
        model="Book sales against off-book closings",
        outcome=words.outcome_words,
        terms=("difference", "book sales", "off-book sales"),
        estimate=np.array([gap, fit.value("book sales"), fit.value("off-book sales")]),
        cov=_three(fit.cov[1:3, 1:3], variance),
        n_obs=y.size,
        cov_type=fit.cov_type,
        units=(unit,) * 3,
        sample=words.sample,
        df_resid=fit.df_resid,
    )
    return IdentifiedEstimate(
        design="S5 off-book placebo",
        term="difference",
        fit=both,
        assumption="Both kinds are forced by the same event; only one sends an order.",
        kills=("feeds that mix matched pairs with book sales", "off-book closings chosen on depth"),
        tests=(
            wald_test(fit.estimate, fit.cov, placebo, "off-book slope", "off-book slope is 0"),
            wald_test(fit.estimate, fit.cov, contrast, "difference", "the two slopes are equal"),
        ),
    )


def _three(cov: FloatArray, variance: float) -> FloatArray:
    """Covariance of (difference, first, second) from that of (first, second)."""
    chain = np.array([[1.0, -1.0], [1.0, 0.0], [0.0, 1.0]])
    full = chain @ cov @ chain.T
    full[0, 0] = variance
    return np.asarray(full)


def near_miss(
    price: npt.ArrayLike,
    levels: npt.ArrayLike,
    *,
    times: ExposureTimes,
    near_fraction: float,
    horizon: int,
    rng: np.random.Generator,
    n_placebo: int = 999,
) -> IdentifiedEstimate:
    """S6: what follows when price reaches a cluster, against stopping just short of it.

    Parameters
    ----------
    price : array_like of shape (n,)
        Positive prices, one per bar.
    levels : array_like of shape (m,)
        Cluster prices known beforehand, below the first price.
    times : ExposureTimes
        ``exposure_at`` of shape (m,): when each level was known; ``outcome_at`` of shape (n,):
        the time of each bar. A level must be known strictly before the bar that approaches it.
    near_fraction : float
        A level is approached when price comes within this fraction above it.
    horizon : int
        Bars in which it may be hit after the approach, and over which the log return from the
        approach is measured.
    rng : numpy.random.Generator
        Draws the placebo levels.
    n_placebo : int

    Returns
    -------
    IdentifiedEstimate
        Term ``hit minus near miss``: mean log return after a hit minus after a near miss, less the
        same over random levels (drawn uniformly over the range of `levels`): stopping short is
        itself selected on the path, so that the plain gap is negative on any random walk. Its
        error is the spread over random levels; test ``random levels`` ranks it among them. Both
        parts of the gap are facts.

    Raises
    ------
    LookAheadError
        A level was known at or after the bar that approached it.

    Notes
    -----
    Osler (2005).
    """
    path = vector(price, "price")
    marks = vector(levels, "levels")
    if (path <= 0).any() or (marks <= 0).any():
        raise DataError("A price or level is not positive. Expected prices above 0.")
    if not 0 < near_fraction < 1 or not 1 <= horizon < path.size:
        raise ParameterError(
            f"near_fraction is {near_fraction:g} and horizon {horizon}; expected a fraction in "
            f"(0, 1) and 1 to {path.size - 1} bars."
        )
    _check_levels_known(times, path, marks, near_fraction)
    gap, n_hits, n_misses = _hit_gap(path, marks, near_fraction, horizon)
    if not np.isfinite(gap):
        raise DataError(
            f"{n_hits} hits and {n_misses} near misses. Expected at least one of each. "
            f"Use more levels, a wider approach or a longer path."
        )
    check_generator(rng)
    span = (float(marks.min()), float(marks.max()))
    draws = []
    for _ in range(n_placebo):
        random_levels = np.sort(rng.uniform(*span, size=marks.size))
        value = _hit_gap(path, random_levels, near_fraction, horizon)[0]
        if np.isfinite(value):
            draws.append(value)
    placebo = np.array(draws)
    if placebo.size < 20:
        raise DataError(
            f"Only {placebo.size} of {n_placebo} random sets of levels gave both hits and near "
            f"misses. Expected 20. Use more levels."
        )
    centred = np.abs(placebo - placebo.mean())
    p_value = (1.0 + np.sum(centred >= abs(gap - placebo.mean()))) / (placebo.size + 1.0)
    fit = FitResult(
        model="Hits against near misses",
        outcome=f"log return over {horizon} bars",
        terms=("hit minus near miss",),
        estimate=np.array([gap - float(placebo.mean())]),
        cov=np.array([[float(placebo.var(ddof=1))]]),
        n_obs=n_hits + n_misses,
        cov_type=f"spread over {placebo.size} sets of random levels",
        units=("log points",),
    )
    test = HypothesisTest(
        name="random levels",
        statistic=gap - float(placebo.mean()),
        null="the levels are as good as random ones",
        distribution="permutation",
        p_value=float(p_value),
    )
    facts = (
        ("hits", float(n_hits)),
        ("near misses", float(n_misses)),
        ("hits minus near misses as observed", gap),
        ("mean over random levels", float(placebo.mean())),
    )
    return IdentifiedEstimate(
        design="S6 near miss",
        term="hit minus near miss",
        fit=fit,
        assumption="Whether price reaches the level or stops just short is not news.",
        kills=("round numbers that carry other orders", "levels chosen after the fact"),
        facts=facts,
        tests=(test,),
    )


def _check_levels_known(
    times: ExposureTimes, path: FloatArray, levels: FloatArray, near_fraction: float
) -> None:
    known, bars = stamps(times, "levels")
    if known.shape != levels.shape or bars.shape != path.shape:
        raise DataError(
            f"{known.shape} times of levels and {bars.shape} of bars. Expected {levels.shape} and "
            f"{path.shape}: when each level was known, and the time of each bar. Pass both."
        )
    near = path <= levels[:, None] * (1.0 + near_fraction)
    rows = np.flatnonzero(near.any(axis=1))
    assert_predetermined(known[rows], bars[near[rows].argmax(axis=1)], name="levels")


def _hit_gap(
    path: FloatArray, levels: FloatArray, near_fraction: float, horizon: int
) -> tuple[float, int, int]:
    hits: list[float] = []
    misses: list[float] = []
    for level in levels:
        near = path <= level * (1.0 + near_fraction)
        start = int(near.argmax())
        if not near[start] or start == 0 or start + horizon >= path.size:
            continue
        later = path[start : start + horizon + 1]
        after = float(np.log(later[-1] / path[start]))
        (hits if (later <= level).any() else misses).append(after)
    if not hits or not misses:
        return float("nan"), len(hits), len(misses)
    return float(np.mean(hits) - np.mean(misses)), len(hits), len(misses)


def matched_flow(
    responses: npt.ArrayLike,
    is_forced: npt.ArrayLike,
    covariates: npt.ArrayLike,
    *,
    names: tuple[str, ...],
    events: npt.ArrayLike,
    times: ExposureTimes,
    n_matches: int = 1,
) -> IdentifiedEstimate:
    r"""S7: response to forced trades minus that to matched non-forced ones, horizon by horizon.

    Parameters
    ----------
    responses : array_like of shape (n,) or (n, n_horizons)
        Return after each trade, turned by its sign, fraction.
    is_forced : array_like of bool of shape (n,)
    covariates : array_like of shape (n, c)
        Size, time, volatility, depth, all before the trade.
    names : tuple of c str
    events : array_like of shape (n,)
        Event of each trade; errors are clustered by the event of the forced trade.
    times : ExposureTimes
        When the covariates of each trade were measured (the latest of them), strictly before the
        trade whose response is measured.
    n_matches : int
        Nearest non-forced trades per forced one, with replacement.

    Returns
    -------
    IdentifiedEstimate
        Terms ``horizon 1`` ...; facts hold standardised mean differences before and after.

    Notes
    -----
    Mahalanobis distance with the pooled covariance. The clustered variance of the gaps is widened
    by :math:`\sum_j K_j(K_j-1)\hat\sigma_j^2/(M N)^2` for trades that serve K times among M
    matches each; :math:`\hat\sigma_j^2` is half the squared gap to the nearest other non-forced
    trade. Abadie and Imbens (2006), doi:10.1111/j.1468-0262.2006.00655.x.
    """
    values = floats(responses, "responses")
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2:
        raise DataError(
            f"responses have shape {values.shape}. Expected (n,) or (n, n_horizons). Pass one row "
            f"per trade."
        )
    forced = np.asarray(is_forced)
    if forced.dtype != np.bool_ or forced.shape != (len(values),):
        raise DataError("is_forced is not a mask of the trades. Expected booleans, one per trade.")
    horizons = tuple(f"horizon {i + 1}" for i in range(values.shape[1]))
    values = matrix(values, horizons, len(forced), "responses")
    x = matrix(covariates, names, len(forced), "covariates")
    check_times(times, len(forced), name="covariates")
    for position, name in enumerate(names):
        check_moves(x[:, position], name)
    treated, pool = np.flatnonzero(forced), np.flatnonzero(~forced)
    if treated.size < 2 or pool.size < n_matches or n_matches < 1:
        raise DataError(
            f"{treated.size} forced trades, {pool.size} others, {n_matches} matches. Expected at "
            f"least 2 forced trades and as many others as matches."
        )
    chosen = _nearest(x, treated, pool, n_matches)
    gaps = values[treated] - values[chosen].mean(axis=1)
    estimate = gaps.mean(axis=0)
    labels = np.asarray(events)
    if labels.shape != forced.shape:
        raise DataError("events do not name one event per trade. Expected shape (n,).")
    kind = Clustered(groups=labels[treated])
    design = np.ones((treated.size, 1))
    cov = np.empty((estimate.size, estimate.size))
    for i in range(estimate.size):
        for j in range(i + 1):
            cov[i, j] = cov[j, i] = _cross(gaps - estimate, design, kind, i, j)
    cov = cov + _reuse(values, x, pool, chosen)
    fit = FitResult(
        model="Forced minus matched non-forced response",
        outcome="signed response [fraction]",
        terms=horizons,
        estimate=estimate,
        cov=cov / treated.size**2,
        n_obs=treated.size,
        cov_type=f"{kind.words(treated.size)}, plus the variance of matches used more than once",
        units=("fraction",) * estimate.size,
        df_resid=kind.df_resid(treated.size),
    )
    return IdentifiedEstimate(
        design="S7 matched non-forced flow",
        term=horizons[-1],
        fit=fit,
        assumption="Given size, side, time, volatility and depth, being forced is as if random.",
        kills=("matching on depth after the event", "unobserved urgency"),
        facts=_balance(x, treated, pool, chosen, names),
    )


def _reuse(values: FloatArray, x: FloatArray, pool: IntArray, chosen: IntArray) -> FloatArray:
    """What serving several times adds to the variance of the summed gaps, shape (h, h)."""
    n_matches = chosen.shape[1]
    times = np.bincount(chosen.ravel(), minlength=len(x))
    often = np.flatnonzero(times > 1)
    if not often.size or pool.size < 2:
        return np.zeros((values.shape[1],) * 2)
    near = _nearest(x, often, pool, 2)
    other = np.where(near[:, 0] == often, near[:, 1], near[:, 0])
    gap = values[often] - values[other]
    weight = 0.5 * times[often] * (times[often] - 1.0) / n_matches**2
    return np.asarray(gap.T @ (weight[:, None] * gap))


def _cross(gaps: FloatArray, design: FloatArray, kind: Clustered, i: int, j: int) -> float:
    """Clustered covariance of two mean gaps by polarisation."""
    plus = score_meat(design, gaps[:, i] + gaps[:, j], kind)[0, 0]
    minus = score_meat(design, gaps[:, i] - gaps[:, j], kind)[0, 0]
    return float(plus - minus) / 4.0


def _nearest(x: FloatArray, treated: IntArray, pool: IntArray, n_matches: int) -> IntArray:
    from scipy.spatial import cKDTree

    # Standardised first: a depth in USD would otherwise drown a volatility, or be drowned.
    unit = (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)
    size, axes = np.linalg.eigh(np.atleast_2d(np.cov(unit, rowvar=False)))
    kept = size > 1e-10 * size[-1]
    scaled = unit @ (axes[:, kept] / np.sqrt(size[kept]))
    _, found = cKDTree(scaled[pool]).query(scaled[treated], k=n_matches)
    return np.asarray(pool[np.asarray(found).reshape(treated.size, n_matches)])


def _balance(
    x: FloatArray, treated: IntArray, pool: IntArray, chosen: IntArray, names: tuple[str, ...]
) -> tuple[tuple[str, float | str], ...]:
    spread = x.std(axis=0, ddof=1)
    before = (x[treated].mean(axis=0) - x[pool].mean(axis=0)) / spread
    after = (x[treated].mean(axis=0) - x[chosen].reshape(-1, x.shape[1]).mean(axis=0)) / spread
    return tuple(
        (f"imbalance in {name}, before -> after matching (sd)", f"{b:.2f} -> {a:.2f}")
        for name, b, a in zip(names, before, after, strict=True)
    )
