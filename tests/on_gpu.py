"""What only a GPU can say, in one command: python -m tests.on_gpu DIR, after pip install -e '.[test,gpu]'.

The tests; Table 1 with ten runs of both models by the fast recipe, one run, ten by the paper's recipe; and of a step how
long the processor takes to start its kernels and how long the GPU to compute them.  Everything is kept in DIR, which is
new, and its times in DIR/times.json.  `--quick` does the same on digits in a few epochs, to see that it runs.
"""

import argparse
import json
import subprocess
import sys
import time
import unittest.mock
from dataclasses import replace
from pathlib import Path

from microgmdgm import backend, experiment, machine, recipes, training
from microgmdgm.adam import Adam
from microgmdgm.data import load
from microgmdgm.files import new_folder
from microgmdgm.state import Phase

ROOT = Path(__file__).parent.parent
RUNS = {"ten-fast": ["--table1"], "one-fast": ["--runs", "1"], "ten-paper": ["--table1", "--recipe", "paper"]}
QUICK = ["--dataset", "digits", "--epochs", "2", "--classifier-epochs", "1"]
STEPS = {"fast, q(y|x) alone": (recipes.FAST, recipes.FAST.classifier_epochs - 1),
         "fast, whole model": (recipes.FAST, recipes.FAST.classifier_epochs + 1), "paper": (recipes.PAPER, 1)}


def done(command, log):
    """How a command of Python ends, and when."""
    began = time.perf_counter()
    with open(log, "w") as lines:
        ended = subprocess.run([sys.executable, *command], cwd=ROOT, stdout=lines, stderr=subprocess.STDOUT)
    return {"exit code": ended.returncode, "seconds": round(time.perf_counter() - began, 1)}


def step_times(recipe, epoch, data, runs):
    """Milliseconds of a step: until its kernels are started, and until they are done."""
    job = experiment.Job("gm-dgm", tuple(range(runs)), recipe, (0, 1, 2, 8, 9), 10, gpu=True)
    trainer = experiment.Trainer(job, data)
    state, asked = trainer.start(), []
    state.adam = Adam.like(state.theta[:, Phase.at(trainer.model, recipe, epoch).part])

    def to_host(x):  # asked once, when all steps have been started
        asked.append(time.perf_counter())
        return backend.to_host(x)
    for _ in range(2):  # the first time also makes the kernels
        state.epoch, began = epoch, time.perf_counter()
        with unittest.mock.patch.object(training, "to_host", to_host):
            training.run_epoch(state, trainer.model, recipe, trainer.task)
        done = time.perf_counter()
    steps = len(training.schedule(recipe, trainer.task, epoch))
    return {"started": round(1e3 * (asked[-1] - began) / steps, 2), "done": round(1e3 * (done - began) / steps, 2)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    try:
        xp, data, folder = backend.gpu(), load("digits" if asked.quick else "mnist"), new_folder(asked.folder).resolve()
    except ValueError as error:
        parser.error(str(error))
    times = {"device": machine.device_name(xp), "cupy": xp.__version__}

    def keep(name, value):
        times[name] = value
        print(f"{name}: {value}", flush=True)
        (folder / "times.json").write_text(json.dumps(times, indent=1))
    for name, (recipe, epoch) in STEPS.items():
        for runs in (1, 10):
            recipe = replace(recipe, minimum_epoch=3000) if asked.quick else recipe
            keep(f"ms a step, {name}, {runs} at once", step_times(recipe, epoch, data, runs))
    keep("pytest -m gpu", done(["-m", "pytest", "-m", "gpu"], folder / "pytest.log"))
    for name, options in RUNS.items():
        options = [*options, *(QUICK if asked.quick else ()), "--out", str(folder / name)]
        keep(name, done(["run_mnist.py", "--gpu", *options], folder / f"{name}.log"))


if __name__ == "__main__":
    main()
