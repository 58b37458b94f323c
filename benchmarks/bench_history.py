"""Trades of an archive into one-second signed bars, beside pandas in the same run.

``python -m benchmarks.bench_history`` prints the ratios; ``ratios(n_rows)`` gives them. Every
pipeline runs in a process of its own, so that its peak memory is its own; data are synthetic.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.timing import Ratio

__all__ = ["ratios"]

N_ROWS = 5_000_000
N_ROUNDS = 3
_PANDAS = """
import pandas as pd
frame = pd.read_csv(path)
second = frame["transact_time"] // 1000
signed = frame["quantity"].where(~frame["is_buyer_maker"], -frame["quantity"])
bars = frame.assign(signed=signed).groupby(second).agg(
    open=("price", "first"), high=("price", "max"), low=("price", "min"), close=("price", "last"),
    volume=("quantity", "sum"), flow=("signed", "sum"), n=("price", "size"))
n, flow = len(bars), float(bars["flow"].sum())
"""
_OURS = """
from cascadelab.history.bars import stream_bars
bars = stream_bars(path, symbol="BTCUSDT")
n, flow = bars.height, float(bars["flow_base"].sum())
"""
_CACHED = """
from pathlib import Path
from cascadelab.history.bars import cached_bars
bars = cached_bars(path, symbol="BTCUSDT", cache_folder=Path(path).parent / "bars")
n, flow = bars.height, float(bars["flow_base"].sum())
"""
_FRAME = """
import json, re, sys, time

from benchmarks.timing import Ratio
path = sys.argv[1]
{imports}
start = time.perf_counter()
{work}
seconds = time.perf_counter() - start
# Not ru_maxrss: a process inherits that of its parent.
status = open("/proc/self/status").read()
peak = int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) / 1024
print(json.dumps({{"seconds": seconds, "peak_mb": peak, "n": n, "flow": flow}}))
"""


def _write(folder: Path, n_rows: int) -> tuple[Path, Path]:
    """Write a day of synthetic trades as CSV and as zip."""
    rng = np.random.default_rng(20251010)
    numbers = np.arange(n_rows)
    frame = pl.DataFrame(
        {
            "agg_trade_id": numbers + 10**9,
            "price": (1e5 + np.cumsum(rng.normal(0.0, 0.5, n_rows))).round(1),
            "quantity": (rng.exponential(0.05, n_rows) + 0.001).round(3),
            "first_trade_id": numbers * 2 + 10**10,
            "last_trade_id": numbers * 2 + 1 + 10**10,
            "transact_time": 1_760_054_400_000 + np.sort(rng.integers(0, 86_400_000, n_rows)),
            "is_buyer_maker": rng.random(n_rows) < 0.5,
        }
    )
    plain, packed = folder / "trades.csv", folder / "trades.zip"
    frame.write_csv(plain)
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        archive.write(plain, "trades.csv")
    return plain, packed


def _run(work: str, path: Path) -> dict[str, float]:
    """Run one pipeline in a fresh process; imports of libraries are not timed."""
    imports = "\n".join(line for line in work.splitlines() if line.startswith(("import", "from")))
    body = "\n".join(line for line in work.splitlines() if line not in imports.splitlines())
    code = _FRAME.format(imports=imports, work=body)
    out = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    result: dict[str, float] = json.loads(out.stdout)
    return result


def _median(runs: list[dict[str, float]], key: str) -> float:
    return statistics.median(run[key] for run in runs)


def ratios(n_rows: int = N_ROWS, n_rounds: int = N_ROUNDS) -> list[Ratio]:
    """Ratios of pandas to cascadelab: job, baseline, ratio, floor.

    Parameters
    ----------
    n_rows : int
        Rows of the synthetic file.
    n_rounds : int
        Interleaved rounds; medians are compared.
    """
    with tempfile.TemporaryDirectory() as name:
        plain, packed = _write(Path(name), n_rows)
        _run(_CACHED, packed)  # makes the cache
        jobs = {
            "pandas zip": (_PANDAS, packed),
            "zip": (_OURS, packed),
            "csv": (_OURS, plain),
            "cached": (_CACHED, packed),
        }
        runs: dict[str, list[dict[str, float]]] = {job: [] for job in jobs}
        for _ in range(n_rounds):
            for job, (work, path) in jobs.items():
                runs[job].append(_run(work, path))
    _require_equal(runs)

    def row(job: str, baseline: str, key: str, floor: float) -> Ratio:
        unit = "time" if key == "seconds" else "peak memory"
        return Ratio(
            job=f"{n_rows:,} aggregate trades from {job} to 1 s bars, {unit}",
            baseline=baseline,
            ratio=_median(runs[baseline], key) / _median(runs[job], key),
            floor=floor,
            n_rounds=n_rounds,
            note="each in a process of its own",
        )

    return [
        row("zip", "pandas zip", "seconds", 1.5),
        row("zip", "pandas zip", "peak_mb", 1.0 / 0.35),
        row("csv", "pandas zip", "seconds", 3.5),
        row("cached", "pandas zip", "seconds", 100.0),
    ]


def _require_equal(runs: dict[str, list[dict[str, float]]]) -> None:
    """All pipelines must give the same bars, or the comparison is of different work."""
    first = next(iter(runs.values()))[0]
    for job, results in runs.items():
        for result in results:
            is_same = result["n"] == first["n"] and abs(result["flow"] - first["flow"]) < 1e-3
            if not is_same:
                problem = f"{job} gives {result}, the first pipeline {first}"
                raise RuntimeError(problem)
