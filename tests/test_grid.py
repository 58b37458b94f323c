"""A grid gives the same rows on every executor, in every order and after a kill."""

from __future__ import annotations

import functools
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from cascadelab import grid
from cascadelab.errors import (
    BookExhausted,
    ConvergenceError,
    DataError,
    MissingExtraError,
    ParameterError,
)
from tests import grid_points

POINTS = [{"n": n, "shock": shock} for n in (50, 500) for shock in (1.0, 2.5, 6.0)]


def test_threads_and_serial_work_give_the_same_bits():
    serial = grid.run(grid_points.cascade, POINTS, seed=3)
    with ThreadPoolExecutor(3) as pool:
        assert_frame_equal(grid.run(grid_points.cascade, POINTS, pool, seed=3), serial)
    assert serial.columns == ["n", "shock", "move", "n_rounds", "status"]
    assert serial["n"].to_list() == [50] * 3 + [500] * 3


def test_spawned_processes_give_the_same_bits_and_leave_the_environment_alone():
    before = dict(os.environ)
    with grid.spawned(2) as pool:
        rows = grid.run(grid_points.cascade, POINTS, pool, seed=3)
    assert_frame_equal(rows, grid.run(grid_points.cascade, POINTS, seed=3))
    assert dict(os.environ) == before


@pytest.mark.filterwarnings("ignore")
def test_a_distributed_cluster_gives_the_same_bits():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        rows = grid.run(grid_points.cascade, POINTS, client.get_executor(), seed=3)
    assert_frame_equal(rows, grid.run(grid_points.cascade, POINTS, seed=3))


def test_the_order_and_the_company_of_a_point_do_not_change_its_rows():
    rows = grid.run(grid_points.cascade, POINTS, seed=3)
    backwards = grid.run(grid_points.cascade, POINTS[::-1], seed=3)
    assert_frame_equal(backwards.reverse(), rows)
    assert_frame_equal(grid.run(grid_points.cascade, POINTS[2:3], seed=3), rows[2:3])


def test_a_repeated_point_draws_anew_and_another_seed_draws_otherwise():
    draws = grid.run(grid_points.two_rows, [{"x": 1}] * 3, seed=3)["draw"]
    assert draws.n_unique() == 6
    other = grid.run(grid_points.two_rows, [{"x": 1}] * 3, seed=4)["draw"]
    assert not set(draws) & set(other)


def test_streams_of_points_are_not_correlated():
    points = [{"x": i} for i in range(4000)]
    draws = grid.run(grid_points.two_rows, points, seed=0)["draw"].to_numpy().reshape(-1, 2)
    assert abs(np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]) < 4 / np.sqrt(4000)
    assert abs(draws.mean() - 0.5) < 4 / np.sqrt(12 * 8000)


def test_rows_may_lack_columns():
    frame = grid.run(grid_points.two_rows, [{"x": 1}, {"x": 2}], seed=1)
    assert frame.height == 4
    assert frame["index"].to_list() == [0, 1, 0, 1]
    assert frame["odd"].to_list() == [None] * 4


def test_a_killed_run_goes_on_where_it_stood_and_ends_with_the_same_bytes(tmp_path, root):
    kill = tmp_path / "kill"
    kill.touch()
    command = [sys.executable, "-m", "tests.grid_points"]
    environment = {**os.environ, "GRID_KILL": str(kill)}
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    first = subprocess.run([*command, broken], cwd=root, env=environment, check=False)
    assert first.returncode == -9
    kept = {path.name: path.read_bytes() for path in (broken / "parts").iterdir()}
    assert len(kept) == 60
    assert not (broken / "rows.parquet").exists()
    kill.unlink()
    for folder in (broken, whole):
        subprocess.run([*command, folder], cwd=root, env=environment, check=True)
    assert (broken / "rows.parquet").read_bytes() == (whole / "rows.parquet").read_bytes()
    now = {path.name: path.read_bytes() for path in (broken / "parts").iterdir()}
    assert kept.items() <= now.items()


def test_finished_points_are_not_done_again_unless_function_seed_or_data_change(tmp_path):
    calls = []

    def counted(point, rng):
        calls.append(point["x"])
        return {"y": 2 * point["x"]}

    points = [{"x": i} for i in range(5)]
    first = grid.run(counted, points, folder=tmp_path)
    assert_frame_equal(grid.run(counted, [*points, {"x": 9}], folder=tmp_path)[:5], first)
    assert calls == [0, 1, 2, 3, 4, 9]
    grid.run(counted, points, folder=tmp_path, seed=1)
    grid.run(counted, points, folder=tmp_path, data="other")
    assert len(calls) == 16

    def changed(point, rng):
        calls.append(point["x"])
        return {"y": 3 * point["x"]}

    changed.__qualname__, changed.__module__ = counted.__qualname__, counted.__module__
    assert grid.run(changed, points, folder=tmp_path)["y"].to_list() == [0, 3, 6, 9, 12]


def test_an_error_names_the_point_and_keeps_what_is_finished(tmp_path):
    points = [{"x": i} for i in range(6)]
    with pytest.raises(ZeroDivisionError) as caught:
        grid.run(grid_points.fails, points, folder=tmp_path)
    assert caught.value.__notes__ == ["at the point {'x': 3}"]
    assert len(list((tmp_path / "parts").iterdir())) == 3


def test_an_error_of_a_worker_process_arrives_as_it_was_raised():
    # An error that cannot be rebuilt here would break the pool and say nothing.
    with grid.spawned(1) as pool, pytest.raises(BookExhausted, match="5 base units") as caught:
        grid.run(grid_points.exhausts, [{"x": 5.0}], pool)
    assert (caught.value.quantity_base, caught.value.capacity_base) == (5.0, 2.0)
    assert caught.value.__notes__ == ["at the point {'x': 5.0}"]


@pytest.mark.parametrize(
    "error",
    [
        BookExhausted(1.0, 2.0),
        ConvergenceError("No end.", 1.5, 7),
        ParameterError("Wrong."),
        MissingExtraError.of("arch", "econ"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_can_be_pickled(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), vars(again)) == (str(error), vars(error))


def test_a_damaged_part_is_named(tmp_path):
    grid.run(grid_points.fails, [{"x": 1}], folder=tmp_path)
    (part,) = (tmp_path / "parts").iterdir()
    part.write_bytes(b"PAR1 nonsense")
    with pytest.raises(DataError, match=r"parquet: is damaged .*Delete it"):
        grid.run(grid_points.fails, [{"x": 1}], folder=tmp_path)


def test_points_of_other_than_plain_values_are_refused():
    with pytest.raises(ParameterError, match="Point 1, 'x' is a list"):
        grid.run(grid_points.fails, [{"x": 1}, {"x": [2]}])
    with pytest.raises(ParameterError, match=r"repeat its \['y'\]"):
        grid.run(grid_points.fails, [{"x": 1, "y": 2}])


def test_points_may_come_as_a_frame_and_there_may_be_none():
    frame = pl.DataFrame({"x": [1, 2]})
    assert grid.run(grid_points.fails, frame)["y"].to_list() == [1, 2]
    assert grid.run(grid_points.fails, []).height == 0


def test_nothing_is_drawn_on_a_screen_that_is_not_there(capfd):
    grid.run(grid_points.fails, [{"x": 1}])
    assert capfd.readouterr() == ("", "")


def _times(point, rng, factor):
    return {"product": point["x"] * factor}


def test_what_a_function_encloses_or_is_given_is_part_of_it(tmp_path):
    def scaled(factor):
        return lambda point, rng: {"product": point["x"] * factor}

    for make in (scaled, lambda factor: functools.partial(_times, factor=factor)):
        folder = tmp_path / make.__name__
        for factor in (2, 3, 2):
            rows = grid.run(make(factor), [{"x": 5}], folder=folder)
            assert rows["product"].to_list() == [5 * factor]
        assert len(list((folder / "parts").glob("*.parquet"))) == 2  # the third was read


def test_the_name_of_a_partial_does_not_depend_on_the_process():
    code = (
        "import functools; from cascadelab import grid; from tests import grid_points; "
        "print(grid._version(functools.partial(grid_points.two_rows, 1, k=2.5)))"
    )
    names = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    }
    assert len(names) == 1


def test_a_point_stored_by_two_runs_at_once_is_read_once(tmp_path):
    points = [{"x": i} for i in range(6)]
    items = grid._items(grid_points.two_rows, points, 3, "")
    for piece in (items[:4], items[2:]):
        grid._store(tmp_path / "parts", grid._work(grid_points.two_rows, 3, piece))
    rows = grid.run(grid_points.two_rows, points, seed=3, folder=tmp_path)
    assert_frame_equal(rows, grid.run(grid_points.two_rows, points, seed=3))


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, r"returned a NoneType at the point \{'x': 1\}"),
        (pl.DataFrame({"y": [1]}), r"returned a DataFrame at the point .*to_dicts"),
        ([1.0, 2.0], r"returned a list at the point"),
        ([], r"no row at the point"),
        ({"y": np.arange(3)}, r"'y' has the shape \(3,\) at the point"),
    ],
)
def test_what_is_no_row_is_refused_and_the_point_named(returned, message):
    with pytest.raises(ParameterError, match=message):
        grid.run(lambda point, rng: returned, [{"x": 1}])


def test_a_column_of_two_kinds_is_named():
    with pytest.raises(ParameterError, match=r"column 'y' holds \['int', 'str'\]"):
        grid.run(lambda point, rng: {"y": 1 if point["x"] else "none"}, [{"x": 1}, {"x": 0}])


def test_a_name_that_is_no_text_is_refused():
    with pytest.raises(ParameterError, match="has the name 1"):
        grid.run(lambda point, rng: {"y": 1}, [{1: 1}])


def test_a_seed_may_be_a_numpy_integer():
    points = [{"x": 1}]
    draw = [grid.run(lambda p, rng: {"y": rng.random()}, points, seed=s) for s in (7, np.int64(7))]
    assert_frame_equal(*draw)
