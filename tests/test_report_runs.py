"""Whole batches: pages, numbers, provenance, resume, and what happens when something goes wrong."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from cascadelab.errors import ParameterError, ReportError
from cascadelab.report.runner import run_report
from tests import browser

NOTEBOOKS = Path(__file__).parent / "data" / "notebooks"
HOSTILE = "<script>alert('a{b}\"c\\d')</script>\nü"

BATCH = f"""
title: "A trial <script>alert(0)</script>"
entries:
  - notebook: gain
    sweep: {{gain: [0.25, 0.75]}}
  - notebook: hostile
    parameters: {{text: {json.dumps(HOSTILE)}}}
  - notebook: quick
    title: "{{left}} and {{right}}"
    parameters: {{left: 3}}
  - notebook: quick
    title: Fails
    parameters: {{fails: true}}
"""


@dataclass(frozen=True)
class Report:
    spec: Path
    out: Path
    status: int
    said: str

    def page(self, start: str) -> str:
        return self.folder(start).joinpath("page.html").read_text(encoding="utf-8")

    def folder(self, start: str) -> Path:
        """Folder of the first run, in the order of the specification, with this name or title."""
        record = next(run for run in self.runs if start in (run["title"], run["notebook"]))
        return self.out / str(record["id"])

    @property
    def index(self) -> str:
        return (self.out / "index.html").read_text(encoding="utf-8")

    @property
    def provenance(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.out / "provenance.json").read_text("utf-8"))
        return content

    @property
    def runs(self) -> list[dict[str, Any]]:
        runs: list[dict[str, Any]] = self.provenance["runs"]
        return runs


def write_spec(folder: Path, text: str) -> Path:
    for path in NOTEBOOKS.glob("*.ipynb"):
        shutil.copy(path, folder)
    spec = folder / "spec.yml"
    spec.write_text(text, encoding="utf-8")
    return spec


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "cascadelab.cli", *map(str, words)]


def make(folder: Path, out: str) -> Report:
    spec = write_spec(folder, BATCH)
    words = command("report", spec, "--out", folder / out)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return Report(spec=spec, out=folder / out, status=done.returncode, said=done.stderr)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return make(tmp_path_factory.mktemp("one"), "out")


def files(out: Path) -> dict[str, bytes]:
    """Everything that promises the same bytes: not PDF, not run times, not hidden files."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.suffix != ".pdf" and path.name != "times.json"
        if not path.name.startswith(".")
    }


# What a finished batch looks like


def test_one_failing_notebook_does_not_stop_the_rest(report: Report) -> None:
    assert report.status == 1
    assert [run["status"] for run in report.runs] == ["done"] * 4 + ["failed"]


def test_a_failure_is_one_line_with_notebook_cell_parameters_and_reason(report: Report) -> None:
    assert report.said.count("\n") == 1
    assert "Notebook 'quick', code cell 5 of 5, parameters left=1" in report.said
    assert "ValueError: asked <script>" in report.said


def test_nothing_is_drawn_where_standard_error_is_no_terminal(report: Report) -> None:
    assert "%|" not in report.said
    assert "Traceback" not in report.said


def test_the_traceback_is_in_the_index_and_the_partial_page_says_failed(report: Report) -> None:
    assert "Traceback (most recent call last)" in report.index
    page = report.page("Fails")
    assert "This page is partial" in page
    assert "<title>Failed: Fails</title>" in page


def test_headline_numbers_are_one_row_each_in_parquet_and_csv(report: Report) -> None:
    numbers = pl.read_parquet(report.out / "numbers.parquet")
    assert numbers.columns == [
        *("notebook", "title", "parameters_id", "name", "value", "low", "high", "unit", "source")
    ]
    gains = numbers.filter(pl.col("name") == "Amplification")["value"].to_list()
    assert gains == pytest.approx([4 / 3, 4.0], rel=1e-15)
    assert numbers.filter(pl.col("title") == "3 and 1").row(0)[3:5] == ("Sum", 4.0)
    assert numbers.filter(pl.col("name") == "Limit at gain one")["value"][0] == float("inf")
    csv = pl.read_csv(report.out / "numbers.csv", schema=numbers.schema, null_values=[""])
    assert_frame_equal(csv, numbers.with_columns(source=pl.col("source").replace("", None)))


def test_numbers_of_a_failed_notebook_are_not_published(report: Report) -> None:
    assert "Fails" not in (report.out / "numbers.csv").read_text(encoding="utf-8")


def test_provenance_holds_parameters_versions_seed_and_hashes(report: Report) -> None:
    run = report.runs[0]
    assert run["parameters"]["gain"] == 0.25
    assert run["seed"] == 7
    assert run["versions"]["polars"] == pl.__version__
    assert len(run["code_sha256"]) == len(run["charts"]["amplification"]) == 64
    assert "numbers_sha256" in report.provenance


def test_the_executed_notebook_has_its_outputs_and_no_times(report: Report) -> None:
    text = (report.folder("gain") / "notebook.ipynb").read_text(encoding="utf-8")
    notebook = json.loads(text)
    assert notebook["metadata"]["papermill"]["parameters"]["gain"] == 0.25
    assert any(cell.get("outputs") for cell in notebook["cells"])
    assert not re.search(r"start_time|end_time|duration|run_uuid|ipykernel_\d", text)


def test_every_chart_is_saved_in_four_formats(report: Report) -> None:
    names = sorted(path.name for path in (report.folder("gain") / "charts").iterdir())
    assert names == [f"amplification.{suffix}" for suffix in ("json", "pdf", "png", "svg")]


def test_the_index_shows_thumbnails_numbers_and_links(report: Report) -> None:
    assert report.index.count('src="data:image/svg+xml;base64,') == 3
    assert "A line that rises from 1 at gain 0" in report.index
    for run in report.runs:
        assert f'href="{run["id"]}/page.html"' in report.index
    assert "4 of 5 notebooks complete; 1 failed." in report.index


def test_parameters_differing_from_their_default_stand_out(report: Report) -> None:
    assert '<td class="changed">0.25</td><td>fraction, below 1</td>' in report.page("gain")


def test_formulas_are_mathml(report: Report) -> None:
    assert "<mfrac>" in report.page("gain")


# Offline and safe


def pages(report: Report) -> list[Path]:
    return [report.out / "index.html", *sorted(report.out.glob("*/page.html"))]


def without_library(text: str) -> str:
    return re.sub(r"<script>const .*?</script>", "", text, flags=re.DOTALL)


class Fetches(HTMLParser):
    """Addresses that a browser would fetch, or run, on opening a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tag = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tag = tag
        for name, value in attrs:
            is_link = tag == "a" and name == "href"
            is_address = "//" in (value or "")[:8] and name != "xmlns" and not is_link
            if name.startswith("on") or is_address:
                self.found.append(f"<{tag} {name}={value}>")

    def handle_data(self, data: str) -> None:
        if self.tag == "style" and ("url(" in data or "@import" in data):
            self.found.append(data)

    def handle_endtag(self, tag: str) -> None:
        self.tag = ""


def test_no_page_names_an_address_to_fetch(report: Report) -> None:
    for path in pages(report):
        parser = Fetches()
        parser.feed(path.read_text(encoding="utf-8"))
        assert parser.found == [], path


def test_text_of_parameters_and_data_is_escaped_everywhere(report: Report) -> None:
    for path in pages(report):
        text = without_library(path.read_text(encoding="utf-8"))
        assert "<script>alert" not in text
        assert not re.search(r"<(img|b|iframe)[^>]*(onclick|onerror)", text)


def test_the_library_is_in_a_page_once_and_only_where_there_are_charts(report: Report) -> None:
    assert report.page("gain").count("window.vegaEmbed=") == 1
    assert "vegaEmbed" not in report.page("3 and 1")
    assert len(report.page("gain")) < 1_200_000


@pytest.mark.skipif(browser.CHROMIUM is None, reason="no Chromium here to open the pages in")
@pytest.mark.parametrize("notebook", ["gain", "hostile"])
def test_charts_respond_in_a_browser_that_fetches_nothing(report: Report, notebook: str) -> None:
    point = """(() => {
        const all = document.querySelectorAll('.vega .mark-symbol path');
        const point = all[Math.floor(all.length / 2)];
        point.scrollIntoView({block: 'center'});
        const box = point.getBoundingClientRect();
        return [box.x + box.width / 2, box.y + box.height / 2];
    })()"""
    live = "document.querySelectorAll('.vega[data-state=live]').length"
    tip = "document.querySelector('#vg-tooltip-element.visible')?.innerText ?? ''"
    path = report.folder(notebook) / "page.html"
    seen = browser.visit(path, [live, point, "last", tip])
    assert seen.complaints == []
    assert [
        address for address in seen.requests if not address.startswith(("file:", "data:"))
    ] == []
    assert seen.values[0] == 1
    if notebook == "gain":
        assert "amplification" in seen.values[2]


@pytest.mark.skipif(browser.CHROMIUM is None, reason="no Chromium here to open the pages in")
def test_the_index_opens_without_a_complaint(report: Report) -> None:
    seen = browser.visit(report.out / "index.html", ["document.images.length"])
    assert (seen.complaints, seen.values) == ([], [3])


# Again


def test_two_batches_give_the_same_bytes(report: Report, tmp_path: Path) -> None:
    again = make(tmp_path, "out")
    assert files(again.out) == files(report.out)


def test_a_second_run_with_nothing_to_do_loads_and_touches_nothing(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, "title: T\nentries: [{notebook: quick}]\n")
    words = command("report", spec, "--out", tmp_path / "out")
    subprocess.run(words, check=True, capture_output=True)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.*")}
    code = f"import sys; from cascadelab import cli; cli.main({words[3:]!r});"
    code += "assert not {'papermill', 'altair', 'nbformat', 'vl_convert'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "0 run, 1 unchanged, 0 failed" in done.stdout
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.*")}
    assert {k: v for k, v in after.items() if k.name != ".lock"} == {
        k: v for k, v in before.items() if k.name != ".lock"
    }


@pytest.fixture
def small(tmp_path: Path) -> Any:
    """A batch of one quick notebook; call it to run again."""
    data = tmp_path / "prices.csv"
    data.write_text("price\n1\n", encoding="utf-8")
    text = f"title: T\nentries: [{{notebook: quick, parameters: {{data_file: {data}}}}}]\n"
    spec = write_spec(tmp_path, text)
    return lambda: run_report(spec, tmp_path / "out")


def test_a_run_is_made_again_when_what_it_depends_on_changes(small: Any, tmp_path: Path) -> None:
    def edit(path: Path, old: str, new: str) -> None:
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    assert (small().n_run, small().n_run) == (1, 0)
    folder = next((tmp_path / "out").glob("quick-*"))
    changes = (
        lambda: edit(tmp_path / "prices.csv", "1", "2"),
        lambda: edit(tmp_path / "quick.ipynb", "left + right", "right + left"),
        lambda: edit(folder / "page.html", "</html>", ""),
        lambda: (folder / "run.json").unlink(),
    )
    for number, change in enumerate(changes):
        change()
        assert small().n_run == 1, number
    assert small().n_run == 0
    assert (folder / "page.html").read_text(encoding="utf-8").endswith("</html>\n")


def test_input_files_are_on_the_page_and_in_provenance_without_their_folder(
    small: Any, tmp_path: Path
) -> None:
    small()
    provenance = json.loads((tmp_path / "out" / "provenance.json").read_text(encoding="utf-8"))
    fact = provenance["runs"][0]["inputs"][0]
    expected = "46fdd19bd81d1ab0fd7e1efb29de5ba6efaa41b6e3ab4cdda1b9a5d3bb29bdd9"
    assert (fact["name"], fact["n_bytes"], fact["licence"]) == ("prices.csv", 8, "CC0")
    assert len(fact["sha256"]) == len(expected)
    page = next((tmp_path / "out").glob("*/page.html")).read_text(encoding="utf-8")
    assert fact["sha256"] in page


# When something goes wrong


def test_wrong_parameters_are_refused_before_any_kernel_starts(tmp_path: Path) -> None:
    text = "title: T\nentries: [{notebook: quick}, {notebook: gain, parameters: {gian: 0.1}}]\n"
    with pytest.raises(ParameterError, match=r"entry 2.*'gian'.*Did you mean 'gain'"):
        run_report(write_spec(tmp_path, text), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os; os._exit(1)", "the kernel died"),
        ("import time; time.sleep(60)", "longer than timeout_s = 1 seconds"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("1 +", "SyntaxError"),
    ],
)
def test_every_way_to_fail_names_notebook_and_cell(tmp_path: Path, code: str, message: str) -> None:
    spec = write_spec(tmp_path, "title: T\ntimeout_s: 1\nentries: [{notebook: bad}]\n")
    cells = [
        {
            "cell_type": "code",
            "id": name,
            "metadata": {},
            "source": source,
            "outputs": [],
            "execution_count": None,
        }
        for name, source in (("a", "1"), ("b", code))
    ]
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "bad.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    (line,) = run_report(spec, tmp_path / "out").failures
    assert line.startswith("Notebook 'bad', code cell 2 of 2, parameters none: ")
    assert message in line
    assert "\n" not in line
    page = next((tmp_path / "out").glob("*/page.html")).read_text(encoding="utf-8")
    assert "This page is partial" in page


SLOW = "title: T\nentries: [{notebook: quick, sweep: {pause_s: [0.0, 50.0, 51.0]}}]\n"


def wait_for(found: Any) -> None:
    deadline = time.monotonic() + 30
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_batch_that_is_stopped_keeps_what_is_finished_and_goes_on(
    tmp_path: Path, number: signal.Signals
) -> None:
    spec, out = write_spec(tmp_path, SLOW), tmp_path / "out"
    process = subprocess.Popen(
        command("report", spec, "--out", out), stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: list(out.glob("*/run.json")) and (out / "times.json").exists())
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert said == "cascadelab: Interrupted. Finished runs are kept; run again to go on.\n"
    assert "unfinished" in (out / "index.html").read_text(encoding="utf-8")
    for page in out.glob("*/page.html"):
        assert page.read_text(encoding="utf-8").endswith("</html>\n")
    spec.write_text(SLOW.replace("50.0", "0.1").replace(", 51.0", ""), encoding="utf-8")
    again = run_report(spec, out)
    assert (again.n_run, again.n_unchanged, again.failures) == (1, 1, ())
    assert "unfinished" not in again.index.read_text(encoding="utf-8")


def test_an_output_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, "title: T\nentries: [{notebook: quick}]\n")
    (tmp_path / "out").write_text("", encoding="utf-8")
    with pytest.raises(ReportError, match=r"cannot write the report here.*--out"):
        run_report(spec, tmp_path / "out")


def test_a_disk_that_fills_up_is_one_line_and_leaves_no_half_page(tmp_path: Path) -> None:
    spec, out = write_spec(tmp_path, "title: T\nentries: [{notebook: gain}]\n"), tmp_path / "out"
    code = "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
    code += "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000));"
    code += f"from cascadelab import cli; sys.exit(cli.main({command('report', spec)[3:]!r}"
    code += f" + ['--out', {str(out)!r}]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.fullmatch(r"cascadelab: .*cannot write the report here.*\n", done.stderr)
    assert list(out.glob("*/page.html")) == []


def test_two_reports_cannot_write_to_one_folder(tmp_path: Path) -> None:
    from cascadelab.report import store

    spec = write_spec(tmp_path, "title: T\nentries: [{notebook: quick}]\n")
    with store.locked(tmp_path / "out"), pytest.raises(ReportError, match="another report"):
        run_report(spec, tmp_path / "out")


def test_papermill_alone_runs_a_notebook_and_shows_the_same_facts(tmp_path: Path) -> None:
    output = tmp_path / "o.ipynb"
    words = [sys.executable, "-m", "papermill", str(NOTEBOOKS / "quick.ipynb"), str(output)]
    subprocess.run([*words, "-p", "left", "5"], cwd=tmp_path, check=True, capture_output=True)
    assert "Sum  6 count" in output.read_text(encoding="utf-8")


def test_a_chart_that_cannot_be_drawn_fails_its_own_run_only(tmp_path):
    spec = tmp_path / "spec.yml"
    spec.write_text(
        f"title: T\nentries:\n  - notebook: {NOTEBOOKS / 'undrawable.ipynb'}\n"
        f"  - notebook: {NOTEBOOKS / 'quick.ipynb'}\n"
    )
    outcome = run_report(spec, tmp_path / "out")
    (failure,) = outcome.failures
    assert re.search(r"chart 'empty' cannot be drawn \(SVG has an invalid size\)", failure)
    assert outcome.n_run == 2
    records = [json.loads(path.read_text()) for path in (tmp_path / "out").glob("*/run.json")]
    assert sorted(record["status"] for record in records) == ["done", "failed"]
    assert "cannot be drawn" in (tmp_path / "out" / "index.html").read_text()
