"""The house itself: arrows between rooms, import time, sizes, locks, notebooks."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

#: Rooms from the bottom up; a room may import those before it. Siblings share a number.
ROOMS = {
    "errors": 0,
    "units": 0,
    "schema": 0,
    "rng": 0,
    "display": 0,
    "fingerprint": 0,
    "files": 0,
    "_order": 0,
    "ledger": 1,
    "margin": 2,
    "flow": 3,
    "ledger_flow": 3,
    "impact": 3,
    "order_book": 3,
    "leverage": 4,
    "fire_sales": 4,
    "partial": 4,
    "deficits": 6,
    "_quantity": 4,
    "_rounds": 4,
    "_many": 4,
    "_gain_search": 4,
    "cascade": 5,
    "criticality": 5,
    "avalanche": 6,
    "joint": 5,
    "network": 5,
    "sweep": 5,
    "calibrate": 6,
    "synthetic": 6,
    "books": 6,
    "depth": 7,
    "dynamics": 7,
    "history": 8,
    "estimate": 8,
    "grid": 9,
    "known": 9,
    "loan_books": 9,
    "prediction": 9,
    "charts": 10,
    "tables": 10,
    "report": 11,
    "cli": 12,
}
PACKAGE = Path(__file__).resolve().parent.parent / "cascadelab"


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> list[tuple[str, str]]:
    """Rooms a file imports, each with the name of the function that does it ('' at the top)."""
    out: list[tuple[str, str]] = []

    def visit(node: ast.AST, function: str) -> None:
        for child in ast.iter_child_nodes(node):
            name = child.name if isinstance(child, ast.FunctionDef) else function
            if isinstance(child, ast.ImportFrom) and (child.module or "").startswith("cascadelab"):
                parts = (child.module or "").split(".")
                found = parts[1:2] or [alias.name for alias in child.names]
                out.extend((target, name) for target in found)
            visit(child, name)

    visit(ast.parse(path.read_text()), "")
    return out


def modules() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "__init__.py"]


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_arrows_between_rooms_point_one_way(path):
    own = room(path)
    assert own in ROOMS, (
        f"{own} has no place in the house: add it to ROOMS and docs/architecture.md"
    )
    for target, function in imports(path):
        if function == "plot" and target == "charts":
            continue  # a result's plot() is the one door from a result to its chart
        if target in ROOMS:
            allowed = ROOMS[target] <= ROOMS[own]
            assert allowed, f"{own} imports {target} in {path.name}:{function or 'top'}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_has_at_most_500_lines(path):
    assert len(path.read_text().splitlines()) <= 500


def test_importing_the_package_takes_under_one_cpu_second_and_no_heavy_library():
    code = (
        "import resource, sys, cascadelab\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "heavy = {'altair', 'papermill', 'statsmodels', 'pandas', 'nbconvert', 'scipy.stats'}\n"
        "print(used.ru_utime + used.ru_stime, sorted(heavy & set(sys.modules)))\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, heavy = out.stdout.split(" ", 1)
    assert heavy.strip() == "[]"
    assert float(seconds) < 1.0


def project(root: Path) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]


def normal(name: str) -> str:
    return re.split(r"[<>=!\[; ]", name, maxsplit=1)[0].lower().replace("_", "-")


def test_the_conda_environment_asks_for_what_pyproject_asks_for(root):
    import yaml

    listed = yaml.safe_load((root / "environment.yml").read_text())["dependencies"]
    conda = {normal(line): line for line in listed if isinstance(line, str)}
    wanted = [*project(root)["dependencies"], *project(root)["optional-dependencies"]["lab"]]
    for line in wanted:
        name = normal(line)
        assert conda[name].removeprefix(conda[name][: len(name)]) == line[len(name) :], name
    assert set(conda) == {normal(line) for line in wanted} | {"python", "pip"}


@pytest.mark.parametrize(
    ("lock", "extras"),
    [
        ("requirements.lock", ["build"]),
        ("requirements-test.lock", ["build", "test", "econ", "cluster", "fast", "dev"]),
        ("requirements-lab.lock", ["build", "lab"]),
    ],
)
def test_each_lock_pins_what_pyproject_asks_for_with_hashes_and_no_address(root, lock, extras):
    from packaging.requirements import Requirement

    text = (root / lock).read_text()
    pins = [Requirement(line.split(" \\")[0]) for line in re.findall(r"^[a-z].*$", text, re.M)]
    optional = project(root)["optional-dependencies"]
    for line in project(root)["dependencies"] + [x for extra in extras for x in optional[extra]]:
        wanted = Requirement(line)
        found = [pin for pin in pins if normal(pin.name) == normal(wanted.name)]
        assert found, f"{wanted.name} is not in {lock}: run make lock"
        for pin in found:
            (version,) = [spec.version for spec in pin.specifier]
            assert wanted.specifier.contains(version), f"{pin} in {lock}: run make lock"
    assert "://" not in text
    assert text.count("--hash=sha256:") >= len(pins)


def test_the_locks_agree_on_every_version_they_share(root):
    def versions(lock: str) -> dict[str, set[str]]:
        pins: dict[str, set[str]] = {}
        for name, version in re.findall(r"^([a-z0-9-]+)==([^ ]+)", (root / lock).read_text(), re.M):
            pins.setdefault(name, set()).add(version)
        return pins

    core = versions("requirements.lock")
    for lock in ("requirements-test.lock", "requirements-lab.lock"):
        other = versions(lock)
        assert {name: other[name] for name in core} == core


def notebooks() -> list[Path]:
    return sorted((PACKAGE.parent / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", notebooks(), ids=lambda p: p.stem)
def test_a_notebook_is_thin_and_kept_without_outputs(path):
    notebook = json.loads(path.read_text())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(code) <= 20
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    assert sum("parameters" in cell["metadata"].get("tags", []) for cell in code) == 1
    assert notebook["cells"][0]["source"][0].startswith("# ")
    assert any("assert " in "".join(cell["source"]) for cell in code)
    for cell in code:
        text = "".join(cell["source"])
        assert not re.search(r"^\s*(def|class) ", text, re.M), "logic lives in the library"
        if "parameters" not in cell["metadata"].get("tags", []):
            assert len(text.splitlines()) <= 12
