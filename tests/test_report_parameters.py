"""Specifications and parameters are checked before any kernel starts."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascadelab.errors import CascadelabError, DataError, ParameterError, ReportError
from cascadelab.report.parameters import check_parameters, describe, read_notebook
from cascadelab.report.spec import read_specification

CELL = """\
# What the notebook is asked
leverage: float = 10.0  # notional over margin
n_accounts: int = 1_000  # count
asset: str = "BTC"  # base asset
is_synthetic: bool = False
shocks: list[float] = [0.01, 0.02]  # fractions
start: str = "2025-10-10"  # ISO date
"""


def write_notebook(path: Path, parameters: str = CELL, title: str = "# What happens?") -> Path:
    cells: list[dict[str, Any]] = [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": [title]},
        {
            "cell_type": "code",
            "id": "b",
            "metadata": {"tags": ["parameters"]},
            "source": parameters.splitlines(True),
            "outputs": [],
            "execution_count": None,
        },
    ]
    content = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_notebook(tmp_path / "loop.ipynb")
    return tmp_path


def specification(folder: Path, text: str) -> Any:
    path = folder / "spec.yml"
    path.write_text(text, encoding="utf-8")
    return read_specification(path)


def entry(folder: Path, line: str) -> Any:
    return specification(folder, f"title: T\nentries:\n  - {{notebook: loop, {line}}}\n").runs[0]


def test_the_parameters_cell_gives_names_types_defaults_and_units(folder: Path) -> None:
    notebook = read_notebook(folder / "loop.ipynb")
    assert notebook.title == "What happens?"
    assert [item.type_name for item in notebook.parameters] == [
        *("float", "int", "str", "bool", "list[float]", "str")
    ]
    assert notebook.parameters[0].description == "notional over margin"
    assert "n_accounts    int          1000" in describe(notebook)


def test_values_not_given_are_the_defaults(folder: Path) -> None:
    assert entry(folder, "parameters: {leverage: 20}").parameters == {
        "leverage": 20.0,
        "n_accounts": 1000,
        "asset": "BTC",
        "is_synthetic": False,
        "shocks": [0.01, 0.02],
        "start": "2025-10-10",
    }


def test_ten_and_ten_point_zero_are_the_same_run(folder: Path) -> None:
    one = entry(folder, "parameters: {leverage: 10}")
    assert (
        one.id == entry(folder, "parameters: {leverage: 10.0}").id == entry(folder, "title: x").id
    )
    assert isinstance(one.parameters["leverage"], float)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("start: 2025-10-11", "2025-10-11"),
        ("asset: 21:20", "21:20"),
        ("asset: no", "no"),
        ("leverage: 1e-3", 1e-3),
        ("leverage: 2.5e+1", 25.0),
        ("shocks: [1, .5]", [1.0, 0.5]),
    ],
)
def test_yaml_means_what_it_looks_like(folder: Path, value: str, expected: object) -> None:
    name = value.split(":")[0]
    assert entry(folder, f"parameters: {{{value}}}").parameters[name] == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("parameters: {levrage: 5.0}", "no parameter 'levrage'. Did you mean 'leverage'"),
        ("parameters: {leverage: high}", "'leverage' is 'high'; expected a finite number"),
        ("parameters: {leverage: true}", "'leverage' is True; expected a finite number"),
        ("parameters: {leverage: .nan}", "'leverage' is nan; expected a finite number"),
        ("parameters: {leverage: -.inf}", "'leverage' is -inf; expected a finite number"),
        ("parameters: {leverage: null}", "'leverage' is None; expected a finite number"),
        ("parameters: {n_accounts: 10.0}", "'n_accounts' is 10.0; expected a whole number"),
        ("parameters: {asset: 5}", "'asset' is 5; expected a text"),
        ("parameters: {is_synthetic: yes}", "'is_synthetic' is 'yes'; expected true or false"),
        ("parameters: {is_synthetic: 1}", "'is_synthetic' is 1; expected true or false"),
        ("parameters: {shocks: 0.1}", "'shocks' is 0.1; expected a list"),
        ("parameters: {shocks: [0.1, x]}", "'shocks'[1] is 'x'; expected a finite number"),
        ("parameters: [leverage]", "expected `name: value` lines"),
        ("sweep: {leverage: 5}", "sweep of 'leverage' is 5; expected a list"),
        ("sweep: {leverage: []}", "expected a list of values"),
        ("sweep: {leverage: [5, x]}", "'leverage' is 'x'"),
        ("parameters: {asset: A}, sweep: {asset: [B]}", "in parameters and in sweep"),
        ("paramters: {leverage: 5}", "unknown key 'paramters'. Did you mean 'parameters'"),
        ("title: 7", "title is 7; expected a text"),
    ],
)
def test_a_wrong_entry_is_refused_in_one_line_that_says_what_to_do(
    folder: Path, line: str, message: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        entry(folder, line)
    assert message in str(caught.value)
    assert "spec.yml, entry 1" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title: T\nentries: []\n", "List at least one"),
        ("title: T\n", "List at least one"),
        ("", "The file is empty"),
        ("- a\n", "expected keys"),
        ("title: T\nentires: []\n", "Did you mean 'entries'"),
        (
            "title: T\ntitle: U\nentries: [{notebook: loop}]\n",
            "line 2: Not a specification in YAML: key 'title' twice",
        ),
        ("title: [\n", "Not a specification in YAML"),
        ("title: T\ntimeout_s: 0\nentries: [{notebook: loop}]\n", "timeout_s is 0"),
        ("title: T\nentries: [{title: x}]\n", "notebook is None"),
        ("title: T\nentries: [{notebook: lopp}]\n", "no notebook 'lopp'. Did you mean 'loop'"),
        ("title: T\nentries: [{notebook: loop}, {notebook: loop}]\n", "repeats an earlier run"),
    ],
)
def test_a_wrong_specification_is_refused(folder: Path, text: str, message: str) -> None:
    with pytest.raises(CascadelabError) as caught:
        specification(folder, text)
    assert message in str(caught.value)


def test_a_specification_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.yml: There is no such file"):
        read_specification(tmp_path / "none.yml")


def test_a_sweep_gives_every_combination_in_order_with_its_title(folder: Path) -> None:
    runs = specification(
        folder,
        """
title: T
entries:
  - notebook: loop.ipynb
    title: "{asset} at {leverage}"
    sweep: {asset: [BTC, ETH], leverage: [5, 50], n_accounts: [7]}
""",
    ).runs
    assert [run.title for run in runs] == [
        "BTC at 5.0 (n_accounts = 7)",
        "BTC at 50.0 (n_accounts = 7)",
        "ETH at 5.0 (n_accounts = 7)",
        "ETH at 50.0 (n_accounts = 7)",
    ]
    assert len({run.id for run in runs}) == 4


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("x: int = 1 + len('a')", "line 1: x is computed"),
        ("x: int = 'a'", "expected a whole number"),
        ("x: dict = {}", "type dict cannot be a parameter"),
        ("x: int | None = None", "cannot be a parameter"),
        ("import os", "line 1: expected one"),
        ("x: int =", "parameters cell, line 1"),
        ("x = None", "type NoneType cannot be"),
    ],
)
def test_a_parameters_cell_that_is_not_plain_is_refused(
    tmp_path: Path, cell: str, message: str
) -> None:
    path = write_notebook(tmp_path / "bad.ipynb", cell)
    with pytest.raises((ReportError, ParameterError)) as caught:
        read_notebook(path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"nbformat": 4}', '{"nbformat": 3, "cells": []}']
)
def test_a_file_that_is_not_a_notebook_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.ipynb"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ReportError, match=r"x\.ipynb"):
        read_notebook(path)


def test_plain_assignments_have_the_type_of_their_value(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "n.ipynb", "a = 1\nb = 0.5\nc = [True]\nd = -2")
    types = [item.type_name for item in read_notebook(path).parameters]
    assert types == ["int", "float", "list[bool]", "int"]


@given(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.floats())
    )
)
def test_whatever_passes_the_check_has_the_declared_type(value: object) -> None:
    folder = Path(__file__).parent / "data" / "notebooks"
    notebook = read_notebook(folder / "gain.ipynb")
    types = {"gain": float, "n_points": int, "label": str, "levels": list, "is_marked": bool}
    for name, kind in types.items():
        with contextlib.suppress(ParameterError):
            assert type(check_parameters(notebook, {name: value}, "here")[name]) is kind
