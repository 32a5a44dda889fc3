"""What comes from outside, at random: command lines, files, and calls of the estimator.

Each is taken, or refused in one line with exit code 2 and nothing changed: never a traceback.  All is seeded.
`pytest tests/test_fuzz.py --fuzz 10000` tries so many of each; without it a few, which takes seconds.  What is taken
is trained on only now and then.
"""

import gzip
import io
import json
import random
import shutil
import struct
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import run_mnist
from microgmdgm import data, experiment, load, recipes
from microgmdgm.experiment import command, executors, options
from microgmdgm.experiment.folder import Folder
from microgmdgm.files import read_npz, write_npz
from microgmdgm.sklearn import SemiUnsupervisedClassifier, estimator
from .test_sklearn import blobs, quick

RECIPE = replace(recipes.FAST_SMALL, classifier_epochs=1, epochs=1, minimum_epoch=250)
CHANGES = (None, True, -1, 0, 7, 0.5, float("inf"), float("nan"), 10**30, "", "x", "../x", "m2", [], [[]], [1, "a"], {},
           {"a": 1})


class Taken(BaseException):
    """The input has passed all checks: training would begin."""


def taken(*_, **__):
    raise Taken


def call(*arguments, train=False):
    """The command, without training what it takes.     -> its exit code or "taken", and its errors"""
    errors, stubs = io.StringIO(), ((command, "train"), (command, "show"), (estimator, "fit"))
    with redirect_stdout(io.StringIO()), redirect_stderr(errors), warnings.catch_warnings(), pytest.MonkeyPatch.context() as m:
        warnings.simplefilter("ignore")
        m.setattr(command, "interruptible", lambda: None)
        for place, name in () if train else stubs:
            m.setattr(place, name, taken)
        try:
            code = run_mnist.main([*map(str, arguments)])
        except Taken:
            code = "taken"
        except SystemExit as exit:  # of the parser
            code = exit.code
    return code, errors.getvalue()


def snapshot(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def check(folder, arguments, before):
    """The command with these arguments, in `folder`, which holds what `before` says.     -> whether it took them"""
    code, errors = call(*arguments)
    if code in (0, "taken"):
        for path in sorted(set(snapshot(folder)) - set(before), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        for path, content in before.items():
            if content is not None and not (path.exists() and path.read_bytes() == content):
                path.write_bytes(content)
        return True
    assert code == 2 and len(errors.splitlines()) == 1 and "error: " in errors, (code, errors)
    assert snapshot(folder) == before, "something was written"
    return False


def damaged(rng, content):
    """Bytes with a few of them changed, lost or added."""
    content = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        i, n = rng.randrange(len(content) + 1), rng.choice((1, 1, 4, 60, 1000))
        way = rng.randrange(5)
        if way == 0:
            content[i:i + n] = rng.randbytes(len(content[i:i + n]))
        elif way == 1:
            del content[i:i + n]
        elif way == 2:
            content[i:i] = rng.randbytes(n)
        elif way == 3:
            del content[i:]
        elif i < len(content):
            content[i] ^= 1 << rng.randrange(8)
    return bytes(content)


def changed(rng, value):
    """Content of JSON with one value in it changed, lost or added."""
    if isinstance(value, (dict, list)) and value and rng.random() < 0.8:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key, value = rng.choice(keys), value.copy()
        if rng.random() < 0.15:
            del value[key]
        else:
            value[key] = changed(rng, value[key])
        return value
    return rng.choice(CHANGES)


def junk(rng):
    """An array of any kind."""
    shape = rng.choice([(), (0,), (3,), (90,), (90, 4), (0, 4), (90, 0), (1, 4), (2, 2, 2), (90, 1), (40, 4), (2,)])
    dtype = rng.choice(["f8", "f4", "f2", "i8", "u1", "i1", "?", "U3", "U0", "S3", "c16", "M8[s]", "V4", "O", "f8,i4"])
    values = np.random.default_rng(rng.randrange(2**32)).integers(-2, 4, shape)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        array = np.zeros(shape, dtype) if dtype in ("V4", "f8,i4") else values.astype(dtype)
    if array.dtype.kind == "f" and array.size:
        array.flat[rng.randrange(array.size)] = rng.choice((np.nan, np.inf, -np.inf, 60_000.0, 1e-30))
        if dtype == "f8":
            array.flat[0] = rng.choice((1e308, -1e308, 5e-324, 0.0, 1.5))
    return array


@pytest.fixture
def seeds(pytestconfig):
    """A generator for each input, to be tried one by one."""
    return map(random.Random, range(pytestconfig.getoption("--fuzz")))


# Command lines.

WORDS = st.one_of(st.integers(-2, 12).map(str), st.floats().map(str), st.text(max_size=5), st.sampled_from((
    "", "0", "1", "10", "999999999999999999999", "9" * 5000, "1e3", "0x1", " 3 ", "１２", "1_0", "auto", "all", "none",
    "true", "digits", "fast", "m2", "exact", "--", "-1", "a=b", "a b", "a\nb", "\0", "/", "~")))
PLACES = st.sampled_from(("nowhere", "file", "full", "run", "own", "file/x", "new", "new/er", "a" * 300, ""))
NAMED = {"--dataset": st.sampled_from(("digits", "digits", "own.npz", "all.npz", "own.csv", "mnist", "nowhere.npz",
                                       "file.npz", "fashion-mnist", "cifar", "own.npz.gz")),
         "--out": PLACES, "--resume": PLACES, "--data-dir": PLACES, "--model": st.sampled_from(("m2", "gm-dgm", "both"))}
SETTINGS = st.sampled_from([field.name for field in fields(recipes.Recipe)])


@st.composite
def arguments(draw):
    """An option and its values."""
    action = draw(st.sampled_from([action for action in options.parser()._actions if action.dest != "help"]))
    name = action.option_strings[0]
    if action.nargs == 0:
        return [name]
    if name == "--set":
        return [name, f"{draw(SETTINGS)}={draw(WORDS)}"]
    values = NAMED.get(name, st.sampled_from(action.choices) if action.choices and draw(st.booleans()) else WORDS)
    return [name, *draw(st.lists(values, max_size=4) if action.nargs == "*" else values.map(lambda value: [value]))]


LINES = st.lists(arguments(), max_size=5).map(lambda parts: [word for part in parts for word in part])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with data, and with folders of runs, to be in; MNIST is not to be had."""
    folder = tmp_path_factory.mktemp("world")
    X, y, labels = blobs()
    with pytest.MonkeyPatch.context() as m:
        m.chdir(folder)
        m.setenv(data.ENVIRONMENT, str(folder / "nowhere"))
        np.savez("own.npz", x=X, y=labels)
        np.savez("all.npz", x_train=np.abs(X), y_train=y, x_test=np.abs(X), y_test=y)
        Path("own.csv").write_text("a,b,label\n" + "\n".join(f"{a},{b},{c}" for (a, b, *_), c in zip(X, labels)) + "\n")
        Path("file").write_text("")
        Path("file.npz").write_text("text")
        Path("full").mkdir()
        Path("full/precious").write_text("")
        job = experiment.Job("", (), RECIPE, (0, 1), 10, Z=2, H=3, threads=1, fingerprint=data.digits().fingerprint)
        begun = Folder.create("run", {
            "command": "python run_mnist.py", "dataset": "digits", "data_dir": None, "models": ["m2", "gm-dgm"],
            "seeds": [0, 1], "together": 1, "job": job.settings, "device": "a", "versions": executors.versions(),
            "classes": [str(c) for c in range(10)]})
        source = experiment.Source("digits")
        state = None
        for _ in range(2):
            state, metrics, results = experiment.advance(begun.jobs[0], source, state)
            begun.record(begun.jobs[0], state, metrics, results)
        begun.record(begun.jobs[1], *experiment.advance(begun.jobs[1], source, None))
        begun.tidy()
        call("--dataset", "own.npz", "--out", "own")
        yield folder


def test_the_world_is_taken(world):
    before = snapshot(world)
    for line in (["--resume", "run"], ["--resume", "own"], ["--dataset", "own.csv"], ["--dataset", "all.npz",
                 "--labels-per-class", "5", "--labelled-classes", "0", "1"], ["--dataset", "digits", "--out", "new"]):
        assert check(world, line, before), line


def test_command_lines(world):
    before, took = snapshot(world), []

    @given(LINES, st.booleans())
    def try_one(line, digits):
        took.append(check(world, line + ["--dataset", "digits"] * digits, before))
    try_one()
    assert any(took) and not all(took)


def test_some_are_run(world, pytestconfig):
    """With whatever their settings are: they end, or say in one line why they do not."""
    rng = random.Random(0)
    for i in range(1 + pytestconfig.getoption("--fuzz") // 2000):
        recipe = [f"{field.name}={rng.choice((0, 0.3, 1, 1000))}" for field in rng.sample(fields(recipes.Recipe)[3:], 2)]
        line = ["--dataset", "digits", "--epochs", "1", "--classifier-epochs", rng.randrange(2), "--hidden-units", 3,
                "--z-dimensions", rng.choice((1, 2)), "--jobs", 1, "--out", f"run{i}", "--quiet", "--set",
                "minimum_epoch=250", *recipe]
        code, errors = call(*line, train=True)
        assert code == 0 or code == 2 and len(errors.splitlines()) == 1, (line, errors)
        shutil.rmtree(f"run{i}", ignore_errors=True)


# Files.


@pytest.mark.parametrize("name", ["own", "all"])
def test_npz(world, seeds, name):
    path, before = world / f"{name}.npz", snapshot(world)
    valid = dict(np.load(path))
    optional = ["x_test", "y_test", "image_shape"] if name == "own" else ["image_shape", "x", "y"]
    took = []
    for rng in seeds:
        if rng.random() < 0.3:
            path.write_bytes(damaged(rng, before[path]))
        else:
            arrays = valid | {key: junk(rng) for key in rng.sample([*valid, *optional, "image_shape"], rng.choice((1, 2)))}
            np.savez(path, **{key: array for key, array in arrays.items() if rng.random() < 0.97})
        now = {**before, path: path.read_bytes()}
        few = ["--labels-per-class", "5", "--labelled-classes", "0"] if name == "all" else []
        took.append(check(world, ["--dataset", path.name, *few], now))
        path.write_bytes(before[path])
    assert not all(took)


def test_csv(world, seeds):
    path, before = world / "own.csv", snapshot(world)
    lines, took = before[path].decode().splitlines(), []
    for rng in seeds:
        if rng.random() < 0.4:
            path.write_bytes(damaged(rng, before[path]))
        else:
            rows = [line.split(",") for line in lines]
            for _ in range(rng.choice((1, 1, 3))):
                row = rng.choice(rows[:3] + rows[-1:])
                row[rng.randrange(len(row))] = rng.choice(("", "x", "nan", "inf", "1e999", '"', '"a', "1,2", "-1", "\0", "½"))
            text = rng.choice((",", ";", "\t")).join(["{}"] * 3)
            path.write_text("\n".join(text.format(*row) if len(row) == 3 else ",".join(row) for row in rows))
        now = {**before, path: path.read_bytes()}
        took.append(check(world, ["--dataset", path.name, *rng.choice(([], [], ["--label-column", "b"]))], now))
        path.write_bytes(before[path])
    assert any(took) and not all(took)


def test_idx(seeds, tmp_path):
    """Alone, and as MNIST, of which no other than the original is taken."""
    for rng in seeds:
        shape = [rng.choice((0, 1, 2, 3, 2**32 - 1)) for _ in range(rng.choice((0, 1, 2, 3, 4, 40, 255)))]
        header = b"\0\0\x08" + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
        content = damaged(rng, header + rng.randbytes(rng.choice((0, 1, 2, 6, 27)))) if rng.random() < 0.7 else header
        try:
            assert data.parse_idx(content, "file").dtype == np.uint8
        except data.DataError as error:
            assert str(error).startswith("file ") and "\n" not in str(error)
        for name in data.SETS["mnist"].files:
            packed = gzip.compress(content, 1)
            (tmp_path / f"{name}.gz").write_bytes(damaged(rng, packed) if rng.random() < 0.5 else packed)
        with pytest.raises(data.DataError) as error:
            data.load("mnist", tmp_path)
        assert str(tmp_path) in str(error.value)


def damage_npz(rng, path, content):
    """Change the bytes of an .npz that `write_npz` wrote, or its settings, or an array."""
    if rng.random() < 0.3:
        path.write_bytes(damaged(rng, content))
        return
    path.write_bytes(content)
    settings, arrays = read_npz(path, "")
    if rng.random() < 0.3:
        arrays[rng.choice(list(arrays))] = junk(rng)
    else:
        settings = changed(rng, settings)
    for key in [key for key in arrays if arrays[key].dtype == object]:
        del arrays[key]
    write_npz(path, settings, **arrays)


def test_checkpoints(world, seeds):
    path, before = world / "run" / "checkpoint-m2-seed1.npz", snapshot(world)
    for rng in seeds:
        damage_npz(rng, path, before[path])
        check(world, ["--resume", "run"], {**before, path: path.read_bytes()})
        path.write_bytes(before[path])


@pytest.mark.parametrize("name", ["run/config.json", "run/summary.json", "run/metrics.jsonl", "own/own.json"])
def test_the_folder_of_a_run(world, seeds, name):
    path, before = world / name, snapshot(world)
    for rng in seeds:
        if rng.random() < 0.3 or name.endswith("l"):
            path.write_bytes(damaged(rng, before[path]))
        else:
            path.write_text(json.dumps(changed(rng, json.loads(before[path]))))
        check(world, ["--resume", path.parent.name], {**before, path: path.read_bytes()})
        path.write_bytes(before[path])


def test_models(world, seeds, tmp_path):
    """Of the library and of the estimator: what is loaded predicts."""
    X, _, y = blobs()
    quick(recipe=RECIPE, hidden_units=3, z_dimensions=2).fit(X, y).save(tmp_path / "estimator.npz")
    images = data.digits().x_test[:3]
    for rng in seeds:
        whole = rng.random() < 0.5
        source = tmp_path / "estimator.npz" if whole else world / "run" / "model-m2-seed0.npz"
        path = tmp_path / "damaged.npz"
        damage_npz(rng, path, source.read_bytes())
        if whole and rng.random() < 0.5:
            arrays = dict(np.load(source))
            arrays["estimator"] = json.dumps(changed(rng, json.loads(str(arrays["estimator"]))))
            np.savez(path, **arrays)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                q = (SemiUnsupervisedClassifier.load(path).predict_proba(X[:3]) if whole else
                     load(path).predict_proba(images))
                assert q.shape[0] == 3
            except ValueError as error:
                assert "\n" not in str(error).strip()


# The estimator.

VALUES = st.one_of(st.none(), st.booleans(), st.integers(-2, 12), st.floats(), st.sampled_from((
    "auto", "uniform", "labels", "fast", "paper", "m2", "gaussian", "bernoulli", "exact", "", "x", 10**30, 10**5000,
    (2, 2), (4, 1), [4], (), {}, [0.3, 0.3, 0.4], [[1]], "ab", [None], np.float32(0.5), np.int8(3), np.nan, 2.0, object)))
PARAMETERS = st.dictionaries(st.sampled_from(sorted(set(quick().get_params()) - {"device"})), VALUES, max_size=3)


def test_the_estimator():
    X, y, labels = blobs()
    took = []

    @given(PARAMETERS, st.integers(0, 2**32 - 1))
    def try_one(parameters, seed):
        rng = random.Random(seed)
        given = [X, labels] if rng.random() < 0.6 else [junk(rng) if rng.random() < 0.5 else a for a in (X, labels)]
        with pytest.MonkeyPatch.context() as m, warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            m.setattr(estimator, "fit", taken)
            try:
                SemiUnsupervisedClassifier(**parameters).fit(*given)
            except ValueError as error:
                assert str(error)
                took.append(False)
            except Taken:
                took.append(True)
    try_one()
    assert any(took) and not all(took)
