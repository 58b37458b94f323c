"""The folder of fetched files, and its index of addresses and hashes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from cascadelab.files import write_whole

__all__ = ["Cache", "Fetched", "default_folder", "sha256_of"]


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What became of one file.

    Parameters
    ----------
    url, name : str
    path : Path or None
        Where it lies; None if it could not be fetched.
    status : {"fetched", "kept", "failed"}
        ``"kept"``: it was there already, and nothing was downloaded.
    sha256 : str
    n_bytes : int
        Size of the file.
    n_resumed : int
        Bytes of it that an earlier, broken try had left.
    check : str
        What the file was held against: ``"checksum of the venue"``, ``"length only"``, or
        ``"nothing: no length was told"``.
    problem : str
        Why it failed, in one sentence.
    """

    url: str
    name: str
    path: Path | None
    status: Literal["fetched", "kept", "failed"]
    sha256: str = ""
    n_bytes: int = 0
    n_resumed: int = 0
    check: str = ""
    problem: str = ""


def default_folder() -> Path:
    """Folder of the cache: CASCADELAB_CACHE, else the user's cache folder."""
    told = os.environ.get("CASCADELAB_CACHE")
    if told:
        return Path(told)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "cascadelab"


@dataclass(frozen=True)
class Cache:
    """A folder of fetched files, with an index of their addresses and hashes.

    Parameters
    ----------
    folder : Path
        Files lie in ``files``, one small record each in ``index``.
    """

    folder: Path

    def place(self, name: str) -> Path:
        """Where a file lies, or would lie."""
        return self.folder / "files" / name

    def record_of(self, name: str) -> dict[str, Any] | None:
        """Entry of the index; None if the file is not there as recorded (by its size)."""
        try:
            entry: dict[str, Any] = json.loads(self._note(name).read_text())
            is_same = self.place(name).stat().st_size == entry["n_bytes"]
        except (OSError, ValueError, KeyError):
            return None
        return entry if is_same else None

    def keep(self, fetched: Fetched) -> None:
        """Write the entry of a file into the index."""
        entry = {key: value for key, value in asdict(fetched).items() if key in _KEPT}
        note = self._note(fetched.name)
        note.parent.mkdir(parents=True, exist_ok=True)
        write_whole(note, json.dumps(entry, indent=1, sort_keys=True))

    @contextmanager
    def alone_with(self, name: str) -> Iterator[None]:
        """Hold one file for this thread; others that want it wait, in any process.

        The lock belongs to the open file, so that a process that is killed gives it back. Where
        the system has no such locks (Windows), nothing is held.
        """
        note = self._note(name).with_suffix(".lock")
        note.parent.mkdir(parents=True, exist_ok=True)
        with note.open("wb") as lock:
            try:
                import fcntl

                fcntl.flock(lock, fcntl.LOCK_EX)
            except ImportError:
                pass
            yield

    def entries(self) -> Iterator[dict[str, Any]]:
        """All entries of the index."""
        for note in sorted((self.folder / "index").glob("*.json")):
            try:
                yield json.loads(note.read_text())
            except (OSError, ValueError):
                continue

    def verify(self) -> list[tuple[str, str]]:
        """Name and finding of every file: ``"good"``, ``"missing"`` or ``"changed"``; and strays.

        A stray is a file without an entry: it was put there by someone else, or a fetch was
        killed between renaming and recording; fetch it again.
        """
        found: list[tuple[str, str]] = []
        known = set()
        for entry in self.entries():
            path = self.place(entry["name"])
            known.add(path)
            if not path.is_file():
                found.append((entry["name"], "missing"))
            else:
                is_same = sha256_of(path) == entry["sha256"]
                found.append((entry["name"], "good" if is_same else "changed"))
        base = self.folder / "files"
        for path in sorted(base.rglob("*")) if base.is_dir() else ():
            if path.is_file() and path not in known:
                word = "unfinished" if path.suffix == ".part" else "stray"
                if not path.name.endswith(".part.json"):
                    found.append((path.relative_to(base).as_posix(), word))
        return found

    def _note(self, name: str) -> Path:
        digest = hashlib.sha256(name.encode()).hexdigest()[:32]
        return self.folder / "index" / f"{digest}.json"


_KEPT = ("url", "name", "sha256", "n_bytes", "check")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
