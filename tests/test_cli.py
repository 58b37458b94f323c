"""The command: exit status, one line per error, and help."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import cascadelab
from cascadelab import cli
from cascadelab.errors import CascadelabError

NOTEBOOKS = Path(__file__).parent / "data" / "notebooks"


def test_version_prints_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["version"]) == 0
    assert capsys.readouterr().out == f"{cascadelab.__version__}\n"


def test_notebooks_lists_parameters_with_types_defaults_and_units(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["notebooks", str(NOTEBOOKS / "gain.ipynb")]) == 0
    out = capsys.readouterr().out
    assert out.startswith("gain: How much does a feedback loop amplify?\n")
    assert "levels     list[float]  [0.25, 0.5, 0.75]  gains in the table" in out


def test_notebooks_takes_the_names_it_lists(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["notebooks", "cascade"]) == 0
    assert capsys.readouterr().out.startswith("cascade: ")
    assert cli.main(["notebooks", "cascad"]) == 2
    assert "Did you mean 'cascade'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["report", "none.yml"],
        ["report", "none.yml", "--jobs", "0"],
        ["notebooks", "none.ipynb"],
    ],
)
def test_bad_input_is_one_line_and_status_two(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith("cascadelab: ")
    assert said.count("\n") == 1


def test_debug_shows_where_an_error_came_from() -> None:
    with pytest.raises(CascadelabError):
        cli.main(["report", "none.yml", "--debug"])


@pytest.mark.parametrize("words", [[], ["repot"], ["report", "--jobs", "two"]])
def test_words_the_command_does_not_know_end_with_status_two(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 2


def test_help_starts_without_importing_the_library() -> None:
    code = (
        "import sys\nfrom cascadelab import cli\n"
        "try:\n    cli.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'altair', 'papermill', 'statsmodels'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
