"""One's own data on the command line, in a process of its own."""

import csv
import json

import numpy as np
import pytest

from microgmdgm import checkpoint
from microgmdgm.data import DataError
from microgmdgm.openset import command as own
from microgmdgm.sklearn import SemiUnsupervisedClassifier
from .test_run_mnist import answer, run
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
        kinds, unfamiliar = np.array([line["known_or_new"] for line in lines]), model.unfamiliar(rows)
        assert ((kinds == "unfamiliar") == unfamiliar).all() and unfamiliar.mean() < 0.1
        new = np.array([line["label"].startswith("new-") for line in lines])
        assert (kinds[~unfamiliar] == np.where(new, "new", "known")[~unfamiliar]).all()


def test_the_report_and_the_summary_are_there(done):
    result, out = done
    report, summary = (json.loads((out / f"{name}.json").read_text()) for name in ("openset", "summary"))
    assert [slot["name"] for slot in report["slots"]] == ["ash", "oak", "new-0"] and report["whole"]["rows"] == 40  # one was found
    page = (out / "report.html").read_text()
    assert "new-0 (new)" in page and page.count("data:image/png;base64,") >= 3 and "<script" not in page
    assert summary["report_on"] == "x_test" and summary["accuracy"] > 0.9 and summary["accuracy_labelled_rows"] > 0.9
    assert summary["columns"] == "gaussian likelihood, columns: 4 real" and summary["settings"]["new_classes"] == "auto"
    assert "in truth" in result.stdout and "nearest known class" in result.stdout
    assert "SemiUnsupervisedClassifier: 90 rows, 20 with a label" in result.stderr
    for name in ("sizes", "overlaps", "truth", "profile"):
        assert (out / f"openset-{name}.png").stat().st_size > 5000
    assert len((out / "metrics.jsonl").read_text().splitlines()) == summary["epochs"] == 17
    assert not list(out.glob("*.partial"))


def test_test_rows_without_any_label_are_no_truth(tmp_path, capsys):
    code, _, errors = answer(capsys, "--dataset", write(tmp_path / "trees.npz", y_test=np.full(40, "-1")), *QUICK, "--quiet",
                             "--out", tmp_path / "out")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert code == 0, errors
    assert summary["rows"] == 40 and "accuracy" not in summary and summary["accuracy_labelled_rows"] is None


def test_images_and_no_test_rows(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 50, (60, 16), dtype=np.uint8) + 200 * (np.arange(16) % 3 == np.arange(60)[:, None] % 3)
    y = np.where(np.arange(60) < 30, np.arange(60) % 3, -1)
    path = write(tmp_path / "tiles.npz", x=x.astype(np.uint8), y=np.where(y == 2, -1, y), x_test=None, y_test=None,
                 image_shape=(4, 4))
    result = run("--dataset", path, *QUICK, "--classifier-epochs", 2, "--new-classes", 1, "--extra-classes", 1, "--seed", 3, "--quiet", "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    model = SemiUnsupervisedClassifier.load(tmp_path / "out" / "model.npz")
    assert model.classes_.tolist()[:2] == [0, 1] and model.image_shape == [4, 4] and model.random_state == 3
    assert (tmp_path / "out" / "openset-examples.png").exists() and "epoch" not in result.stderr


@pytest.mark.parametrize("changes, options, message", [
    ({"y": None}, (), "lacks y"), ({"x_test": None}, (), "lacks x_test"), ({"extra": np.ones(3)}, (), "also holds extra"),
    ({"y_test": np.zeros(7)}, (), "y_test must have a label for each of the 40 rows of x_test"),
    ({"x": np.ones((90, 2, 2))}, (), "x and x_test must be (N,width)"),
    ({"y": np.full(9, "ash")}, (), "inconsistent numbers"), ({"y": np.zeros(90)}, (), "both hold numbers or both texts"), ({"x": np.full((90, 4), "a")}, (), "finite numbers"),
    ({"x_test": np.full((40, 4), np.nan)}, (), "finite numbers"),
    ({"x": np.ones((90, 4))}, (), "are constant"), ({"y": np.full(90, "ash")}, (), "there is only one class"),
    ({"image_shape": 4}, (), "image_shape must be (h, w) with h·w = 4, not 4"), ({"image_shape": (3, 3)}, (), "image_shape must be (h, w) with h·w = 4"), ({}, ("--runs", 2), "one model and one run"),
    ({}, ("--model", "both"), "one model and one run"), ({}, ("--labels-per-class", 5), "y says which rows have one"),
    ({}, ("--labelled-classes", 1), "y says which rows have one"), ({}, ("--new-classes", -1), "a whole number from 0 to 1,000 or auto, not -1")])
def test_bad_data_get_one_clear_line_and_leave_nothing(changes, options, message, tmp_path, capsys):
    path = write(tmp_path / "trees.npz", **changes)
    code, said, errors = answer(capsys, "--dataset", path, *QUICK, *options, "--quiet", "--out", tmp_path / "out")
    assert code == 2 and said == "", errors
    assert len(errors.splitlines()) == 1 and "error: " in errors and message in errors
    assert not (tmp_path / "out").exists()


def csv_file(path, header="height, width,depth,age,label", rows=None, mark=",", N=90):
    X, _, given = blobs()
    names = np.array(["ash", "oak", ""])[given]
    rows = [mark.join([*map(str, x), name]) for x, name in zip(X[:N], names[:N])] if rows is None else rows
    path.write_text("\n".join([header.replace(",", mark), *rows]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_table_is_read(tmp_path, mark):
    X, _, given = blobs()
    found = own.read(csv_file(tmp_path / "trees.csv", mark=mark))
    assert found.name == "trees" and found.feature_names == ["height", "width", "depth", "age"]
    np.testing.assert_array_equal(found.x, X)
    assert own.unlabelled(found.y).tolist() == (given < 0).tolist() and set(found.y) == {"ash", "oak", ""}


def test_quotes_a_mark_of_byte_order_and_empty_lines_are_read(tmp_path):
    rows = ['1,"oak, young",2.5e-3', "", ' -4 , NA,5', '"6",None,7', '8,ash,9']
    path = csv_file(tmp_path / "trees.csv", header='\ufeff"height","kind of tree","age"', rows=rows)
    found = own.read(path, "kind of tree")
    assert found.x.tolist() == [[1, 0.0025], [-4, 5], [6, 7], [8, 9]] and found.feature_names == ["height", "age"]
    assert found.y.tolist() == ["oak, young", "NA", "None", "ash"]
    assert own.unlabelled(found.y).tolist() == [False, True, True, False]


@pytest.mark.parametrize("header, rows, options, message", [
    ("a,b,label", ["1,2,x", "3,red,y"], (), "line 3: column 'b' holds 'red', which is no number: leave the column out"),
    ("a,b,label", ["1,,x"], (), "line 2: column 'b' holds '': fill or drop"),
    ("a,b,label", ["1,NA,x"], (), "line 2: column 'b' holds 'NA': fill or drop"),
    ("a,b,label", ["1,nan,x"], (), "line 2: column 'b' holds 'nan': fill or drop"),
    ("a,b,label", ["1,inf,x"], (), "holds 'inf': fill or drop"), ("a,b,label", ["1,2"], (), "line 2: 2 cells under 3 names"),
    ("a,b,label", [], (), "has no row"), ("a,b,kind", ["1,2,x"], (), "no column 'label': name the one with the labels by "
                                          "--label-column; its first line has a, b, kind"),
    ("a,b,label", ["1,2,x"], ("--label-column", "kind"), "no column 'kind'"), (",a,label", ["1,2,x"], (), "column 1 has no name"),
    ("a,a,label", ["1,2,x"], (), "two columns 'a'"), ("label", ["x"], (), "no column but 'label'"),
    ("a,label", ['1,"x'], (), "cannot be read as a table"), ("a,label", ["1,x"] * 4, (), "there is only one class")])
def test_a_table_that_does_not_fit_gets_one_clear_line(header, rows, options, message, tmp_path, capsys):
    path = csv_file(tmp_path / "trees.csv", header, rows)
    code, said, errors = answer(capsys, "--dataset", path, *QUICK, *options, "--quiet", "--out", tmp_path / "out")
    assert code == 2 and said == "" and len(errors.splitlines()) == 1 and "error: " in errors and message in errors, errors
    assert not (tmp_path / "out").exists()


def test_a_table_that_is_none_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read as a table in UTF-8: No such file"):
        own.read(tmp_path / "nowhere.csv")
    (tmp_path / "latin.csv").write_bytes("größe,label\n1,x\n".encode("latin-1"))
    with pytest.raises(DataError, match="cannot be read as a table in UTF-8: .*codec can't decode"):
        own.read(tmp_path / "latin.csv")
    with pytest.raises(DataError, match="--label-column is for a table: .* has the labels in y"):
        own.read(write(tmp_path / "trees.npz"), "kind")


def test_a_table_is_trained_on_and_its_columns_named(tmp_path):
    result = run("--dataset", csv_file(tmp_path / "trees.csv", "height,width,depth,age,kind"), "--label-column", "kind", *QUICK,
                 "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert "SemiUnsupervisedClassifier: 90 rows, 20 with a label" in result.stderr
    report = json.loads((tmp_path / "out" / "openset.json").read_text())
    assert [slot["name"] for slot in report["slots"]] == ["ash", "oak", "new-0"]
    assert report["feature_names"] == ["height", "width", "depth", "age"]


FILES = ("metrics.jsonl", "model.npz", "predictions.csv", "predictions-test.csv", "openset.json", "summary.json")


def content(out):
    """What a finished run wrote, but for where."""
    found = {name: (out / name).read_bytes() for name in FILES if name != "model.npz"}
    found["summary.json"] = {**json.loads(found["summary.json"]), "settings": None}
    with np.load(out / "model.npz") as file:
        return {**found, **{name: file[name].tobytes() for name in file.files}}


def test_an_interrupted_run_goes_on_with_the_same_bits(tmp_path, monkeypatch, capsys):
    """After each epoch, as the model is saved, and as the report is drawn."""
    tiny = ("--dataset", write(tmp_path / "trees.npz"), "--epochs", 2, "--classifier-epochs", 2, "--hidden-units", 8,
            "--new-classes", 1)
    assert answer(capsys, *tiny, "--quiet", "--out", tmp_path / "whole")[0] == 0
    places = [(own, "write_report"), (own.SemiUnsupervisedClassifier, "save"), *[(checkpoint, "save")] * 4]
    interrupted = [*places]

    def stop_after(function):
        def stopped(*arguments, **settings):
            result = function(*arguments, **settings)
            if interrupted and interrupted[-1][1] == function.__name__:
                interrupted.pop()
                raise KeyboardInterrupt
            return result
        return stopped
    for place, name in set(places):
        monkeypatch.setattr(place, name, stop_after(getattr(place, name)))
    out, arguments = tmp_path / "out", (*tiny, "--quiet", "--out", tmp_path / "out")
    while interrupted:
        left = len(interrupted)
        code, _, errors = answer(capsys, *arguments)
        assert code == 130 and errors == f"interrupted: go on with --resume {out}\n" and len(interrupted) < left
        arguments = ("--resume", out, "--quiet")
    code, said, _ = answer(capsys, *arguments)
    assert code == 0 and "nearest known class" in said
    assert content(out) == content(tmp_path / "whole") and not (out / "checkpoint.npz").exists()
    assert answer(capsys, *arguments)[0] == 0 and content(out) == content(tmp_path / "whole")


def test_other_data_than_those_of_the_checkpoint_are_refused(tmp_path, monkeypatch, capsys):
    path, out = write(tmp_path / "trees.npz"), tmp_path / "out"
    monkeypatch.setattr(own.SemiUnsupervisedClassifier, "save", lambda *_: (_ for _ in ()).throw(OSError("full")))
    code, _, errors = answer(capsys, "--dataset", path, *QUICK, "--quiet", "--out", out)
    assert code == 2 and errors.endswith(f"full; make room and go on with --resume {out}\n")
    X, _, _ = blobs()
    write(path, x=X[::-1])
    before = {file: file.read_bytes() for file in out.iterdir()}
    code, _, errors = answer(capsys, "--resume", out, "--quiet")
    assert code == 2 and "is of a run with other settings: data is" in errors and len(errors.splitlines()) == 1
    assert {file: file.read_bytes() for file in out.iterdir()} == before


def test_what_is_not_one_s_own_is_left_to_the_experiment(tmp_path):
    np.savez(tmp_path / "full.npz", x_train=np.ones((2, 2)), y_train=np.zeros(2))
    assert not own.holds("mnist") and not own.holds(None) and not own.holds(tmp_path / "full.npz")
    assert own.holds(write(tmp_path / "trees.npz"))
    with pytest.raises(DataError, match="cannot be read"):
        own.holds(tmp_path / "nowhere.npz")
