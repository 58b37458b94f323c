"""Where shipped files are, from a checkout and from an installed wheel; writing files whole."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from cascadelab.errors import DataError

__all__ = ["shipped", "write_whole"]

_PACKAGE = Path(__file__).resolve().parent


def shipped(*parts: str) -> Path:
    """Path of a file or folder that ships with cascadelab, such as ``shipped("data")``.

    Raises
    ------
    DataError
        If it is not there.
    """
    for base in (_PACKAGE / "_shipped", _PACKAGE.parent):
        path = base.joinpath(*parts)
        if path.exists():
            return path
    name = "/".join(parts)
    raise DataError(f"{name} did not come with this installation. Install cascadelab again.")


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file so that it is either there whole or not there.

    Parameters
    ----------
    path : Path
        Its folder must exist.
    content : bytes or str
        Text is written as UTF-8.

    Raises
    ------
    OSError
        As the file system says (full disk, no permission); nothing half-written is left.
    """
    data = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
