"""Files from strangers: bounded before they are unpacked, no path taken from them, and no pickle."""

import ast
import gzip
import io
import json
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import microgmdgm
from microgmdgm import checkpoint, data, files, fit, load, recipes
from microgmdgm.experiment.folder import Folder
from microgmdgm.sklearn import SemiUnsupervisedClassifier
from .test_fuzz import call, snapshot

READERS = {
    "data": data.npz, "data of one's own": data.read_npz, "model": load, "estimator": SemiUnsupervisedClassifier.load,
    "checkpoint": lambda path: checkpoint.load(path, {}), "history": checkpoint.history}


def refused(reader, path):
    """What the reader says of the file, after it has asked for less than a megabyte."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError) as error:
            READERS[reader](path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    return str(error.value)


def array(shape, dtype="<f8", values=b""):
    """The bytes of an .npy that claims such an array."""
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": dtype, "fortran_order": False, "shape": shape})
    return content.getvalue() + values


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("shape, dtype", [((10**12,), "<f8"), ((10**6, 10**6), "|u1"), ((2**40,), "|V0"), ((2,), "<U100000000")])
def test_a_small_file_that_claims_a_huge_array(reader, shape, dtype, tmp_path):
    path = tmp_path / "huge.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("settings.npy", array(shape, dtype, bytes(80)))
    assert "claims an array of shape" in refused(reader, path)


@pytest.mark.parametrize("reader", READERS)
def test_an_archive_that_unpacks_to_far_more(reader, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "SMALL", 2**20)
    path = tmp_path / "zeros.npz"
    np.savez_compressed(path, settings=np.zeros(2**21))
    assert "would unpack to 16,777,3" in refused(reader, path)


@pytest.mark.parametrize("name", data.SETS["mnist"].files)
def test_a_gzipped_file_that_unpacks_to_far_more(name, tmp_path, monkeypatch):
    for file in data.SETS["mnist"].files:
        (tmp_path / f"{file}.gz").write_bytes(gzip.compress(bytes(2**22), 1))
    monkeypatch.setattr(data, "LARGEST", 2**16)
    tracemalloc.start()
    with pytest.raises(data.DataError, match="is not an IDX file"):
        data._read(tmp_path, "mnist", name)
    assert tracemalloc.get_traced_memory()[1] < 2**21
    tracemalloc.stop()


def test_every_original_is_smaller_than_that():
    assert 16 + 60_000 * 28 * 28 < data.LARGEST


@pytest.mark.parametrize("reader", READERS)
def test_no_pickle_is_opened(reader, tmp_path):
    """Not even one that would do no harm."""
    class Harm:
        def __reduce__(self):
            return (tmp_path / "harm").touch, ()
    path = tmp_path / "pickled.npz"
    names = ("settings", "theta", "pixels", "m", "v", "estimator", "x_train", "y_train", "x_test", "y_test")
    np.savez(path, **{name: np.array([Harm()], object) for name in names})
    with pytest.raises(ValueError, match="pickle|claims"):
        READERS[reader](path)
    assert not (tmp_path / "harm").exists()


def test_nothing_in_the_library_could_open_one():
    for path in [*Path(microgmdgm.__file__).parent.rglob("*.py"), Path(microgmdgm.__file__).parents[1] / "run_mnist.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                assert not {"pickle", "cPickle", "dill", "shelve", "marshal"} & set(names), path
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("eval", "exec", "joblib.load"), path
                if called == "np.load":
                    assert "allow_pickle=False" in ast.unparse(node), path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of a run that is not finished, in one with a file that is not its own."""
    monkeypatch.chdir(tmp_path)
    code, errors = call("--dataset", "digits", "--out", "a/run", "--seed", 1)
    assert code == "taken", errors
    (tmp_path / "model-m2-seed1.npz").write_bytes(b"precious")
    (tmp_path / "checkpoint-m2-seed1.npz").write_bytes(b"precious")
    return tmp_path


@pytest.mark.parametrize("change", [
    {"models": ["../../x"]}, {"models": ["/tmp/x"]}, {"seeds": ["/../../../x"]}, {"seeds": ["1/../../model-m2-seed1"]},
    {"models": ["m2/../../model-m2"]}])
def test_a_path_is_never_taken_from_the_folder_of_a_run(change, folder):
    config = json.loads((folder / "a/run/config.json").read_text())
    (folder / "a/run/config.json").write_text(json.dumps(config | change))
    before = snapshot(folder)
    code, errors = call("--resume", "a/run")
    assert code == 2 and "config.json does not say what was asked for" in errors
    assert snapshot(folder) == before


def test_nor_from_a_summary(folder):
    """Runs that nobody asked for are not looked for, and those asked for only beside it."""
    (folder / "a/run/summary.json").write_text(json.dumps({"models": {"gm-dgm": {"runs": [
        {"seed": "1/../../../model-m2-seed1"}, {"seed": 1}]}}}))
    assert [job.seeds for job in Folder.resume("a/run").unfinished] == [(1,)]


def test_nor_from_an_archive(folder):
    """Names of parts are names of arrays, whatever they look like."""
    digits, recipe = data.digits(), replace(recipes.FAST_SMALL, classifier_epochs=1, epochs=1, minimum_epoch=250)
    model, = fit("m2", recipe, digits, labelled_classes=[0], labels_per_class=5, H=3, Z=2)
    model.save("model.npz", **{"../../evil": np.zeros(3)})
    before = snapshot(folder)
    with pytest.raises(ValueError, match="holds more than a model"):
        load("model.npz")
    assert snapshot(folder) == before
