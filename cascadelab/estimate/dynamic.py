"""Impact over time: local projections with permanent share, Hasbrouck's VAR, the propagator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.display import Summary
from cascadelab.errors import DataError, ParameterError
from cascadelab.estimate.bootstrap import default_block, moving_block_rows
from cascadelab.estimate.checks import check_independent, check_moves, vector
from cascadelab.estimate.covariance import Hac, bartlett_meat, least_squares, newey_west_lags
from cascadelab.estimate.linear import Labels, ols, with_constant
from cascadelab.estimate.record import Record
from cascadelab.estimate.result import FitResult, critical_value
from cascadelab.units import FloatArray

if TYPE_CHECKING:
    import altair as alt

__all__ = [
    "HasbrouckFit",
    "LocalProjection",
    "hasbrouck_var",
    "local_projection",
    "order_flow_imbalance",
    "propagator",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class LocalProjection(Record):
    """Cumulative response of the price to a unit of flow, horizon by horizon.

    Parameters
    ----------
    horizons : tuple of int
        Bars after the flow; 0 is the bar of the flow itself.
    fit : FitResult
        One term per horizon, with the joint covariance over horizons.
    unit : str
    """

    horizons: tuple[int, ...]
    fit: FitResult
    unit: str

    @property
    def peak_horizon(self) -> int:
        """Horizon of the largest response in size."""
        return self.horizons[int(np.argmax(np.abs(self.fit.estimate)))]

    def permanent_share(
        self, level: float = 0.95, *, against: int | None = None
    ) -> tuple[float, float, float]:
        """Response at the longest horizon over that at the peak, with its interval.

        Parameters
        ----------
        level : float
        against : int or None
            Horizon to divide by, fixed beforehand; None takes the peak that the data show.

        Returns
        -------
        share, low, high : float
            Delta method with the joint covariance; NaN bounds where the longest horizon is divided
            by itself (the share is then 1 by construction).
        """
        top_at = self.peak_horizon if against is None else against
        if top_at not in self.horizons:
            raise ParameterError.unknown("horizon", str(top_at), map(str, self.horizons))
        last, peak = len(self.horizons) - 1, self.horizons.index(top_at)
        top, end = float(self.fit.estimate[peak]), float(self.fit.estimate[last])
        share = end / top
        if last == peak:
            return share, math.nan, math.nan
        gradient = np.zeros(len(self.horizons))
        gradient[last], gradient[peak] = 1.0 / top, -end / top**2
        half = critical_value(level) * math.sqrt(float(gradient @ self.fit.cov @ gradient))
        return share, share - half, share + half

    def to_frame(self, level: float = 0.95) -> pl.DataFrame:
        """Return one row per horizon: horizon, estimate, std_error, low, high."""
        bounds = self.fit.conf_int(level)
        return pl.DataFrame(
            {
                "horizon": list(self.horizons),
                "estimate": self.fit.estimate,
                "std_error": self.fit.std_error,
                "low": bounds[:, 0],
                "high": bounds[:, 1],
            }
        )

    def summary(self) -> Summary:
        """Return peak, permanent share and the response."""
        share, low, high = self.permanent_share()
        words = f"{share:.3g}, 95 % interval [{low:.3g}, {high:.3g}]"
        if math.isnan(low):
            words = "1 by construction: the peak is the longest horizon; look further or fix a peak"
        rows: list[tuple[str, object]] = [
            ("unit", self.unit),
            ("observations", self.fit.n_obs),
            ("covariance", self.fit.cov_type),
            ("peak at horizon", self.peak_horizon),
            ("permanent share", words),
        ]
        return Summary(title="Local projection", rows=rows, frame=self.to_frame())

    def plot(self) -> alt.TopLevelMixin:
        """Altair chart of the response with its 95 % band."""
        from cascadelab.charts.estimate import response_chart

        return response_chart(self.to_frame(), title="Response of the price", unit=self.unit)


def local_projection(
    returns: npt.ArrayLike,
    signed_flow: npt.ArrayLike,
    *,
    horizons: Sequence[int] = (0, 1, 2, 5, 10, 20, 50),
    n_lags: int = 5,
    unit: str = "log points per base",
) -> LocalProjection:
    r"""Response of the log price to flow by local projections (Jorda 2005).

    Parameters
    ----------
    returns : array_like of shape (n,)
        One-bar log returns.
    signed_flow : array_like of shape (n,)
        Buying positive (or sales positive: the sign of the response turns).
    horizons : sequence of int
        Increasing, from 0.
    n_lags : int
        Lags of returns and flow as controls.
    unit : str

    Returns
    -------
    LocalProjection

    Notes
    -----
    :math:`y_{t+h} - y_{t-1} = a_h + b_h q_t + \text{lags} + e_{t,h}`, all horizons on the same
    rows. Newey–West with the larger of the rule's lag and h + 1 at the longest horizon, since
    outcomes overlap; the covariance is joint over horizons.
    """
    r = vector(returns, "returns")
    q = vector(signed_flow, "signed flow", r.size)
    check_moves(q, "signed flow")
    steps = tuple(horizons)
    if not all(isinstance(step, int | np.integer) for step in steps):
        raise ParameterError(f"horizons are {horizons!r}; expected whole numbers of bars.")
    longest = max(steps, default=-1)
    if not steps or list(steps) != sorted(set(steps)) or steps[0] < 0 or n_lags < 0:
        raise ParameterError(f"horizons are {horizons!r}; expected increasing, from 0 on.")
    if r.size < longest + n_lags + 10 * (2 * n_lags + 2):
        raise DataError(
            f"{r.size} bars for horizon {longest} with {n_lags} lags. Expected more. Use shorter "
            f"horizons."
        )
    rows = np.arange(n_lags, r.size - longest)
    lagged = [series[rows - lag] for lag in range(1, n_lags + 1) for series in (r, q)]
    design = np.column_stack([np.ones(rows.size), q[rows], *lagged])
    check_independent(design, [f"column {i}" for i in range(design.shape[1])], "regressors")
    price = np.concatenate([[0.0], np.cumsum(r)])
    outcomes = np.column_stack([price[rows + h + 1] - price[rows] for h in steps])
    weights = least_squares(design, outcomes)
    lags = Hac(n_lags=newey_west_lags(rows.size, longest))
    influence = design @ np.linalg.inv(design.T @ design)[:, 1]
    scores = influence[:, None] * (outcomes - design @ weights)
    cov = bartlett_meat(scores, np.ones(rows.size), lags.lags(rows.size))
    fit = FitResult(
        model="Local projection",
        outcome="cumulative log return",
        terms=tuple(f"horizon {h}" for h in steps),
        estimate=weights[1].copy(),
        cov=cov,
        n_obs=rows.size,
        cov_type=f"HAC, Bartlett kernel, {lags.n_lags} lags (rule, at least horizon + 1)",
        units=(unit,) * len(steps),
    )
    return LocalProjection(horizons=steps, fit=fit, unit=unit)


@dataclass(frozen=True, kw_only=True, eq=False)
class HasbrouckFit(Record):
    """Hasbrouck's VAR of returns and signed flow.

    Parameters
    ----------
    n_lags, n_obs : int
    response : ndarray of shape (n_horizons,)
        Cumulative return after a unit flow shock.
    low, high : ndarray of shape (n_horizons,)
        95 % percentile band of the block bootstrap.
    information_share : float
        Share of the variance of the long-run price innovation that flow carries.
    share_interval : tuple of float
        95 % percentile interval.
    """

    n_lags: int
    n_obs: int
    response: FloatArray
    low: FloatArray
    high: FloatArray
    information_share: float
    share_interval: tuple[float, float]

    @property
    def long_run(self) -> float:
        """Response at the longest horizon."""
        return float(self.response[-1])

    def to_frame(self) -> pl.DataFrame:
        """Return one row per horizon."""
        return pl.DataFrame(
            {
                "horizon": np.arange(self.response.size),
                "estimate": self.response,
                "low": self.low,
                "high": self.high,
            }
        )

    def plot(self) -> alt.TopLevelMixin:
        """Altair chart of the response with its 95 % band."""
        from cascadelab.charts.estimate import response_chart

        return response_chart(self.to_frame(), title="Response to flow", unit="return per unit")

    def summary(self) -> Summary:
        """Return long-run response and information share."""
        low, high = self.share_interval
        rows: list[tuple[str, object]] = [
            ("observations", self.n_obs),
            ("lags", self.n_lags),
            ("long-run response", self.long_run),
            ("its 95 % interval", f"[{self.low[-1]:.4g}, {self.high[-1]:.4g}]"),
            ("information share of flow", self.information_share),
            ("its 95 % interval ", f"[{low:.3g}, {high:.3g}]"),
        ]
        note = "Flow first: flow moves the return of its own bar, not the reverse."
        return Summary(title="Hasbrouck VAR", rows=rows, notes=[note])


def hasbrouck_var(
    returns: npt.ArrayLike,
    signed_flow: npt.ArrayLike,
    *,
    rng: np.random.Generator,
    n_lags: int = 5,
    n_horizons: int = 50,
    n_draws: int = 199,
) -> HasbrouckFit:
    r"""VAR of returns and signed flow, flow first (Hasbrouck 1991).

    Parameters
    ----------
    returns, signed_flow : array_like of shape (n,)
    rng : numpy.random.Generator
        For the block bootstrap of rows (with their lags).
    n_lags, n_horizons, n_draws : int

    Returns
    -------
    HasbrouckFit

    Notes
    -----
    :math:`r_t = \sum a_i r_{t-i} + \sum_{i\ge0} b_i q_{t-i} + u_t`,
    :math:`q_t = \sum c_i r_{t-i} + \sum d_i q_{t-i} + v_t`. The information share is
    :math:`\theta_q^2\sigma_v^2 / (\theta_q^2\sigma_v^2 + \theta_r^2\sigma_u^2)` with long-run
    responses theta to the two shocks.
    """
    r = vector(returns, "returns")
    q = vector(signed_flow, "signed flow", r.size)
    check_moves(q, "signed flow")
    if n_horizons < 1 or n_draws < 2:
        raise ParameterError(
            f"n_horizons is {n_horizons} and n_draws {n_draws}; expected at least 1 and 2."
        )
    if n_lags < 1 or r.size < 20 * (2 * n_lags + 2):
        raise ParameterError(f"n_lags is {n_lags} on {r.size} bars; expected at least 1, fewer.")
    rows = np.arange(n_lags, r.size)
    lagged = [series[rows - lag] for lag in range(1, n_lags + 1) for series in (r, q)]
    past = with_constant(np.column_stack(lagged))
    full = np.column_stack([past, q[rows]])
    check_independent(full, [f"column {i}" for i in range(full.shape[1])], "regressors")
    point = _var_response(r[rows], q[rows], past, full, n_horizons)
    block = default_block(rows.size)
    draws = []
    for _ in range(n_draws):
        pick = moving_block_rows(rows.size, block, rng)
        draws.append(
            _var_response(r[rows][pick], q[rows][pick], past[pick], full[pick], n_horizons)
        )
    table = np.array(draws)
    ends = np.quantile(table, [0.025, 0.975], axis=0)
    return HasbrouckFit(
        n_lags=n_lags,
        n_obs=rows.size,
        response=point[:-1].copy(),
        low=ends[0, :-1].copy(),
        high=ends[1, :-1].copy(),
        information_share=float(point[-1]),
        share_interval=(float(ends[0, -1]), float(ends[1, -1])),
    )


def _var_response(
    r: FloatArray, q: FloatArray, past: FloatArray, full: FloatArray, n_horizons: int
) -> FloatArray:
    """Cumulative response of the return to a unit flow shock, then the information share."""
    on_return, on_flow = least_squares(full, r), least_squares(past, q)
    var_u = float(np.mean((r - full @ on_return) ** 2))
    var_v = float(np.mean((q - past @ on_flow) ** 2))
    lags = (past.shape[1] - 1) // 2
    own, now = on_return[1:-1].reshape(lags, 2), float(on_return[-1])
    back = on_flow[1:].reshape(lags, 2)

    def path(first_r: float, first_q: float) -> FloatArray:
        rs, qs = [first_r], [first_q]
        for step in range(1, n_horizons):
            reach = range(1, min(lags, step) + 1)
            flow = sum(back[i - 1] @ (rs[step - i], qs[step - i]) for i in reach)
            move = sum(own[i - 1] @ (rs[step - i], qs[step - i]) for i in reach)
            rs.append(float(move + now * flow))
            qs.append(float(flow))
        return np.cumsum(rs)

    from_flow, from_news = path(now, 1.0), path(1.0, 0.0)
    flow_part = float(from_flow[-1]) ** 2 * var_v
    share = flow_part / (flow_part + float(from_news[-1]) ** 2 * var_u)
    return np.concatenate([from_flow, [share]])


def propagator(
    returns: npt.ArrayLike,
    signed_flow: npt.ArrayLike,
    *,
    n_lags: int = 20,
    errors: Hac | None = None,
) -> FitResult:
    r"""Propagator G by regression of returns on current and past flow.

    Parameters
    ----------
    returns, signed_flow : array_like of shape (n,)
    n_lags : int
    errors : Hac

    Returns
    -------
    FitResult
        Terms ``G(0)`` ... ``G(n_lags)``: response of the log price after each number of bars,
        the running sum of the regression's coefficients, with its covariance.

    Notes
    -----
    :math:`r_t = \sum_{l=0}^{L} K_l q_{t-l} + \varepsilon_t`, :math:`G(l)=\sum_{i\le l}K_i`.
    """
    r = vector(returns, "returns")
    q = vector(signed_flow, "signed flow", r.size)
    check_moves(q, "signed flow")
    if n_lags < 1 or r.size < 5 * (n_lags + 5):
        raise ParameterError(f"n_lags is {n_lags} on {r.size} bars; expected at least 1, fewer.")
    rows = np.arange(n_lags, r.size)
    design = np.column_stack([q[rows - lag] for lag in range(n_lags + 1)])
    names = [f"flow, lag {lag}" for lag in range(n_lags + 1)]
    fit = ols(r[rows], design, names=names, errors=errors, labels=Labels())
    summed = np.tril(np.ones((n_lags + 1, n_lags + 1)))
    keep: Any = fit.reach
    return FitResult(
        model="Propagator",
        outcome="cumulative log return",
        terms=tuple(f"G({lag})" for lag in range(n_lags + 1)),
        estimate=summed @ fit.estimate[1:],
        cov=summed @ fit.cov[1:, 1:] @ summed.T,
        n_obs=rows.size,
        cov_type=fit.cov_type,
        units=("log points per base",) * (n_lags + 1),
        facts=fit.facts,
        reach=keep,
    )


def order_flow_imbalance(
    bid_price: npt.ArrayLike,
    bid_size: npt.ArrayLike,
    ask_price: npt.ArrayLike,
    ask_size: npt.ArrayLike,
) -> FloatArray:
    r"""Order-flow imbalance of each change of the best quotes, base units.

    Parameters
    ----------
    bid_price, bid_size, ask_price, ask_size : array_like of shape (n,)
        Best quotes after each event.

    Returns
    -------
    ndarray of shape (n,)
        The first event has no predecessor and is 0; sum over a bar. Buying pressure positive.

    Raises
    ------
    DataError
        A size is negative, or a bid is above its ask.

    Notes
    -----
    :math:`e_n = q^b_n 1\{b_n\ge b_{n-1}\} - q^b_{n-1} 1\{b_n\le b_{n-1}\}
    - q^a_n 1\{a_n\le a_{n-1}\} + q^a_{n-1} 1\{a_n\ge a_{n-1}\}`; Cont, Kukanov and Stoikov
    (2014), doi:10.1093/jjfinec/nbt003.

    Examples
    --------
    >>> order_flow_imbalance([10, 10, 10.1], [5, 7, 1], [11, 11, 11], [4, 4, 3]).tolist()
    [0.0, 2.0, 2.0]
    """
    b = vector(bid_price, "bid price")
    qb = vector(bid_size, "bid size", b.size)
    a = vector(ask_price, "ask price", b.size)
    qa = vector(ask_size, "ask size", b.size)
    if (qb < 0).any() or (qa < 0).any():
        raise DataError("A quoted size is negative. Expected sizes of at least 0.")
    crossed = b > a
    if crossed.any():
        row = int(crossed.argmax())
        raise DataError(
            f"Row {row} bids {b[row]:g} above its ask {a[row]:g}, {int(crossed.sum())} crossed "
            f"rows in all. Expected bids at or below asks. Drop them, and say how many."
        )
    out = np.zeros(b.size)
    out[1:] = (
        qb[1:] * (b[1:] >= b[:-1])
        - qb[:-1] * (b[1:] <= b[:-1])
        - qa[1:] * (a[1:] <= a[:-1])
        + qa[:-1] * (a[1:] >= a[:-1])
    )
    return out
