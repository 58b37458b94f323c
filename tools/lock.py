"""Resolve the three lock files from pyproject.toml: `make lock`. Needs the test environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GROUPS = {
    "requirements-test.lock": ("build", "test", "bench", "econ", "cluster", "fast", "dev"),
    "requirements.lock": ("build",),
    "requirements-lab.lock": ("build", "lab"),
}


def main(uv: str) -> None:
    """Compile each lock; the later ones take the versions of the first."""
    first = next(iter(GROUPS))
    for lock, extras in GROUPS.items():
        command = [uv, "pip", "compile", "--universal", "--generate-hashes", "--no-header"]
        command += ["--python-version", "3.11"]
        command += [f"--extra={extra}" for extra in extras]
        command += [] if lock == first else ["--constraint", first]
        subprocess.run([*command, "pyproject.toml", "-q", "-o", lock], cwd=ROOT, check=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "uv")
