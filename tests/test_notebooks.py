"""Every notebook under plain papermill, with other parameters, and what it may not show."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"

#: Parameters other than the defaults, which the default report covers.
OTHER = {
    "dynamics": {"half_life_s": 20.0, "n_positions": 3000, "check_interval_s": 5, "seed": 3},
    "catalogue": {"episode_class": "defi", "n_conflicts": 5},
    "episode": {"episode_id": "2021-05-19_crypto_wide"},
    "cascade": {"depth_usd": 3e8, "n_positions": 3000, "seed": 3},
    "identification": {"n_draws": 12},
    "hawkes": {"duration_s": 500.0},
    "cross_section": {"seed": 1},
    "adl": {"seed": 1},
    "data_quality": {"path": str(NOTEBOOKS.parent / "data" / "samples" / "force_orders.csv")},
    "impact": {"cascade_from": "2025-10-10T21:10"},
    "amplification": {"depth": 300.0, "shock": 8.0, "n_depths": 20, "n_shocks": 15},
    "prediction": {"at_risk_share": 0.01, "mean_distance": 0.06},
    "margin_engines": {"fall_fraction": 0.2, "n_positions": 800, "seed": 3},
}


def run(name: str, out: Path, parameters: dict[str, object]) -> dict:
    """Executed notebook, by papermill itself: none of our runner is in between."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of papermill; the kernel's are in the notebook
        import papermill

        source = NOTEBOOKS / f"{name}.ipynb"
        papermill.execute_notebook(source, out, parameters, progress_bar=False)
    return json.loads(out.read_text())


def outputs(notebook: dict) -> list[dict]:
    return [output for cell in notebook["cells"] for output in cell.get("outputs", [])]


def test_every_notebook_has_other_parameters_here():
    assert set(OTHER) <= {path.stem for path in NOTEBOOKS.glob("*.ipynb")}


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_formulas_of_a_notebook_have_single_backslashes(path):
    # Two are a line break, after which "beta" would be four letters.
    texts = [cell["source"] for cell in json.loads(path.read_text())["cells"]]
    assert not [line for text in texts for line in text if "$" in line and "\\\\" in line]


@pytest.mark.parametrize("name", OTHER)
def test_a_notebook_answers_with_other_parameters_under_plain_papermill(name, tmp_path):
    notebook = run(name, tmp_path / "out.ipynb", OTHER[name])
    shown = outputs(notebook)
    assert not [output for output in shown if output["output_type"] == "error"]
    mimes = {mime for output in shown for mime in output.get("data", {})}
    assert "application/vnd.cascadelab+json" in mimes
    assert any(mime.startswith("application/vnd.vegalite") for mime in mimes)
    assert not [output for output in shown if output.get("name") == "stderr"]
    (last,) = notebook["cells"][-1]["outputs"]
    block = last["data"]["application/vnd.cascadelab+json"]
    assert (block["kind"], block["content"]["notebook"]) == ("block", name)
    given = block["content"]["environment"]
    assert {**given["parameters"], "seed": given["seed"]}.items() >= OTHER[name].items()


def test_the_episode_notebook_reads_tick_files(real_data, tmp_path):
    notebook = run("episode", tmp_path / "out.ipynb", {"data_dir": str(real_data)})
    text = json.dumps(outputs(notebook))
    assert "Quality of BTCUSDT-bookDepth-2025-10-10.zip" in text
    assert "AVAXUSD_PERP trade price low" in text


def test_the_impact_notebook_reads_tapes(real_data, tmp_path):
    notebook = run("impact", tmp_path / "out.ipynb", {"data_dir": str(real_data)})
    assert "coinbase AVAX-USD: slope in the cascade" in json.dumps(outputs(notebook))


def test_the_prediction_notebook_reads_depth_tape_and_vaults(real_data, tmp_path):
    given = {
        "depth_file": "binance/um/daily/bookDepth/BTCUSDT-bookDepth-2025-10-10.zip",
        "tape_file": "tardis/trades/gemini_trades_2025-10-10_BTCUSD.csv.gz",
        "vaults_dir": "positions/maker_eth_b",
    }
    paths = {name: str(real_data / path) for name, path in given.items()}
    text = json.dumps(outputs(run("prediction", tmp_path / "out.ipynb", paths)))
    for words in (
        "Kyle slope of 1119 bars",
        "Due on earlier books",
        "BTCUSDT-bookDepth-2025-10-10",
    ):
        assert words in text


def test_an_unknown_episode_stops_the_notebook_with_the_nearest_name(tmp_path):
    with pytest.raises(Exception, match="Did you mean '2025-10-10_crypto_wide'"):
        run("episode", tmp_path / "out.ipynb", {"episode_id": "2025-10-10_crypto"})
