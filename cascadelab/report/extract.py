"""The print block of an executed notebook as a file of its own, for notebooks run without us."""

from __future__ import annotations

import json
from pathlib import Path

from cascadelab.errors import DataError, ReportError
from cascadelab.files import write_whole
from cascadelab.report.outputs import read_published
from cascadelab.report.store import as_json

__all__ = ["write_block"]


def write_block(path: Path) -> Path:
    """Write the print block of an executed notebook beside it, as ``NAME.block.json``.

    Parameters
    ----------
    path : Path
        Notebook executed by papermill, nbconvert or JupyterLab.

    Returns
    -------
    Path
        The file, the same bytes as ``block.json`` of a report with the same numbers.

    Raises
    ------
    DataError
        If the file is not there or is no notebook.
    ReportError
        If it holds no block: it was not executed, it failed before its end, or it has none.
        If the file cannot be written.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        published = read_published(content)
    except FileNotFoundError:
        raise DataError.in_file(path, "There is no such file.", "Check the path.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError.in_file(
            path, "It is no notebook.", "Name an executed notebook, a file in .ipynb."
        ) from error
    if published.block is None:
        raise ReportError(
            f"{path} holds no print block. Expected a notebook executed up to its last cell, "
            f"default_block(evidence). Execute it, or look for the cell that failed."
        )
    target = path.with_name(f"{path.stem}.block.json")
    try:
        write_whole(target, as_json(published.block))
    except OSError as error:
        reason = error.strerror or str(error)
        raise ReportError(
            f"{target}: cannot be written ({reason}). Expected a folder you may write to. Copy "
            f"the notebook to one."
        ) from error
    return target
