"""Memory of reading large files, measured in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
MEASURE = """
import json, re, sys
from cascadelab import history

def peak_gb():
    status = open("/proc/self/status").read()
    return int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) / 1e6

start = peak_gb()
reading = history.read(sys.argv[1])
read = peak_gb()
frame = reading.data.collect()
print(json.dumps({"start": start, "read": read, "collected": peak_gb(),
                  "rows": frame.height, "flow": frame["quantity_base"].sum(),
                  "repeated": reading.quality.n_exact_duplicates}))
"""


def written(folder: Path, n_rows: int) -> tuple[Path, float]:
    """Write a day of synthetic aggregates, the last row twice, and return their signed sum."""
    rng = np.random.default_rng(20251010)
    numbers = np.arange(n_rows)
    frame = pl.DataFrame(
        {
            "agg_trade_id": numbers + 2_000_000_000,
            "price": (42_000 + np.cumsum(rng.normal(0.0, 0.5, n_rows))).round(1),
            "quantity": (rng.exponential(0.2, n_rows) + 0.001).round(3),
            "first_trade_id": numbers * 2 + 3_000_000_000,
            "last_trade_id": numbers * 2 + 3_000_000_001,
            "transact_time": 1_704_067_200_000 + np.sort(rng.integers(0, 86_400_000, n_rows)),
            "is_buyer_maker": rng.random(n_rows) < 0.5,
        }
    )
    path = folder / "BTCUSDT-aggTrades-2024-01-01.zip"
    text = pl.concat([frame, frame.tail(1)]).write_csv()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("BTCUSDT-aggTrades-2024-01-01.csv", text)
    sign = np.where(frame["is_buyer_maker"], -1.0, 1.0)
    return path, float((sign * frame["quantity"].to_numpy()).sum())


def measured(folder: Path, n_rows: int) -> tuple[dict[str, float], float]:
    path, flow = written(folder, n_rows)
    out = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    result: dict[str, float] = json.loads(out.stdout)
    return result, flow


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_reading_holds_the_table_once_and_collecting_adds_nothing(tmp_path: Path) -> None:
    got, flow = measured(tmp_path, 500_000)
    assert (got["rows"], got["repeated"]) == (500_000, 1)
    assert got["flow"] == pytest.approx(flow, abs=1e-6)
    assert got["read"] - got["start"] < 0.35  # GB; the table is 0.026
    assert got["collected"] - got["read"] < 0.02


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_five_million_aggregates_with_a_repeated_row_take_less_than_1500_mb(
    tmp_path: Path,
) -> None:
    got, flow = measured(tmp_path, 5_000_000)
    assert (got["rows"], got["repeated"]) == (5_000_000, 1)
    assert got["flow"] == pytest.approx(flow, abs=1e-5)
    assert got["collected"] < 1.5
