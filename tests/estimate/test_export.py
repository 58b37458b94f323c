"""Paper tables: what a name may hold does not break LaTeX or Typst."""

from __future__ import annotations

import re

import polars as pl
import pytest

from cascadelab.estimate.export import frame_to_latex, frame_to_typst

HARD = ["λ·σ² ≤ 1", "a & b_c", "50 % #1 {x}", "~ ^ \\ $5", "p|q", "see https://a.b/c // d", "- x"]


@pytest.mark.parametrize("name", HARD)
def test_latex_has_balanced_braces_ascii_and_the_same_columns_in_every_row(name):
    text = frame_to_latex(pl.DataFrame({name: [1.0], "b": [name]}), caption=name, notes=name)
    bare = re.sub(r"\\[&%$#_{}]", "", text)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert text.isascii()
    assert {line.count("&") for line in bare.splitlines() if line.endswith(r"\\")} == {1}


def test_greek_letters_are_set_in_mathematics():
    assert r"$\lambda$" in frame_to_latex(pl.DataFrame({"λ": [1.0]}))


@pytest.mark.parametrize("name", HARD)
def test_typst_cells_hold_no_comment_list_or_open_bracket(name):
    text = frame_to_typst(pl.DataFrame({name: [1.0], "b": [name]}), caption=name)
    assert "//" not in text
    assert "[- " not in text
    bare = re.sub(r"\\.", "", text)
    assert bare.count("[") == bare.count("]")
    assert bare.count("*") == 4
