"""The print block: with every notebook, stored beside it, the same bytes again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cascadelab import cli
from cascadelab.fingerprint import file_hash
from cascadelab.report import build
from cascadelab.report.parameters import read_notebook
from cascadelab.report.runner import run_report
from cascadelab.report.spec import shipped_notebooks

OWN = """
from cascadelab.estimate import (
    EnvironmentNote, Evidence, IdentifiedEstimate, NotDone, SampleNote, default_block, ols)
from cascadelab.estimate.notes import left_out, synthetic_note

evidence = Evidence(
    notebook="own", claim="none registered", data=(synthetic_note("draws", n_rows=1),),
    sample=SampleNote(rule="all", exclusions="none", events=("a",), times=NotDone(reason="none")),
    environment=EnvironmentNote(seed=3),
    **left_out(estimates="x", placebos="x", stability="x", gains="x", model="x"))
"""
BARE = """
from dataclasses import replace
fit = ols([1.0, 2.0, 2.5, 4.0], [1.0, 2.0, 3.0, 4.0], names=["flow"])
design = IdentifiedEstimate(
    design="S1", term="flow", fit=fit, assumption="a", exclusion="", is_instrumental=True)
default_block(replace(evidence, estimates=(design,)))
"""


def write_notebook(path: Path, *cells: str) -> None:
    code: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "id": f"cell-{number}",
            "metadata": {},
            "source": source,
            "outputs": [],
            "execution_count": None,
        }
        for number, source in enumerate(cells)
    ]
    content = {"cells": code, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(content), encoding="utf-8")


def report(folder: Path, names: list[str], out: str = "out") -> dict[str, dict[str, Any]]:
    """Records by notebook of a batch run in `folder`."""
    entries = "".join(f"  - notebook: {name}\n" for name in names)
    (folder / "spec.yml").write_text(f"title: T\nentries:\n{entries}", encoding="utf-8")
    run_report(folder / "spec.yml", folder / out)
    found = {}
    for path in (folder / out).glob("*/run.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        found[record["notebook"]] = {**record, "folder": path.parent}
    return found


def checked(tmp_path: Path, names: list[str]) -> dict[str, dict[str, Any]]:
    """Run notebooks and hold what must be true of every block."""
    records = report(tmp_path, names, "one")
    for name in names:
        record = records[name]
        path = record["folder"] / "block.json"
        assert record["block_sha256"] == file_hash(path)
        assert 'href="block.json"' in (record["folder"] / "page.html").read_text(encoding="utf-8")
        stored = json.loads(path.read_text(encoding="utf-8"))
        environment = stored["environment"]
        assert stored["notebook"] == name
        assert len(stored["sections"]) == 10
        given = {**environment["parameters"], "seed": environment["seed"]}
        assert {key: given[key] for key in record["provenance"]["parameters"]} == (
            record["provenance"]["parameters"]
        ), f"{name}: the block leaves out a parameter"
        assert all(len(note["sha256"]) == 64 or note["is_synthetic"] for note in stored["data"])
        left = [any(row[0] == "not done" for row in part["rows"]) for part in stored["sections"]]
        assert not all(left[2:8]) or name == "data_quality", f"{name}: nothing is filled in"
        assert "not part of" not in path.read_text(encoding="utf-8")
    return records


@pytest.mark.parametrize("path", shipped_notebooks(), ids=lambda path: path.stem)
def test_every_notebook_ends_with_the_block_and_offers_no_way_round_it(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert "default_block(" in "".join(cells[-1]["source"])
    assert sum("default_block(" in "".join(cell["source"]) for cell in cells) == 1
    assert not any("block" in item.name for item in read_notebook(path).parameters)


def test_a_block_is_stored_beside_the_notebook_and_again_in_the_same_bytes(tmp_path: Path) -> None:
    first = checked(tmp_path, ["amplification"])
    stored = json.loads((first["amplification"]["folder"] / "block.json").read_text("utf-8"))
    model = dict(stored["sections"][7]["rows"])
    assert model["solver status"] == "subcritical"
    assert model["least fixed point certified"] is True
    gains = stored["sections"][6]["table"]
    assert gains["kind"] == ["model secant", "largest marginal"]
    provenance = json.loads((tmp_path / "one" / "provenance.json").read_text(encoding="utf-8"))
    assert {run["block_sha256"] for run in provenance["runs"]} == {
        record["block_sha256"] for record in first.values()
    }
    assert "no print block" not in (tmp_path / "one" / "index.html").read_text(encoding="utf-8")

    # Under papermill alone the block travels in the notebook; the command takes the same out.
    source = next(path for path in shipped_notebooks() if path.stem == "amplification")
    command = [sys.executable, "-m", "papermill", str(source), str(tmp_path / "own.ipynb")]
    subprocess.run([*command, "--no-progress-bar"], check=True, capture_output=True)
    assert cli.main(["block", str(tmp_path / "own.ipynb")]) == 0
    expected = (first["amplification"]["folder"] / "block.json").read_bytes()
    assert (tmp_path / "own.block.json").read_bytes() == expected


@pytest.mark.slow
def test_every_notebook_stores_the_same_block_again(tmp_path: Path) -> None:
    names = [path.stem for path in shipped_notebooks()]
    first, again = checked(tmp_path, names), report(tmp_path, names, "two")
    for name in names:
        stored = (first[name]["folder"] / "block.json").read_bytes()
        assert stored == (again[name]["folder"] / "block.json").read_bytes(), name


def test_own_notebooks_may_lack_a_block_but_not_an_exclusion_text(tmp_path: Path) -> None:
    write_notebook(tmp_path / "without.ipynb", "1 + 1")
    write_notebook(tmp_path / "bare.ipynb", OWN, BARE)
    write_notebook(tmp_path / "hidden.ipynb", OWN, "block = default_block(evidence);")
    write_notebook(tmp_path / "value.ipynb", OWN, "default_block(evidence)")
    found = report(tmp_path, ["without", "bare", "hidden", "value"])
    assert found["without"]["status"] == "done"
    assert found["without"]["block_sha256"] is None
    index = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert index.count("no print block") == 1
    assert found["bare"]["status"] == "failed"
    assert "exclusion text is empty" in found["bare"]["error"]
    blocks = []
    for name in ("hidden", "value"):
        folder = found[name]["folder"]
        page = (folder / "page.html").read_text(encoding="utf-8")
        assert page.count("10. Environment") == 1, "shown once, neither hidden nor doubled"
        assert found[name]["provenance"]["seed"] == 3
        blocks.append((folder / "block.json").read_bytes())
    assert blocks[0] == blocks[1]


def test_a_shipped_notebook_without_its_block_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_notebook(tmp_path / "ours.ipynb", "1 + 1")
    monkeypatch.setattr(build, "shipped", lambda *_: tmp_path)
    found = report(tmp_path, ["ours"])
    assert found["ours"]["status"] == "failed"
    assert "'ours' ended without its print block" in found["ours"]["error"]


def test_a_notebook_without_a_block_in_it_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_notebook(tmp_path / "plain.ipynb", "1")
    (tmp_path / "text.ipynb").write_text("no notebook", encoding="utf-8")
    for name, words in (
        ("plain", "holds no print block"),
        ("text", "no notebook"),
        ("none", "no such file"),
    ):
        assert cli.main(["block", str(tmp_path / f"{name}.ipynb")]) == 2
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1
