"""Set up an environment from a lock file; standard library only.

    python3 tools/bootstrap.py core | test | lab

``core`` and ``test`` share ``.venv``; ``lab`` has its own, because JupyterLab beside a kernel
slows every kernel start. A finished set-up is stamped with the hash of what it was made from, so
that the second call returns at once; an interrupted one has no stamp and is done again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV_VERSION = "0.13.9"
LOCKS = {
    "core": ("requirements.lock", ".venv"),
    "test": ("requirements-test.lock", ".venv"),
    "lab": ("requirements-lab.lock", ".venv-lab"),
}


def main(group: str) -> int:
    """Make the environment of one group; returns the exit status."""
    lock_name, folder_name = LOCKS[group]
    lock, folder = ROOT / lock_name, ROOT / folder_name
    stamp, wanted = folder / f".installed-{group}", _fingerprint(lock)
    if stamp.is_file() and stamp.read_text() == wanted and _python(folder).exists():
        return 0
    print(f"setting up {folder.name} from {lock.name} (first time only)", flush=True)
    stamp.unlink(missing_ok=True)
    if not _works(folder):
        shutil.rmtree(folder, ignore_errors=True)
        venv.EnvBuilder(with_pip=False, symlinks=os.name != "nt").create(folder)
    install = [*_installer(folder), "pip", "install", "--python", str(_python(folder))]
    _run([*install, "-q", "--compile-bytecode", "--require-hashes", "-r", str(lock)])
    _run([*install, "-q", "--no-deps", "--no-build-isolation", "-e", str(ROOT)])
    _run([str(_python(folder)), "-m", "compileall", "-q", str(ROOT / "cascadelab")])
    stamp.write_text(wanted)
    return 0


def _fingerprint(lock: Path) -> str:
    digest = hashlib.sha256(sys.version.encode())
    for path in (lock, ROOT / "pyproject.toml", Path(__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _works(folder: Path) -> bool:
    if not _python(folder).exists():
        return False
    wanted = tuple(sys.version_info[:2])
    same = f"import sys; raise SystemExit(sys.version_info[:2] != {wanted})"
    return subprocess.run([str(_python(folder)), "-c", same], check=False).returncode == 0


def _installer(folder: Path) -> list[str]:
    """The pinned uv, put into the environment by whichever pip this Python has, or one on PATH."""
    own = _python(folder).with_name("uv.exe" if os.name == "nt" else "uv")
    if own.exists():
        return [str(own)]
    quiet = ["-q", "--disable-pip-version-check"]
    wanted = f"uv=={UV_VERSION}"
    if _has_module("pip"):
        _run(
            [
                sys.executable,
                "-m",
                "pip",
                "--python",
                str(_python(folder)),
                "install",
                *quiet,
                wanted,
            ]
        )
        return [str(own)]
    if _has_module("ensurepip"):
        _run([str(_python(folder)), "-m", "ensurepip", "--default-pip"], quiet=True)
        _run([str(_python(folder)), "-m", "pip", "install", *quiet, wanted])
        return [str(own)]
    found = shutil.which("uv")
    if found:
        return [found]
    sys.exit(
        f"{sys.executable} has neither pip nor ensurepip, and uv is not on PATH. "
        f"Install one of them (Debian and Ubuntu: apt install python3-pip) and run make again."
    )


def _has_module(name: str) -> bool:
    command = [sys.executable, "-m", name, "--version"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _run(command: list[str], *, quiet: bool = False) -> None:
    # System certificates: on a network with its own authority uv's built-in list is not enough.
    env = dict(os.environ, UV_SYSTEM_CERTS="1", UV_LINK_MODE="copy", UV_NO_PROGRESS="1")
    out = subprocess.DEVNULL if quiet else None
    done = subprocess.run(command, env=env, stdout=out, check=False)
    if done.returncode:
        sys.exit(f"set-up stopped: {' '.join(command[:4])} ... ended with {done.returncode}.")


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036 (an older Python must be told, not crash)
        sys.exit(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}.")
    if len(sys.argv) != 2 or sys.argv[1] not in LOCKS:
        sys.exit(f"usage: python3 tools/bootstrap.py {' | '.join(LOCKS)}")
    sys.exit(main(sys.argv[1]))
