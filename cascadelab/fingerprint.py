"""What a run depended on, as hashes and versions: files, package code, dependencies, commit."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cascadelab import __version__

__all__ = [
    "code_hash",
    "commit",
    "file_hash",
    "json_hash",
    "path_state",
    "text_hash",
    "versions",
]

_PACKAGE = Path(__file__).resolve().parent

#: Dependencies whose version may change a number or a picture.
_DEPENDENCIES = (
    "numpy",
    "scipy",
    "polars",
    "statsmodels",
    "altair",
    "vl-convert-python",
    "papermill",
    "ipykernel",
    "latex2mathml",
)


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def text_hash(text: str) -> str:
    """SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def json_hash(value: object) -> str:
    """SHA-256 of the canonical JSON of plain values."""
    return text_hash(json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")))


@lru_cache(maxsize=1)
def code_hash() -> str:
    """SHA-256 over the package's source and the data files that ship with it."""
    from cascadelab.files import shipped

    digest = hashlib.sha256()
    data = shipped("data")
    files = [(path.relative_to(_PACKAGE), path) for path in _package_files()]
    files += [(path.relative_to(data), path) for path in data.rglob("*") if path.is_file()]
    for name, path in sorted(files):
        digest.update(f"{name.as_posix()} {file_hash(path)}\n".encode())
    return digest.hexdigest()


def _package_files() -> Iterable[Path]:
    for path in _PACKAGE.rglob("*"):
        is_code = path.suffix in (".py", ".css", ".js") and "_shipped" not in path.parts
        if is_code and path.is_file():
            yield path


@lru_cache(maxsize=1)
def _versions() -> tuple[tuple[str, str], ...]:
    found = [("cascadelab", __version__), ("python", platform.python_version())]
    for name in _DEPENDENCIES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            found.append((name, "not installed"))
    return tuple(found)


def versions() -> dict[str, str]:
    """Versions of cascadelab, Python and the dependencies that may change a number."""
    return dict(_versions())


@lru_cache(maxsize=1)
def commit() -> str | None:
    """Git commit of the checkout the package runs from, ``+changes`` if edited; else None."""
    root = _PACKAGE.parent
    if not (root / ".git").exists():
        return None
    git = ["git", "-C", str(root)]
    try:
        head = _output([*git, "rev-parse", "HEAD"])
        changed = _output([*git, "status", "--porcelain", "--untracked-files=no"])
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{head}+changes" if changed else head


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.strip()


def path_state(path: Path) -> str:
    """Hash that changes when a file's bytes, or a folder's names, sizes or times, change.

    A folder may hold many gigabytes of ticks; its files are not read. Files that a notebook
    names by :func:`cascadelab.report.input_file` are hashed in full beside this.
    """
    if path.is_file():
        return file_hash(path)
    if not path.is_dir():
        return "absent"
    rows = []
    for file in sorted(path.rglob("*")):
        if file.is_file():
            state = file.stat()
            rows.append([file.relative_to(path).as_posix(), state.st_size, state.st_mtime_ns])
    return json_hash(rows)
