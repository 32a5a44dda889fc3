"""The tables of regimes, splits and ablation: their commands, what is kept of their runs, and what is committed."""

import json
from pathlib import Path

import numpy as np
import pytest

from microgmdgm.data import DataError
from microgmdgm.experiment import options
from microgmdgm.recipes import FAST
from tests import experiments

RESULTS = Path(__file__).parent.parent / "lessons" / "results" / "experiments"
ROWS = [arguments for experiment in experiments.EXPERIMENTS.values() for title, arguments in experiment["rows"].items()
        if title not in experiments.PARTS]


def test_every_row_is_a_command_and_each_another_one(monkeypatch):
    """With digits in the place of the data, which are not needed for that, and other labels where a row names none."""
    monkeypatch.setattr(options, "for_slots", lambda *_: FAST)
    jobs = [(experiments.jobs_of(f"--labels-per-class 9 {arguments} --dataset digits", [0])[1][0],
             arguments.partition("--dataset ")[2].partition(" ")[0]) for arguments in ROWS]
    assert len(set(jobs)) == len(ROWS) == 69


def test_a_part_of_the_data_is_learnt_from():
    whole, _ = experiments.jobs_of("--dataset digits", [0])
    x, y = whole.load().x_train, whole.load().y_train
    source, (job,) = experiments.jobs_of("--dataset digits", [0], images=300)
    few = source.elsewhere().load()
    assert few.x_train.shape == (300, 64) and job.fingerprint == few.fingerprint != whole.load().fingerprint
    assert {*map(bytes, few.x_train)} <= {*map(bytes, x)} and len(few.x_test) == len(whole.load().x_test)
    thinned = experiments.Part("digits", share=0.25).load()
    kept = np.bincount(thinned.y_train) / np.bincount(y)
    assert (kept[[0, 1, 2, 8, 9]] == 1).all() and (0.1 < kept[3:8]).all() and (kept[3:8] < 0.4).all()


def test_the_long_rows_lengthen_the_last_phase_alone():
    """γ is held, and falls, over as many epochs as in the row that they are compared with."""
    rows = experiments.EXPERIMENTS["ablation"]["rows"]
    recipes = [experiments.jobs_of(f"{rows[title]} --dataset digits", [0])[1][0].recipe
               for title in ("the recipe", "20 more epochs on Eq. 2 alone")]
    assert recipes[1].epochs == recipes[0].epochs + 20
    short, long = ([recipe.epochs * share for share in (held, gone)] for recipe, held, gone in (
        (recipes[0], 0.7, 0.85), (recipes[1], recipes[1].gamma_held, recipes[1].gamma_gone)))
    assert long == pytest.approx(short, abs=0.02)


@pytest.fixture
def small(monkeypatch):
    """Two short rows on digits."""
    quick = "--dataset digits --epochs 1 --classifier-epochs 1 --hidden-units 20 --set minimum_epoch=500"
    rows = {"one": quick, "two": f"{quick} alpha=1"}
    monkeypatch.setitem(experiments.EXPERIMENTS, "splits", {"seeds": 2, "rows": rows})
    return rows


def test_runs_are_kept_and_not_run_again(small, tmp_path, capsys):
    path = tmp_path / "splits.json"
    experiments.run("splits", [0], 1, path)
    first = json.loads(path.read_text())["rows"]
    experiments.run("splits", [0, 1], 1, path)
    both = json.loads(path.read_text())["rows"]
    for title in small:
        assert [run["seed"] for run in both[title]["runs"]] == [0, 1]
        assert both[title]["runs"][0] == first[title]["runs"][0] != both[title]["runs"][1]
        assert [point["epoch"] for point in both[title]["runs"][0]["curve"]] == [1, 2]
        assert both[title]["runs"][0]["curve"][-1]["accuracy"] == both[title]["runs"][0]["accuracy"]
    assert capsys.readouterr().err.count("% after") == 4
    lines = experiments.table(json.loads(path.read_text())).splitlines()
    mean = 50 * sum(run["accuracy"] for run in both["two"]["runs"])
    assert lines[3].startswith("| two | `") and f"` | {mean:.1f} (" in lines[3]
    same = experiments.jobs_of(small["one"], [1])[1][0]
    assert same.recipe.alpha == FAST.alpha and same.seeds == (1,)


def test_a_row_whose_command_has_changed_is_refused(small, tmp_path):
    path = tmp_path / "splits.json"
    path.write_text(json.dumps({"rows": {"one": {"arguments": "--dataset digits", "runs": []}}}))
    with pytest.raises(ValueError, match="holds the row 'one' with other arguments"):
        experiments.run("splits", [0], 1, path)
    assert json.loads(path.read_text())["rows"]["one"]["arguments"] == "--dataset digits"


def test_unknown_names_are_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["experiments", "ablations"])
    with pytest.raises(SystemExit):
        experiments.main()
    assert "unknown experiment ablations: choose from regimes, splits, others, ablation, schedules" in capsys.readouterr().err


def test_missing_data_are_one_line(monkeypatch, capsys, tmp_path):
    def absent(asked):
        raise DataError("MNIST cannot be had")
    monkeypatch.setattr(experiments.command, "find_data", absent)
    monkeypatch.setattr("sys.argv", ["experiments", "splits", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as error:
        experiments.main()
    assert error.value.code == 2 and "error: MNIST cannot be had" in capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name in experiments.EXPERIMENTS if (RESULTS / f"{name}.json").exists()])
def test_what_is_committed_is_all_of_these_commands(name):
    found, wanted = json.loads((RESULTS / f"{name}.json").read_text())["rows"], experiments.EXPERIMENTS[name]
    assert {title: row["arguments"] for title, row in found.items()} == wanted["rows"]
    for row in found.values():
        assert [run["seed"] for run in row["runs"]] == list(range(max(len(row["runs"]), wanted["seeds"])))
        assert all(run["curve"][-1]["accuracy"] == pytest.approx(run["accuracy"], abs=3e-4) for run in row["runs"])
