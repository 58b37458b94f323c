"""The pages a reader starts from: their examples run, what they point to is there."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from cascadelab import synthetic
from cascadelab.report.spec import read_specification


def examples(page: Path) -> str:
    """Python of a page: fenced blocks, or indented ones where it has no fence."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    indented = re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", text, re.MULTILINE)
    return "".join(fenced) or "\n".join(re.sub(r"(?m)^ {4}", "", part) for part in indented)


@pytest.mark.parametrize("page", ["README.md", "docs/dynamics.md", "docs/margin.md"])
def test_examples_of_a_page_run_as_they_stand(page: str, root: Path) -> None:
    code = examples(root / page)
    assert code.count("\n") >= 5
    ledger = synthetic.draw_long_ledger(n_positions=100, reference_price=64_000.0, seed=1)
    exec(compile(code, page, "exec"), {"ledger": ledger, "marks": 60_000.0})


def test_the_batch_in_the_readme_is_a_specification(root: Path, tmp_path: Path) -> None:
    text = (root / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    path = tmp_path / "my.yml"
    path.write_text(example, encoding="utf-8")
    assert [run.notebook.name for run in read_specification(path).runs] == [
        "episode",
        "episode",
        "impact",
    ]


def test_the_readme_names_every_notebook(root: Path) -> None:
    text = (root / "README.md").read_text(encoding="utf-8")
    for path in (root / "notebooks").glob("*.ipynb"):
        assert f"`{path.stem}`" in text or f"`notebooks/{path.name}`" in text, path.name


def test_counts_of_the_shipped_tables_are_those_in_their_readme(root: Path) -> None:
    text = (root / "data" / "README.md").read_text(encoding="utf-8")
    stated = dict(re.findall(r"^\| `([\w/*.-]+)` \| ([\d,]+)", text, re.MULTILINE))
    assert len(stated) == 9
    for pattern, count in stated.items():
        files = sorted((root / "data").glob(pattern))
        n_found = n_records(files[0]) if files[0].suffix == ".csv" else len(files)
        assert n_found == int(count.replace(",", "")), pattern


def n_records(path: Path) -> int:
    """Rows of a table without comments and header; the recording of orders has no header."""
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
    return len(list(csv.reader(lines))) - (path.stem != "force_orders")
