"""One's own data on the command line, in a process of its own."""

import csv
import json

import numpy as np
import pytest

import run_mnist
from microgmdgm.data import DataError
from microgmdgm.openset import command as own
from microgmdgm.sklearn import SemiUnsupervisedClassifier
from .test_run_mnist import run
from .test_sklearn import blobs

QUICK = ("--epochs", 1, "--hidden-units", 40)


def write(path, **changes):
    X, y, given = blobs()
    arrays = {"x": X, "y": np.array(["ash", "oak", "-1"])[np.where(given < 0, 2, given)], "x_test": X[:40],
              "y_test": np.array(["ash", "oak", "elm"])[y[:40]], **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    return run("--dataset", write(folder / "trees.npz"), *QUICK, "--out", folder / "out"), folder / "out"


def test_predictions_are_a_line_a_row(done):
    result, out = done
    assert result.returncode == 0, result.stderr
    X, y, _ = blobs()
    model = SemiUnsupervisedClassifier.load(out / "model.npz")
    for name, rows in (("predictions", X), ("predictions-test", X[:40])):
        with open(out / f"{name}.csv", newline="") as file:
            lines = list(csv.DictReader(file))
        assert list(lines[0]) == ["row", "label", "probability", "entropy", "known_or_new"]
        assert [int(line["row"]) for line in lines] == list(range(len(rows)))
        q = model.predict_proba(rows)
        assert [line["label"] for line in lines] == model.predict(rows).tolist()
        np.testing.assert_allclose([float(line["probability"]) for line in lines], q.max(axis=1), atol=1e-6)
        np.testing.assert_allclose([float(line["entropy"]) for line in lines], -(q * np.log(q)).sum(axis=1), atol=1e-5)
        assert all((line["known_or_new"] == "new") == line["label"].startswith("new-") for line in lines)


def test_the_report_and_the_summary_are_there(done):
    result, out = done
    report, summary = (json.loads((out / f"{name}.json").read_text()) for name in ("openset", "summary"))
    assert [slot["name"] for slot in report["slots"]] == ["ash", "oak", "new-0"] and report["whole"]["rows"] == 40
    page = (out / "report.html").read_text()
    assert "new-0 (new)" in page and page.count("data:image/png;base64,") >= 3 and "<script" not in page
    assert summary["report_on"] == "x_test" and summary["accuracy"] > 0.9 and summary["accuracy_labelled_rows"] > 0.9
    assert summary["columns"] == "gaussian likelihood, columns: 4 real" and summary["settings"]["new_classes"] == 1
    assert "in truth" in result.stdout and "nearest known class" in result.stdout
    assert "SemiUnsupervisedClassifier: 90 rows, 20 with a label" in result.stderr
    for name in ("sizes", "overlaps", "truth", "profile"):
        assert (out / f"openset-{name}.png").stat().st_size > 5000
    assert len((out / "metrics.jsonl").read_text().splitlines()) == summary["epochs"] == 9
    assert not list(out.glob("*.partial"))


def test_images_and_no_test_rows(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 50, (60, 16), dtype=np.uint8) + 200 * (np.arange(16) % 3 == np.arange(60)[:, None] % 3)
    y = np.where(np.arange(60) < 30, np.arange(60) % 3, -1)
    path = write(tmp_path / "tiles.npz", x=x.astype(np.uint8), y=np.where(y == 2, -1, y), x_test=None, y_test=None,
                 image_shape=(4, 4))
    result = run("--dataset", path, *QUICK, "--extra-classes", 1, "--seed", 3, "--quiet", "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    model = SemiUnsupervisedClassifier.load(tmp_path / "out" / "model.npz")
    assert model.classes_.tolist() == [0, 1, 2, 3] and model.image_shape == [4, 4] and model.random_state == 3
    assert (tmp_path / "out" / "openset-examples.png").exists() and "epoch" not in result.stderr


@pytest.mark.parametrize("changes, options, message", [
    ({"y": None}, (), "lacks y"), ({"x_test": None}, (), "lacks x_test"), ({"extra": np.ones(3)}, (), "also holds extra"),
    ({"y_test": np.zeros(7)}, (), "y_test must have a label for each of the 40 rows of x_test"),
    ({"x": np.ones((90, 2, 2))}, (), "x and x_test must be (N,width)"),
    ({"y": np.zeros(9)}, (), "inconsistent numbers"), ({"x": np.full((90, 4), "a")}, (), "finite numbers"),
    ({"x_test": np.full((40, 4), np.nan)}, (), "finite numbers"),
    ({"x": np.ones((90, 4))}, (), "are constant"), ({"y": np.zeros(90, int)}, (), "there is only one class"),
    ({"image_shape": (3, 3)}, (), "has 9 pixels, but X has 4 features"), ({}, ("--runs", 2), "one model and one run"),
    ({}, ("--model", "both"), "one model and one run"), ({}, ("--labels-per-class", 5), "y says which rows have one"),
    ({}, ("--labelled-classes", 1), "y says which rows have one"), ({}, ("--new-classes", -1), "must be at least 0")])
def test_bad_data_get_one_clear_line_and_leave_nothing(changes, options, message, tmp_path, capsys):
    path = write(tmp_path / "trees.npz", **changes)
    try:
        code = run_mnist.main([*map(str, ("--dataset", path, *QUICK, *options, "--quiet", "--out", tmp_path / "out"))])
    except SystemExit as exit:  # of the parser
        code = exit.code
    said = capsys.readouterr()
    assert code == 2 and said.out == "", said.err
    assert len(said.err.splitlines()) == 1 and "error: " in said.err and message in said.err
    assert not (tmp_path / "out").exists()


def test_what_is_not_one_s_own_is_left_to_the_experiment(tmp_path):
    np.savez(tmp_path / "full.npz", x_train=np.ones((2, 2)), y_train=np.zeros(2))
    assert not own.holds("mnist") and not own.holds(None) and not own.holds(tmp_path / "full.npz")
    assert own.holds(write(tmp_path / "trees.npz"))
    with pytest.raises(DataError, match="cannot be read"):
        own.holds(tmp_path / "nowhere.npz")
