"""Shared settings of the tests: strict floating point, the real data folder, the slow marker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# One thread per process, before NumPy is loaded: two workers with a thread pool each get in each
# other's way (small optimisations took 3.5 times as long).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("cascadelab", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("cascadelab")

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run long Monte Carlo tests")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        return
    skip = pytest.mark.skip(reason="long Monte Carlo; run with --slow")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def strict_floating_point() -> Iterator[None]:
    with np.errstate(invalid="raise", divide="raise", over="raise"):
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with files of other owners, kept beside the repository; never copied into it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder ../shared/data with real files is not here")
    return folder
