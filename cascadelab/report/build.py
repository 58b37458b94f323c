"""From an executed notebook to the files of its run folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from cascadelab.errors import ReportError
from cascadelab.files import shipped, write_whole
from cascadelab.fingerprint import (
    code_hash,
    commit,
    file_hash,
    json_hash,
    text_hash,
    versions,
)
from cascadelab.report.kernel import Execution
from cascadelab.report.key import named_paths
from cascadelab.report.outputs import Chart, Published, read_published, stable_notebook
from cascadelab.report.page import render_page
from cascadelab.report.spec import Run
from cascadelab.report.store import as_json, seal

__all__ = ["BLOCK", "build_run", "waiting_record"]

#: Name of the print block's file in a run folder.
BLOCK = "block.json"

Record = dict[str, Any]


def waiting_record(run: Run) -> Record:
    """Record of a run that has not been made yet."""
    return {
        "id": run.id,
        "title": run.title,
        "notebook": run.notebook.name,
        "status": "waiting",
        "parameters": _parameters(run),
    }


def build_run(run: Run, report_title: str, key: str, execution: Execution, folder: Path) -> Record:
    """Write page, notebook, charts and record of one run into an empty folder.

    Parameters
    ----------
    run : Run
    report_title : str
    key : str
        From :func:`cascadelab.report.key.run_key`.
    execution : Execution
    folder : Path
        Made here; its name is not yet the final one.

    Returns
    -------
    dict
        The record, as in ``run.json``.

    Raises
    ------
    OSError
        If the files cannot be written.
    """
    content = stable_notebook(execution.content, run.parameters)
    published = read_published(content)
    (folder / "charts").mkdir(parents=True)
    undrawn = [_write_chart(folder / "charts", chart) for chart in published.charts]
    execution = _with_chart_error(run, execution, [reason for reason in undrawn if reason])
    execution = _with_block_error(run, execution, published)
    record = _record(run, report_title, key, execution, published)
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, indent=1) + "\n"
    write_whole(folder / "notebook.ipynb", text)
    if published.block is not None:
        write_whole(folder / BLOCK, as_json(published.block))
    write_whole(folder / "page.html", render_page(content, record, published))
    seal(folder, record, published.input_paths)
    return record


def _record(
    run: Run, report_title: str, key: str, execution: Execution, published: Published
) -> Record:
    drawn = [] if execution.error else published.charts
    marked = [chart for chart in drawn if chart.is_thumbnail]
    thumbnail = next(iter(marked or drawn), None)
    charts = [
        {"name": chart.name, "description": chart.description, "sha256": chart.sha256}
        for chart in published.charts
    ]
    files = [_file_fact(path) for path in named_paths(run) if path.is_file()]
    known = {fact["sha256"] for fact in published.inputs}
    return {
        **waiting_record(run),
        "report_title": report_title,
        "notebook_title": run.notebook.title,
        "parameters_id": run.parameters_id,
        "status": "failed" if execution.error else "done",
        "key": key,
        "error": str(execution.error or ""),
        "traceback": execution.traceback,
        "headlines": list(published.headlines),
        "inputs": [*published.inputs, *(fact for fact in files if fact["sha256"] not in known)],
        "quality": list(published.quality),
        "charts": charts,
        "thumbnail": thumbnail.name if thumbnail else None,
        "block_sha256": published.block and text_hash(as_json(published.block)),
        "provenance": _provenance(run, published),
    }


def _provenance(run: Run, published: Published) -> Record:
    said = [fact["seed"] for fact in published.provenance]
    said += [published.block["environment"]["seed"]] if published.block else []
    said = [seed for seed in said if seed is not None]
    return {
        "notebook_sha256": json_hash(run.notebook.sources),
        "parameters": run.parameters,
        "seed": run.parameters.get("seed", said[-1] if said else None),
        "code_sha256": code_hash(),
        "versions": versions(),
        "commit": commit(),
    }


def _parameters(run: Run) -> list[Record]:
    return [
        {
            "name": parameter.name,
            "text": _text(run.parameters[parameter.name]),
            "description": parameter.description,
            "is_default": run.parameters[parameter.name] == parameter.default,
        }
        for parameter in run.notebook.parameters
    ]


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _file_fact(path: Path) -> Record:
    return {
        "kind": "input",
        "name": path.name,
        "n_bytes": path.stat().st_size,
        "sha256": file_hash(path),
        "source": "named by a parameter",
        "licence": "",
    }


def _write_chart(folder: Path, chart: Chart) -> str:
    """Write a chart in all forms; returns why it cannot be drawn, or nothing."""
    import vl_convert

    from cascadelab.charts.render import canonical_json, svg

    write_whole(folder / f"{chart.name}.json", canonical_json(chart.spec) + "\n")
    try:
        picture = chart.svg or svg(chart.spec)
        png, pdf = vl_convert.svg_to_png(picture, scale=2.0), vl_convert.svg_to_pdf(picture)
    except (RuntimeError, ValueError) as error:
        return f"chart {chart.name!r} cannot be drawn ({str(error).splitlines()[0]})"
    write_whole(folder / f"{chart.name}.svg", picture)
    write_whole(folder / f"{chart.name}.png", png)
    write_whole(folder / f"{chart.name}.pdf", pdf)
    return ""


def _with_chart_error(run: Run, execution: Execution, reasons: list[str]) -> Execution:
    """Return the execution as failed if a chart cannot be drawn and nothing failed before."""
    if execution.error or not reasons:
        return execution
    error = ReportError(
        f"Notebook {run.notebook.name!r}: {'; '.join(reasons)}. Give it rows and a size."
    )
    return replace(execution, error=error)


def _with_block_error(run: Run, execution: Execution, published: Published) -> Execution:
    """Return the execution as failed if a notebook that ships has ended without its print block."""
    is_ours = run.notebook.path.resolve().parent == shipped("notebooks").resolve()
    if execution.error or published.block is not None or not is_ours:
        return execution
    error = ReportError(
        f"Notebook {run.notebook.name!r} ended without its print block. A notebook that ships with "
        f"cascadelab is expected to end with default_block(evidence). Put it back."
    )
    return replace(execution, error=error)
