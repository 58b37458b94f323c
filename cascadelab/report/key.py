"""What a run depends on: when the key is the same, the run need not be made again."""

from __future__ import annotations

import re
from pathlib import Path

from cascadelab.fingerprint import code_hash, json_hash, path_state, versions
from cascadelab.report.spec import Run

__all__ = ["named_paths", "run_key"]

_PATH_NAME = re.compile(r"(?:^|_)(?:dir|file|folder|path)s?$")


def run_key(run: Run, report_title: str) -> str:
    """Hash of all that a run depends on: notebook, parameters, inputs, code, data, versions."""
    return json_hash(
        {
            "notebook": run.notebook.sources,
            "parameters": run.parameters,
            "titles": [report_title, run.title],
            "inputs": {str(path): path_state(path) for path in named_paths(run)},
            "code": code_hash(),
            "versions": versions(),
        }
    )


def named_paths(run: Run) -> list[Path]:
    """Files and folders that parameters name: by a name in ``_dir`` or ``_file``, or a slash."""
    found = []
    for name, value in run.parameters.items():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and text and (_PATH_NAME.search(name) or "/" in text):
                found.append(Path(text))
    return found
