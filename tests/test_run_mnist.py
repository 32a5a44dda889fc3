"""The command as a user runs it, in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import microgmdgm
from microgmdgm import recipes
from microgmdgm.experiment import executors
from .conftest import needs_mnist, needs_posix

SCRIPT = Path(__file__).parent.parent / "run_mnist.py"
QUICK = ["--dataset", "digits", "--epochs", "1", "--classifier-epochs", "3", "--hidden-units", "40",
         "--z-dimensions", "5", "--set", "minimum_epoch=2500"]  # ten steps an epoch
RUN = ("accuracy", "accuracy_labelled_classes", "accuracy_unlabelled_classes", "train_map_accuracy",
       "train_map_accuracy_labelled_classes", "train_map_accuracy_unlabelled_classes",
       "accuracy_one_to_one", "nmi", "mutual_information", "slots_used", "bound", "seconds")


def run(*arguments, cwd=None, **environment):
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, cwd=cwd,
                          timeout=300, env={**os.environ, **environment})


def answer(capsys, *arguments):
    """The command in this process.     -> its exit code, what it printed, its errors"""
    import run_mnist
    with pytest.MonkeyPatch.context() as m:
        m.setattr(run_mnist.command, "interruptible", lambda: None)
        try:
            code = run_mnist.main([*map(str, arguments)])
        except SystemExit as exit:  # of the parser
            code = exit.code
    return code, *capsys.readouterr()


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Both models, two runs each, and the folder with their results."""
    out = tmp_path_factory.mktemp("runs") / "out"
    return run(*QUICK, "--model", "both", "--runs", 2, "--seed", 3, "--out", out), out


def test_the_table_sets_the_paper_beside_ours_on_mnist_alone(both):
    """The paper has no figures of digits."""
    done, out = both
    assert done.returncode == 0, done.stderr
    assert "Ours: digits, runs: M2 2, GM-DGM 2" in done.stdout and "93.7 (1.9)" not in done.stdout
    from microgmdgm.experiment.table1 import as_text
    text = as_text("mnist", json.loads((out / "summary.json").read_text())["models"])
    for phrase in ("93.7 (1.9)", "86.3 (2.2)", "Paper: MNIST, 10 runs each", "M2, paper"):
        assert phrase in text
    assert "gm-dgm, seed 4, epoch 4 of 4: bound" in done.stderr and "slots in use" in done.stderr


def test_the_summary_holds_every_run_and_its_mean(both):
    _, out = both
    summary = json.loads((out / "summary.json").read_text())
    assert summary["dataset"] == "digits" and summary["device"] and summary["job"]["recipe"]["name"] == "fast"
    assert summary["paper"]["gm-dgm"]["accuracy"] == [0.907, 0.020]
    assert max(run["seconds"] for m in summary["models"].values() for run in m["runs"]) < summary["seconds"] < 600
    for name in ("m2", "gm-dgm"):
        model = summary["models"][name]
        assert [run["seed"] for run in model["runs"]] == [3, 4]
        for figure in RUN:
            values = [run[figure] for run in model["runs"]]
            assert model["mean"][figure] == pytest.approx(np.mean(values))
            assert model["sd"][figure] == pytest.approx(np.std(values, ddof=1))
        assert all(0 <= run["accuracy"] <= 1 for run in model["runs"])


def test_every_file_is_there_and_the_models_load(both):
    _, out = both
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 2 * 2 * 4 and {line["epoch"] for line in lines} == set(range(1, 5))
    config = json.loads((out / "config.json").read_text())
    assert config["command"].startswith("python run_mnist.py --dataset digits") and config["job"]["recipe"]["epochs"] == 1
    for name in ("m2", "gm-dgm"):
        for picture in (*(f"{kind}-{name}" for kind in ("figure2", "slots", "latent", "samples", "styles", "walks")),
                        "figure2", "curves"):
            assert (out / f"{picture}.png").read_bytes().startswith(b"\x89PNG")
        summary = json.loads((out / "summary.json").read_text())["models"][name]["runs"][0]
        trained = microgmdgm.load(out / f"model-{name}-seed3.npz")
        digits = microgmdgm.data.digits()
        from microgmdgm.evaluation import evaluate
        scores = evaluate(trained.predict_proba(digits.x_test), digits.y_test, C=10, prior=trained.model.prior,
                          labelled_classes=trained.labelled_classes)
        assert scores["accuracy"] == summary["accuracy"]
    assert not list(out.glob("*.partial")) and not list(out.glob("checkpoint-*"))


def test_the_report_is_one_page_with_all_of_it(both):
    """Everything inside, nothing fetched; every tag closed."""
    from html.parser import HTMLParser
    _, out = both
    text = (out / "report.html").read_text()

    class Page(HTMLParser):
        pictures, words, stack = [], [], []

        def handle_starttag(self, tag, attributes):
            attributes = dict(attributes)
            assert "href" not in attributes and tag not in ("link", "script")
            if tag == "img":
                assert attributes["src"].startswith("data:image/png;base64,iVBOR") and attributes["alt"]
                self.pictures.append(attributes["alt"])
            if tag not in ("meta", "img"):
                self.stack.append(tag)

        def handle_endtag(self, tag):
            assert self.stack.pop() == tag

        def handle_data(self, words):
            self.words.append(words)
    page = Page()
    page.feed(text)
    assert page.stack == [] and len(page.pictures) == 15
    words = " ".join(" ".join(page.words).split())
    summary = json.loads((out / "summary.json").read_text())
    for phrase in ("M2 and GM-DGM on digits", "10 for each of the classes 0 1 2 8 9; none for 3 4 5 6 7", "of the test examples their class",
                   "4 of 4 runs finished", "run_mnist.py --dataset digits", "alpha", np.__version__, summary["device"]):
        assert phrase in words
    for name in ("m2", "gm-dgm"):
        for run_ in summary["models"][name]["runs"]:
            assert f"{100 * run_['accuracy']:.1f}" in words
    assert "prefers-color-scheme: dark" in text and "@media print" in text and "width=device-width" in text


def test_the_same_seed_gives_the_same_numbers(both, tmp_path, capsys):
    _, out = both
    assert answer(capsys, *QUICK, "--seed", 4, "--quiet", "--out", tmp_path / "again")[0] == 0
    ours = json.loads((tmp_path / "again" / "summary.json").read_text())["models"]["gm-dgm"]["runs"][0]
    theirs = json.loads((out / "summary.json").read_text())["models"]["gm-dgm"]["runs"][1]
    assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}
    with np.load(tmp_path / "again" / "model-gm-dgm-seed4.npz") as a, np.load(out / "model-gm-dgm-seed4.npz") as b:
        assert np.array_equal(a["theta"], b["theta"])


@pytest.mark.parametrize("options", [
    ["--labelled-classes", "--labels-per-class", "all"], ["--labelled-classes", *range(10)],
    ["--labelled-classes", *range(10), "--labels-per-class", "all"],
    ["--recipe", "paper", "--classifier-epochs", "0"], ["--likelihood", "gaussian"],
    ["--recipe", "paper", "--sum", "sparse", "--set", "alpha=3", "clip=none", "output_sd=1e-3", "weight_prior=false"],
    ["--recipe", "paper", "--sum", "sparse", "--samples", "2", "--hidden-layers", "4", "--extra-classes", "0"]],
    ids=["unsupervised", "semi-supervised", "supervised", "paper", "gaussian", "set", "many settings"])
def test_other_settings_run(options, tmp_path, capsys):
    code, said, errors = answer(capsys, *QUICK, "--quiet", "--out", tmp_path / "out", *options)
    assert code == 0 and "overall" in said, errors
    assert np.isfinite(json.loads((tmp_path / "out" / "summary.json").read_text())["models"]["gm-dgm"]["mean"]["bound"])


@pytest.mark.parametrize("options, message", [
    (["--labelled-classes", "0", "12"], "--labelled-classes must be classes of digits, 0 to 9, not 12"),
    (["--labelled-classes", "0", "0"], "names a class twice"),
    (["--labelled-classes", "x"], "--labelled-classes: must be a whole number from 0 to 10,000,000, not 'x'"),
    (["--labels-per-class", "500"], "fewer than the 500 labels asked for"),
    (["--labels-per-class", "many"], "--labels-per-class: must be a whole number from 1 to 10,000,000 or all, not 'many'"),
    (["--labels-per-class", "0"], "--labels-per-class: must be a whole number from 1 to 10,000,000 or all, not 0"),
    (["--jobs", "0"], "--jobs: must be a whole number from 1 to 1,000, not 0"),
    (["--gpu", "--jobs", "2"], "--gpu computes all runs at once"),
    (["--dask", "tcp://h:1", "--jobs", "2"], "leave out --jobs"),
    (["--resume", "nowhere"], "--resume takes its settings from its folder: leave out --dataset"),
    (["--classifier-epochs", "-1"], "--classifier-epochs: must be a whole number from 0 to 1,000,000, not -1"),
    (["--set", "alfa=1"], "--set takes NAME=VALUE with NAME one of epochs, classifier_epochs"),
    (["--set", "alpha=much"], "--set alpha must be a number from 0 to 1,000,000, not 'much'"),
    (["--set", "weight_prior=1"], "--set weight_prior must be true or false, not '1'"),
    (["--set", "sum_over_y=some"], "--set sum_over_y must be exact or sparse, not 'some'"),
    (["--set", "joint_share=0"], "--set joint_share must be a number from 0.001 to 1, not 0"),
    (["--set", "maps=inf"], "--set maps must be a number from 0 to 10, not inf"),
    (["--set", "gamma_held=0.9"], "gamma_held, 0.9, must be at most gamma_gone, 0"),
    (["--hidden-layers", "9" * 21], "--hidden-layers: must be a whole number from 1 to 100, not 999"),
    (["--hidden-units", "100000", "--hidden-layers", "9"], "parameters, more than 2,147,483,648"),
    (["--runs", "0"], "--runs: must be a whole number from 1 to 1,000, not 0"),
    (["--epochs", "-3"], "--epochs: must be a whole number from 1 to 1,000,000, not -3"),
    (["--extra-classes", "-1"], "--extra-classes: must be a whole number from 0 to 1,000, not -1"),
    (["--labelled-classes", *"0123456789", "--extra-classes", "5"], "use --extra-classes 0"),
    (["--model", "vae"], "invalid choice: 'vae'"),
    (["--dataset", "mnist", "--data-dir", "nowhere"], "nowhere must hold the four files of MNIST"),
    (["--data-dir", "nowhere", "--dataset", "mnist"], "lacks train-images-idx3-ubyte, train-labels-idx1-ubyte"),
    (["--out", SCRIPT / "out"], f"--out {SCRIPT / 'out'} cannot be written"),
    (["--gpu", "--dask", "tcp://h:1"], "leave out --jobs and --dask")])
def test_bad_input_gets_one_clear_line(options, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, out, errors = answer(capsys, "--dataset", "digits", *options)
    assert code == 2 and out == "" and not os.listdir(tmp_path)
    assert len(errors.splitlines()) == 1 and "error: " in errors and message in errors


def test_fractions_have_no_steps_for_a_gaussian_likelihood(tmp_path, capsys):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "grey.npz", x_test=rng.random((9, 16)), y_test=np.arange(9) % 3,
             x_train=rng.random((30, 16)), y_train=np.arange(30) % 3)
    code, _, errors = answer(capsys, "--dataset", tmp_path / "grey.npz", "--likelihood", "gaussian", "--labelled-classes", 0,
                             "--labels-per-class", 3, "--out", tmp_path / "out")
    assert code == 2 and len(errors.splitlines()) == 1 and "grey holds fractions: round them" in errors


def test_the_exit_code_reaches_the_shell(tmp_path):
    done = run("--surprise", cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == "" and "unrecognized arguments" in done.stderr


def test_gpu_without_one_gets_one_clear_line(tmp_path):
    try:
        import cupy
        if cupy.cuda.is_available():
            pytest.skip("there is a GPU")
    except ImportError:
        pass
    done = run("--dataset", "digits", "--gpu", cwd=tmp_path)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "--gpu needs" in done.stderr


@pytest.mark.parametrize("options, expected", [
    ("--extra-classes 5", recipes.FAST), ("--extra-classes 0", replace(recipes.FAST, merge_from=0)),
    ("--extra-classes 0 --recipe paper", recipes.PAPER),
    ("--extra-classes 5 --set alpha=1 beta=2 --set maps=0", replace(recipes.FAST, alpha=1.0, beta=2.0, maps=0.0)),
    ("--extra-classes 5 --set alpha=1 --set alpha=3", replace(recipes.FAST, alpha=3.0))])
def test_settings_are_the_recipe_s_and_those_that_were_set(options, expected):
    from microgmdgm.experiment.options import parse, recipe_of
    mnist = SimpleNamespace(image_shape=(28, 28), C=10)
    assert recipe_of(parse(options.split()), mnist) == expected
    assert parse([]).set == []


def test_too_little_memory_gets_one_clear_line(tmp_path, monkeypatch, capsys):
    def full(*_):
        raise MemoryError
    monkeypatch.setattr(executors, "compute", full)
    code, _, errors = answer(capsys, "--dataset", "digits", "--quiet", "--out", tmp_path / "out")
    lines = errors.splitlines()
    assert code == 2 and len(lines) == 1 and "too little memory" in lines[0] and "fewer --runs" in lines[0]


def test_an_altered_file_gets_one_clear_line(tmp_path):
    for name in microgmdgm.data.SETS["mnist"].files:
        (tmp_path / name).write_bytes(b"\0\0\x08\x01\0\0\0\x02ab")
    done = run("--dataset", "mnist", "--data-dir", tmp_path)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "train-images-idx3-ubyte is not the original but truncated" in done.stderr
    assert "expected SHA-256 ba891046" in done.stderr


def test_results_are_never_overwritten(tmp_path):
    (tmp_path / "precious").write_text("")
    done = run(*QUICK, "--out", tmp_path)
    assert done.returncode == 2 and "is not empty" in done.stderr and os.listdir(tmp_path) == ["precious"]


def test_without_mnist_and_network_it_runs_on_digits_and_says_so(tmp_path):
    """A proxy that refuses every connection stands for no network."""
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path),
                   "https_proxy": "http://127.0.0.1:9"}
    without = {key: value for key, value in os.environ.items() if key != "MICROGMDGM_DATA"}
    command = [sys.executable, SCRIPT, *QUICK[2:], "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**without, **environment})
    assert done.returncode == 0, done.stderr
    assert "MNIST cannot be had: this run is on scikit-learn's 8×8 digits instead" in done.stderr
    assert "Ours: digits" in done.stdout
    assert "MNIST could neither be found nor downloaded" in (tmp_path / "out" / "report.html").read_text()
    explicit = subprocess.run([sys.executable, SCRIPT, "--dataset", "mnist"], capture_output=True, text=True,
                              timeout=300, env={**without, **environment}, cwd=tmp_path)
    assert explicit.returncode == 2 and len(explicit.stderr.splitlines()) == 1
    assert "nor can it be downloaded" in explicit.stderr and "--dataset digits" in explicit.stderr


@needs_posix
def test_ctrl_c_ends_with_130_and_keeps_what_was_finished(tmp_path):
    out = tmp_path / "out"
    process = subprocess.Popen([sys.executable, SCRIPT, *QUICK, "--runs", "100", "--out", str(out)],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               # in the background a shell has its programs ignore Ctrl-C
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    deadline = time.time() + 120
    while not (out / "model-gm-dgm-seed0.npz").exists() and time.time() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130 and "Traceback" not in errors and f"interrupted: go on with --resume {out}" in errors
    summary = json.loads((out / "summary.json").read_text())
    finished = [run["seed"] for run in summary["models"]["gm-dgm"]["runs"]]
    assert finished and finished == sorted(finished)  # of two at a time the later may end first
    assert all((out / f"model-gm-dgm-seed{seed}.npz").exists() for seed in finished)


def test_a_collapsed_run_says_so(tmp_path, capsys):
    """M2 without any label, on the paper's objective, is the paper's example of collapse."""
    code, said, errors = answer(capsys, *QUICK, "--classifier-epochs", 0, "--model", "m2", "--recipe", "paper",
                                "--labelled-classes", "--quiet", "--out", tmp_path / "out")
    assert code == 0 and "M2, seed 0: y has collapsed" in errors
    assert "M2 0 COLLAPSED" in said and "1 of 1" in said
    assert 'class="warn">M2, seed 0: y has collapsed' in (tmp_path / "out" / "report.html").read_text()
    found, = json.loads((tmp_path / "out" / "summary.json").read_text())["models"]["m2"]["runs"]
    assert found["collapsed"] and "y has collapsed" in found["signs"][0]


def test_help_gives_every_default():
    text = " ".join(run("--help").stdout.split())
    for phrase in ("(default: gm-dgm)", "(default: fast)", "each model (default: 1)", "never more than runs", "(default: [0, 1, 2, 8, 9])",
                   "or all (default: 100, or 10 on digits)",
                   "(default: 5, or 0 where all classes are labelled)", "(default: results/"):
        assert phrase in text


def test_importing_the_package_needs_numpy_alone():
    heavy = ("scipy", "sklearn", "matplotlib", "pooch", "tqdm", "autograd", "cupy")
    code = f"import sys, microgmdgm; print(*[m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == ""


@needs_mnist
def test_one_epoch_on_mnist(tmp_path):
    """All slots are kept: networks as small as this are too unsure under large maps for slots to be told apart."""
    done = run("--epochs", 1, "--classifier-epochs", 3, "--hidden-units", 64, "--z-dimensions", 10, "--quiet",
               "--set", "merge_from=0", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["dataset"] == "mnist" and summary["models"]["gm-dgm"]["runs"][0]["accuracy"] > 0.7
