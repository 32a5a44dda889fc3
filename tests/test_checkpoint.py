"""Nothing is lost: whole files, checkpoints, and runs that go on as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from microgmdgm import checkpoint, data, experiment, recipes
from microgmdgm.files import read_npz, whole, write_npz
from .conftest import needs_posix, needs_proc
from .test_run_mnist import QUICK, SCRIPT, answer, run

RECIPE = replace(recipes.FAST_SMALL, classifier_epochs=2, epochs=2, minimum_epoch=1500)


@pytest.fixture(scope="module")
def trainer():
    return experiment.Trainer(experiment.Job("gm-dgm", (0, 5), RECIPE, (0, 1, 2), 10, Z=4, H=12), data.digits())


def states(trainer):
    """The State after each epoch, and the metrics and results of the last."""
    state = trainer.start()
    yield state
    while state.epoch < RECIPE.total_epochs:
        trainer.epoch(state)
        yield state


@pytest.mark.parametrize("stop", range(RECIPE.total_epochs + 1))
def test_a_run_that_goes_on_gives_the_same_bits(trainer, tmp_path, stop):
    path, settings = tmp_path / "checkpoint.npz", trainer.job.settings
    for state in states(trainer):
        if state.epoch == stop:
            checkpoint.save(path, state, settings)
    resumed = checkpoint.load(path, settings)
    assert resumed.epoch == stop
    while resumed.epoch < RECIPE.total_epochs:
        trainer.epoch(resumed)
    assert np.array_equal(resumed.theta, state.theta) and np.array_equal(resumed.adam.v, state.adam.v)
    assert resumed.adam.t == state.adam.t and [r.random() for r in resumed.rngs] == [r.random() for r in state.rngs]
    ours, theirs = trainer.finish(resumed), trainer.finish(state)
    assert [{**result, "seconds": 0} for result, _ in ours] == [{**result, "seconds": 0} for result, _ in theirs]


def test_the_two_phases_train_what_they_should(trainer):
    part = trainer.model.layout.span("q(y|x)")
    before, *_ = (state.theta.copy() for state in states(trainer))
    for state in states(trainer):
        moved = state.theta != before
        if state.epoch in (1, 2):  # q(y|x) alone
            assert moved[:, part].any() and moved.sum() == moved[:, part].sum()
            assert state.adam.m.shape == before[:, part].shape
        if state.epoch == 3:
            assert moved[:, part.stop:].any() or moved[:, :part.start].any()
            assert state.adam.m.shape == before.shape


@pytest.fixture
def saved(trainer, tmp_path):
    state = trainer.start()
    trainer.epoch(state)
    checkpoint.save(tmp_path / "checkpoint.npz", state, trainer.job.settings)
    return tmp_path / "checkpoint.npz", state


def test_a_damaged_checkpoint_is_told_and_left_as_it_is(trainer, saved):
    """Cut anywhere, or with any byte changed: an error, or exactly what was saved (some bytes hold no data)."""
    path, state = saved
    content, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
    cuts = [content[:n] for n in (0, 1, 100, len(content) // 2, len(content) - 1)]
    for n in rng.integers(0, len(content), 150):
        cuts.append(content[:n] + bytes([content[n] ^ (1 << rng.integers(8))]) + content[n + 1:])
    for n in range(len(content) - 400, len(content), 3):  # the directory at the end of the file
        cuts.append(content[:n] + bytes([content[n] ^ 0x41]) + content[n + 1:])
    for damaged in cuts:
        path.write_bytes(damaged)
        try:
            found = checkpoint.load(path, trainer.job.settings)
        except ValueError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            refused += 1
        else:
            assert np.array_equal(found.theta, state.theta) and found.epoch == state.epoch
        assert path.read_bytes() == damaged
    assert refused > 150


def test_a_checkpoint_of_other_settings_is_refused(trainer, saved):
    path, _ = saved
    other = replace(trainer.job, labels_per_class=20, recipe=replace(RECIPE, alpha=7.0))
    with pytest.raises(ValueError, match=r"other settings: alpha is 30.0 there and 7.0 here; labels_per_class is 10 "
                                         r"there and 20 here; it is left as it is"):
        checkpoint.load(path, other.settings)


def test_foreign_files_are_refused(trainer, saved):
    path, state = saved
    settings, arrays = read_npz(path, "a checkpoint written")
    for name, (changed, others) in {
            "model": ({"model": {}}, {}), "future": ({**settings, "format": checkpoint.FORMAT + 1}, arrays),
            "half": (settings, {"theta": arrays["theta"]}), "rows": (settings, {**arrays, "theta": arrays["theta"][:1]}),
            "nan": (settings, {**arrays, "m": arrays["m"] * np.float32("nan")}),
            "generators": ({**settings, "generators": [{}, {}]}, arrays)}.items():
        write_npz(path.with_name(f"{name}.npz"), changed, **others)
        with pytest.raises(ValueError, match=f"{name}.npz (is|has)"):
            checkpoint.load(path.with_name(f"{name}.npz"), trainer.job.settings)


def test_a_checkpoint_that_does_not_fit_the_model_is_refused(trainer):
    job = replace(trainer.job, fingerprint=trainer.data.fingerprint)
    state = replace(trainer.start(), theta=np.zeros((2, 7), "float32"))
    with pytest.raises(ValueError, match=r"does not fit its model: θ must be \(2, \d+\) and .* not \(2, 7\)"):
        experiment.advance(job, experiment.Source("digits"), state)


def test_a_file_is_whole_or_as_it_was(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), whole(path) as file:
        file.write(b"half of the new")
        raise RuntimeError
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
    with whole(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new" and list(tmp_path.iterdir()) == [path]


# The command, killed and gone on with.

TABLE = [*QUICK, "--classifier-epochs", 8, "--model", "both", "--runs", 2, "--set", "minimum_epoch=5000"]
KILLS = 4


def outcome(out):
    """All that a finished table says, but for the times."""
    summary = json.loads((out / "summary.json").read_text())["models"]
    runs = {name: [{**run, "seconds": 0} for run in model["runs"]] for name, model in summary.items()}
    metrics = [{**json.loads(line), "seconds": 0} for line in (out / "metrics.jsonl").read_text().splitlines()]
    thetas = {path.name: np.load(path)["theta"].tobytes() for path in sorted(out.glob("model-*.npz"))}
    return runs, metrics, thetas


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out"
    done = run(*TABLE, "--jobs", 2, "--quiet", "--out", out)
    assert done.returncode == 0, done.stderr
    return outcome(out)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


@needs_posix
def test_kills_change_nothing(uninterrupted, tmp_path):
    """SIGKILL at random moments, every other one while a file is being written; no process stays behind."""
    out, rng, kills, torn, processes = tmp_path / "out", np.random.default_rng(), 0, 0, []
    command = [sys.executable, str(SCRIPT), *map(str, TABLE), "--jobs", "2", "--quiet", "--out", str(out)]
    while kills < KILLS:
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        command = [sys.executable, str(SCRIPT), "--resume", str(out), "--quiet"]
        lines = (out / "metrics.jsonl").stat().st_size if (out / "metrics.jsonl").exists() else 0
        in_write, delay, ready = kills % 2, rng.uniform(0, 0.1), None
        while running.poll() is None:
            moved = (out / "metrics.jsonl").exists() and (out / "metrics.jsonl").stat().st_size != lines
            ready = ready or (time.perf_counter() if moved else None)
            if ready and (any(out.glob("*.partial")) if in_write else time.perf_counter() > ready + delay):
                break
        processes += children(running.pid)
        running.kill()
        _, errors = running.communicate(timeout=60)
        if running.returncode != -signal.SIGKILL:
            assert running.returncode == 0, errors  # it was done before the blow
            break
        torn += any(out.glob("*.partial"))
        kills += 1
    assert kills == KILLS, f"only {kills} kills before the end"
    assert torn, "no kill tore a file"
    done = run("--resume", out, "--quiet")
    assert done.returncode == 0 and "overall" in done.stdout, done.stderr
    assert outcome(out) == uninterrupted
    assert not list(out.glob("*.partial")) and not list(out.glob("checkpoint-*"))
    deadline = time.time() + 30
    while (left := [pid for pid in processes if alive(pid)]) and time.time() < deadline:
        time.sleep(0.1)
    assert not left, "processes outlived their parent"


@needs_proc
def test_a_killed_process_of_the_pool_has_its_epoch_done_again(uninterrupted, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, str(SCRIPT), *map(str, TABLE), "--jobs", "2", "--quiet", "--out", str(out)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while running.poll() is None and not (out / "metrics.jsonl").exists():
        time.sleep(0.02)
    for pid in children(running.pid):
        with open(f"/proc/{pid}/cmdline") as file:
            if "spawn_main" in file.read():
                os.kill(pid, signal.SIGKILL)
                break
    else:
        pytest.fail("found no process of the pool")
    _, errors = running.communicate(timeout=300)
    assert running.returncode == 0, errors
    assert outcome(out) == uninterrupted


@needs_posix
def test_a_full_disk_keeps_the_last_good_checkpoint(tmp_path, capsys):
    """A limit on the size of files stands for the disk: the checkpoints of the first phase fit, later ones do not."""
    import resource
    out, table = tmp_path / "out", [*QUICK, "--epochs", "2"]
    assert answer(capsys, *table, "--quiet", "--out", tmp_path / "whole")[0] == 0
    limited = subprocess.run([sys.executable, SCRIPT, *map(str, table), "--quiet", "--out", out], capture_output=True,
                             text=True, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (120_000,) * 2))
    assert limited.returncode == 2 and "Traceback" not in limited.stderr
    assert len(limited.stderr.splitlines()) == 1 and "File too large" in limited.stderr
    assert f"go on with --resume {out}" in limited.stderr
    assert [path.name for path in out.glob("checkpoint-*")] == ["checkpoint-gm-dgm-seed0.npz"]
    assert answer(capsys, "--resume", out, "--quiet")[0] == 0
    assert outcome(out) == outcome(tmp_path / "whole")


def test_finished_runs_are_not_run_again(tmp_path, capsys):
    out = tmp_path / "out"
    assert answer(capsys, *QUICK, "--quiet", "--out", out)[0] == 0
    before = outcome(out)
    code, said, errors = answer(capsys, "--resume", out)
    assert code == 0 and "epoch" not in errors and "overall" in said
    assert outcome(out) == before


def test_a_finished_table_is_shown_again_without_its_data(tmp_path, capsys):
    digits, path, out = data.digits(), tmp_path / "mine.npz", tmp_path / "out"
    np.savez(path, x_train=digits.x_train[:300], y_train=digits.y_train[:300], x_test=digits.x_test[:60],
             y_test=digits.y_test[:60], image_shape=(8, 8))
    code, table, _ = answer(capsys, "--dataset", path, "--labels-per-class", 5, *QUICK[2:], "--quiet", "--out", out)
    assert code == 0 and "Ours: mine" in table
    path.unlink()
    experiment.job._load.cache_clear()

    def pictures():
        return {path.name: path.read_bytes() for path in out.glob("*-gm-dgm.png")}
    before = pictures()
    assert len(before) == 7
    code, again, errors = answer(capsys, "--resume", out, "--quiet")
    assert code == 0 and pictures() == before and again == table and "mine.npz" not in errors
    assert (out / "report.html").read_text().count("<img ") == 8    # and the learning curves
    (out / "report.html").unlink()                                  # the program ended while it was drawing
    (out / "latent-gm-dgm.png").unlink()
    code, again, errors = answer(capsys, "--resume", out, "--quiet")
    assert code == 0 and again == table and "mine.npz cannot be read" in errors and "stay as they are" in errors
    assert (out / "report.html").read_text().count("<img ") == 7


@pytest.mark.parametrize("break_it, message", [
    (lambda out: (out / "config.json").write_text("{"), "config.json is not the config.json of an experiment"),
    (lambda out: (out / "config.json").unlink(), "No such file"),
    (lambda out: (out / "config.json").write_text('{"format": 7}'), "has format 7, but this version reads format 1"),
    (lambda out: (out / "config.json").write_text('{"format": 1}'), "does not say what was asked for"),
    (lambda out: (out / "summary.json").write_text("[]"), "summary.json is not a summary of runs"),
    (lambda out: (out / "summary.json").write_text('{"models": {"gm-dgm": 3}}'), "is not a summary of runs"),
    (lambda out: (out / "checkpoint-gm-dgm-seed1.npz").write_bytes(b"PK"), "is not a checkpoint written by microgmdgm")])
def test_a_folder_that_cannot_go_on_gets_one_clear_line_and_stays(tmp_path, break_it, message, capsys):
    from microgmdgm.experiment.folder import Folder
    job = experiment.Job("", (), RECIPE, (0, 1), 10, fingerprint=data.digits().fingerprint)
    Folder.create(tmp_path / "out", {
        "command": "", "dataset": "digits", "data_dir": None, "classes": [], "models": ["gm-dgm"], "seeds": [0, 1], "together": 1,
        "job": job.settings, "device": "", "versions": {}})
    break_it(tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    code, said, errors = answer(capsys, "--resume", tmp_path / "out")
    assert code == 2 and said == "" and len(errors.splitlines()) == 1 and message in errors
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_a_table_trains_q_of_y_once(tmp_path, capsys):
    """Both models begin with one q(y|x): neither gets other numbers than it would alone, also after an interruption."""
    both, calls = tmp_path / "both", [*QUICK, "--runs", 2, "--jobs", 1, "--quiet"]
    assert answer(capsys, *calls, "--model", "both", "--out", both)[0] == 0
    runs, metrics, thetas = outcome(both)
    for model in ("m2", "gm-dgm"):
        alone = tmp_path / model
        assert answer(capsys, *calls, "--model", model, "--out", alone)[0] == 0
        expected = outcome(alone)
        assert runs[model] == expected[0][model] and [m for m in metrics if m["model"] == model] == expected[1]
        assert {name: theta for name, theta in thetas.items() if model in name} == expected[2]
    seconds = {(m["model"], m["seed"], m["epoch"]): m["seconds"]
               for m in map(json.loads, (both / "metrics.jsonl").read_text().splitlines())}
    assert all(seconds["m2", seed, 3] == seconds["gm-dgm", seed, 3] for seed in (0, 1))  # it was not done again
