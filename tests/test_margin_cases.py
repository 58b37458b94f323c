"""The conformance set: every published number of every venue, through the public library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.margin_adapters import evaluate

CASES = json.loads((Path(__file__).parent / "data" / "margin_cases.json").read_text())


def agrees(expected: Any, found: Any, tolerance: dict[str, Any]) -> bool:
    if isinstance(expected, dict):
        return all(agrees(value, found[key], tolerance) for key, value in expected.items())
    if isinstance(expected, list):
        pairs = zip(expected, found, strict=True)
        return all(agrees(one, other, tolerance) for one, other in pairs)
    is_exact = tolerance["type"] == "exact" or isinstance(expected, bool | str) or expected is None
    if is_exact or expected == found:
        return bool(expected == found)
    scale = abs(expected) if tolerance["type"] == "rel" else 1.0
    return bool(abs(found - expected) <= tolerance["value"] * scale)


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_library_agrees_with_the_venue(case: dict[str, Any]) -> None:
    found = evaluate(case)
    assert agrees(case["expected"], found, case["tolerance"]), (
        {key: found.get(key) for key in case["expected"]},
        case["expected"],
    )


def test_the_set_is_whole() -> None:
    assert len(CASES) == 305
    assert len({case["id"] for case in CASES}) == 305
