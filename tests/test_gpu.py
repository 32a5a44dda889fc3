"""The GPU: the same numbers as on the CPU, and nothing sent or read back without need.

`pytest -m gpu` runs on a GPU.  Elsewhere whole runs go through a stand-in for CuPy that lets no copy to the host
go unseen.
"""

import json
import platform
import sys
from dataclasses import replace

import numpy as np
import pytest

from microgmdgm import (
    adam,
    augmentation,
    backend,
    batches,
    checkpoint,
    data,
    distributions,
    experiment,
    merging,
    models,
    recipes,
    training,
)
from microgmdgm.experiment import command, executors, options
from microgmdgm.models import Model
from microgmdgm.noise import HashedNoise, Noise, bits
from microgmdgm.state import Phase
from microgmdgm.trained import load
from . import fake_cupy, on_gpu
from .conftest import ON_GPU, random_batch
from .test_array_api import ten_steps
from .test_run_mnist import run

FAST = replace(recipes.FAST, minimum_epoch=1500, epochs=3, classifier_epochs=1, exact_epochs=1)
PAPER = replace(recipes.PAPER, minimum_epoch=800, epochs=2, sum_over_y="sparse", exact_epochs=1)
TABLE = replace(recipes.FAST_TABLE, minimum_epoch=1500, epochs=1, classifier_epochs=1)
CASES = [("gm-dgm", FAST), ("m2", FAST), ("gm-dgm", PAPER), ("m2", PAPER), ("gm-dgm", TABLE)]
IDS = ["fast", "fast, m2", "paper", "paper, m2", "table"]


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy.CUPY)
    for kept in (fake_cupy.CUPY.counts, fake_cupy.CUPY.launches, fake_cupy.CUPY.fused):
        kept.clear()
    return fake_cupy.CUPY


@pytest.fixture(params=["stand-in", ON_GPU])
def cupy(request):
    return backend.gpu() if request.param == "GPU" else request.getfixturevalue("stand_in")


def trainer(model, recipe, seeds, gpu=True):
    digits = replace(data.digits(), image_shape=None) if recipe is TABLE else data.digits()
    job = experiment.Job(model, seeds, recipe, (0, 1, 2, 8, 9), 10, Z=5, H=20, gpu=gpu,
                         likelihood="gaussian" if recipe is TABLE else "bernoulli")
    return experiment.Trainer(job, digits)


def distance(ours, truth):
    return np.linalg.norm(ours - truth) / np.linalg.norm(truth)


def assert_close(ours, theirs):
    """Two lists of figures by name, but for the time it took.  What is no number is equal."""
    def numbers(figures):
        return {name: value for name, value in figures.items() if isinstance(value, float | int) and name != "seconds"}
    for mine, expected in zip(ours, theirs, strict=True):
        assert {*mine} == {*expected}
        assert numbers(mine) == pytest.approx(numbers(expected), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("model, recipe", CASES, ids=IDS)
def test_an_epoch_is_sent_once_and_read_back_once(stand_in, model, recipe):
    found = trainer(model, recipe, (0, 1, 2))
    assert found.task.x.dtype == np.uint8 and stand_in.counts["get"] <= 2  # the pixels, and whether the GPU computes
    state = found.start()
    training.run_epoch(state, found.model, recipe, found.task)  # the prior is sent now, once
    for _ in range(recipe.total_epochs - 1):
        stand_in.counts.clear()
        training.run_epoch(state, found.model, recipe, found.task)
        begins = state.epoch == recipe.classifier_epochs + 1 and recipe.warm_start  # from the mean of x
        assert stand_in.counts == {"get": 1, "sent": 2 + begins}  # the means of all terms; the order of all rows, seeds
    stand_in.counts.clear()
    found.predict(state.theta)
    assert stand_in.counts == {"get": 1}


@pytest.mark.parametrize("model, recipe", CASES, ids=IDS)
def test_the_numbers_are_those_of_the_cpu(stand_in, model, recipe, monkeypatch):
    """Of all epochs and of the end, given the same noise."""
    class Same:  # noise drawn on the host
        def __init__(self, rngs, _):
            for name in ("uniform", "normal", "integers"):
                setattr(self, name, lambda *shape, draw=getattr(Noise(rngs), name): stand_in.asarray(draw(*shape)))
    expected = trainer(model, recipe, (3, 4), gpu=False)
    found = trainer(model, recipe, (3, 4))
    monkeypatch.setattr(training.marginal, "compact", lambda pairs: pairs)  # the CPU alone leaves pairs out
    monkeypatch.setattr(training.marginal, "as_alone", lambda eps, *_: eps)
    ours, theirs = found.start(), expected.start()
    for _ in range(recipe.total_epochs):
        expected_metrics = expected.epoch(theirs)
        with monkeypatch.context() as only_here:
            only_here.setattr(batches, "HashedNoise", Same)
            metrics = found.epoch(ours)
        assert_close(metrics, expected_metrics)
    np.testing.assert_allclose(ours.theta.get(), theirs.theta, rtol=1e-4, atol=1e-5)
    results = found.finish(ours)
    assert all(isinstance(model.theta, np.ndarray) for _, model in results)
    assert_close([result for result, _ in results], [result for result, _ in expected.finish(theirs)])


@pytest.mark.parametrize("recipe", [FAST, PAPER], ids=["fast", "paper"])
def test_a_run_does_not_depend_on_its_company(cupy, recipe):
    together, alone = trainer("gm-dgm", recipe, (5, 6)), trainer("gm-dgm", recipe, (6,))
    states, start = (together.start(), alone.start()), alone.start().theta.get()[0]
    for _ in range(2):
        together.epoch(states[0])
        alone.epoch(states[1])
    ours, theirs = states[0].theta.get()[1], states[1].theta.get()[0]
    assert distance(ours - start, theirs - start) < 0.05  # other noise: 0.2


def test_a_run_that_goes_on_gives_the_same_bits(cupy, tmp_path):
    found = trainer("gm-dgm", FAST, (0, 1))
    state = found.start()
    found.epoch(state)
    settings = found.job.settings
    checkpoint.save(tmp_path / "checkpoint.npz", state.moved(backend.to_host), settings)
    found.epoch(state)
    resumed = checkpoint.load(tmp_path / "checkpoint.npz", settings).moved(cupy.asarray)
    found.epoch(resumed)
    assert np.array_equal(resumed.theta.get(), state.theta.get())


def test_between_epochs_the_state_is_on_the_host(cupy):
    """As a checkpoint needs it; the numbers are those of a state that stays on the GPU."""
    experiment.job._trainer.cache_clear()
    here = trainer("gm-dgm", FAST, (0, 1))
    job, state, staying = replace(here.job, fingerprint=here.data.fingerprint), None, here.start()
    for _ in range(FAST.total_epochs):
        state, metrics, results = experiment.advance(job, experiment.Source("digits"), state)
        here.epoch(staying)
        assert all(isinstance(a, np.ndarray) for a in (state.theta, state.adam.m, state.adam.v))
        assert np.array_equal(state.theta, staying.theta.get()) and [m["seed"] for m in metrics] == [0, 1]
    assert [result["seed"] for result, _ in results] == [0, 1]


def test_a_diverging_run_stops_with_its_epoch_and_advice(cupy):
    found = trainer("gm-dgm", replace(PAPER, learning_rate=1e3, clip=None), (0,))
    with pytest.raises(training.Diverged, match="in epoch 1: try a smaller learning rate"), np.errstate(all="ignore"):
        found.epoch(found.start())


def test_a_trained_model_computes_on_the_gpu_and_answers_on_the_host(cupy):
    (_, model), = trainer("gm-dgm", replace(FAST, epochs=1), (0,)).finish(trainer("gm-dgm", FAST, (0,)).start())
    there, x = replace(model, theta=cupy.asarray(model.theta)), data.digits().x_test[:20]
    for method in ("predict_proba", "predict", "encode", "reconstruct", "bound"):
        np.testing.assert_allclose(getattr(there, method)(x), getattr(model, method)(x), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(there.sample(5, y=2), model.sample(5, y=2), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("error, reason", [
    (RuntimeError("no libnvrtc\nlong story"), "no libnvrtc"), (Exception("no cuda_fp16.h"), "no cuda_fp16.h"),
    (Exception(), "Exception")], ids=["library", "compiler", "silent"])
@pytest.mark.parametrize("what", ["ones", "one_more"])
def test_a_gpu_that_cannot_compute_is_told_in_one_line(stand_in, monkeypatch, what, error, reason):
    def broken(*_, **__):
        raise error
    monkeypatch.setattr(stand_in if what == "ones" else backend, what, broken)
    with pytest.raises(ValueError, match=rf"^--gpu: CuPy finds a GPU but cannot compute on it \({reason}\): .*\.?$"):
        backend.gpu()


def test_what_is_too_old_is_told_by_name(stand_in, monkeypatch):
    monkeypatch.setattr(stand_in.cuda, "is_available", lambda: False)  # also where the driver is older than CUDA
    with pytest.raises(ValueError, match="^--gpu needs an NVIDIA GPU and its driver, for CUDA 13 version 580 or newer, .*$"):
        backend.gpu()
    monkeypatch.delattr(stand_in, "concat")
    monkeypatch.setattr(stand_in, "__version__", "13.6.0")
    with pytest.raises(ValueError, match="^--gpu needs CuPy 14 or newer, and 13.6.0 is installed: .*$"):
        backend.gpu()


def test_an_experiment_keeps_the_version_of_cupy(stand_in, tmp_path, monkeypatch):
    monkeypatch.setattr(command.machine, "device_name", lambda _: "a GPU")
    asked = options.parse(["--gpu", "--dataset", "digits", "--out", str(tmp_path / "out")])
    folder = command.new_folder(asked, data.digits(), lambda asked, data, threads: trainer("m2", FAST, (0,)).job)
    assert folder.config["versions"] == {**executors.versions(), "cupy": "14.0.0", "python": platform.python_version()}


def test_the_stand_in_refuses_what_would_copy_unasked(stand_in):
    a = stand_in.asarray(np.ones(3, np.float32))
    for silent in (float, int, bool, list, np.asarray, np.sum, lambda a: a + np.ones(3), lambda a: np.ones(3) + a,
                   lambda a: a[np.arange(2)], lambda a: stand_in.exp(np.ones(3)), lambda a: stand_in.where(a > 0, a, np.ones(3))):
        with pytest.raises(TypeError):
            silent(a)
    with pytest.raises(AttributeError):
        stand_in.insert
    for not_fused in (lambda a: a[0], lambda a: stand_in.sum(a), lambda a: a.shape):
        with pytest.raises((TypeError, NotImplementedError)):
            stand_in.fuse(not_fused)(a)
    assert (a + 1).get().tolist() == [2, 2, 2] and stand_in.counts == {"sent": 1, "get": 1}


def test_the_stand_in_has_nothing_that_cupy_lacks():
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")

    def public(of):
        return [name for name in vars(of) if not name.startswith("_") and name not in ("counts", "launches", "fused")]
    assert all(hasattr(cupy, name) for name in public(fake_cupy.CUPY))
    assert all(hasattr(cupy.ndarray, name) for name in public(fake_cupy.Array))


THETA = 0.03  # how far θ may be, of its way in ten steps: rounding alone makes up to 0.01, by relu and Adam's division


def ways(xp, model, sum_over_y, U=30, L=20):
    """Objective and gradient, and θ's way in ten steps: with xp in float32, with NumPy in float32 and in float64."""
    rng = np.random.default_rng(0)
    theta = np.stack([model.layout.initial(rng, float) for _ in range(2)])
    batch = random_batch(model, rng, (2,), U, L)
    half = replace(batch, **{name: value.astype(np.float32) for name, value in vars(batch).items() if name != "labels"})
    found = [ten_steps(xp, model, theta.astype(np.float32), half, sum_over_y, rate=1e-3) for xp in (xp, np)]
    return [(*first, end - theta) for *first, end in [*found, ten_steps(np, model, theta, batch, sum_over_y, rate=1e-3)]]


@pytest.mark.parametrize("cupy", [ON_GPU], indirect=True)
@pytest.mark.parametrize("sum_over_y", ["exact", "sparse"])
@pytest.mark.parametrize("name", ["gm-dgm", "m2"])
def test_bound_gradient_and_ten_steps_are_as_exact_as_numpys(cupy, name, sum_over_y):
    """At the sizes of the experiment, in float32, from the same parameters and noise: as near to float64."""
    cupys, numpys, truth = ways(cupy, Model(name, data.slot_prior(10, 5, 5), X=784), sum_over_y)
    for ours, theirs, exact in zip(cupys[:2], numpys, truth):
        assert ours.dtype == np.float32
        assert distance(ours, exact) < 10 * distance(theirs, exact) + 1e-6 < 0.1
    assert distance(cupys[2], truth[2]) < THETA


@pytest.mark.parametrize("flipped", [None, "log_softmax", "reparameterise", "bernoulli", "gaussian_kl", "move"])
def test_a_flipped_sign_leads_theta_further_away(flipped, monkeypatch):
    def negated(function):
        def call(*arguments, **keywords):
            value, pullback = function(*arguments, **keywords)
            return value, lambda d: np.negative(pullback(d)) if flipped == "log_softmax" else [-a for a in pullback(d)]
        return call

    def wrong(theta, m, v, g, *numbers, move=adam.move):
        move(theta, m, v, -g, *numbers)
    model = Model("gm-dgm", data.slot_prior(10, 5, 5), X=100, Z=10, H=40)
    *_, (*_, truth) = ways(np, model, "sparse")
    if flipped == "move":
        monkeypatch.setattr(adam, "move", wrong)
    elif flipped:
        monkeypatch.setattr(models, flipped, negated(getattr(models, flipped)))
    (*_, way), *_ = ways(np, model, "sparse")
    assert (distance(way, truth) > THETA) == (flipped is not None)


@pytest.mark.parametrize("function, arguments", [
    (distributions.log_p_bit, 2), (distributions.sigmoid, 1), (distributions.deviation, 3), (adam.move, 4)],
    ids=["log_p_bit", "sigmoid", "deviation", "move"])
def test_a_fused_function_is_the_function(cupy, function, arguments):
    rng = np.random.default_rng(0)
    arrays = [rng.random((3, 40, 50), dtype=np.float32) * 4 for _ in range(arguments)]
    there = [cupy.asarray(array)[:, 5:] for array in arrays]  # views, as of a part of θ
    here = [array[:, 5:] for array in arrays]
    numbers = (1e-3, 1.7) if function is adam.move else ()

    def results(arguments):
        found = function(*arguments, *numbers)
        return arguments if found is None else found if isinstance(found, tuple) else (found,)
    for ours, theirs in zip(results(there), results(here), strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours.get(), theirs, rtol=1e-5, atol=1e-6)


def test_maps_are_those_of_the_cpu(cupy):
    rng = np.random.default_rng(0)
    images, u = rng.random((2, 6, 28, 28), dtype=np.float32), rng.uniform(-1, 1, (2, 6, 6)).astype(np.float32)
    expected = augmentation.affine(images, augmentation.affine_maps(u, (28, 28)))
    found = augmentation.affine(cupy.asarray(images), augmentation.affine_maps(cupy.asarray(u), (28, 28)))
    np.testing.assert_allclose(found.get(), expected, atol=1e-4)


def test_noise_is_uniform_and_normal_and_the_seed_s(cupy):
    def hashed(*seeds):
        return HashedNoise([np.random.default_rng(seed) for seed in seeds], cupy)
    first, again, alone = hashed(0, 1), hashed(0, 1), hashed(1)
    u, other = first.uniform(300, 1000).get()
    assert u.dtype == np.float32 and 0 <= u.min() and u.max() < 1
    np.testing.assert_allclose(np.histogram(u, 20, (0, 1))[0] / u.size, 0.05, atol=0.002)
    assert np.array_equal(again.uniform(300, 1000).get(), [u, other])
    assert np.array_equal(alone.uniform(300, 1000).get(), [other])  # whatever other runs there are
    further = first.uniform(300, 1000).get()[0]
    for one, two in ((u, other), (u, further), (u[:-1], u[1:]), (u[:, :-1], u[:, 1:])):
        assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 0.01
    z = first.normal(300, 1000).get()[0]
    assert z.dtype == np.float32 and abs(z.mean()) < 0.01 and abs(z.std() - 1) < 0.01
    assert abs(np.corrcoef(z[:-1].ravel(), z[1:].ravel())[0, 1]) < 0.01 and 4 < abs(z).max() < 6
    k = first.integers(7, 7000).get()
    assert k.shape == (2, 7000) and k.dtype == np.int64
    np.testing.assert_allclose(np.bincount(k[0], minlength=7) / 7000, 1 / 7, atol=0.02)


def test_bits_are_those_of_splitmix64():
    """The first of seed 1234567, as Java's SplittableRandom and other programs have them."""
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    assert bits(np.array([1234567], np.uint64), np.arange(1, 6, dtype=np.uint64)).tolist() == expected


def test_a_step_can_be_timed(stand_in):
    times = on_gpu.step_times(FAST, 1, data.digits(), 2)
    assert 0 < times["started"] <= times["done"]


def test_rare_new_classes_are_told_there_too(cupy):
    """The second run has all examples in the slots of its five known classes, the first one in new slots."""
    found = trainer("gm-dgm", FAST, (0, 1))
    state = found.start()
    *_, b = found.model.layout.views(state.theta)["q(y|x)"]
    b[0, :, 5:], b[1, :, 5:] = 60, -60
    merging.tolerate(state, found.model, FAST, found.task)
    assert [slots.tolerance for slots in state.slots] == [1, 0.7]


def test_labelled_examples_are_found_among_the_others_there_too(cupy):
    """As on the CPU, for the same θ; in the second run slot 6 is gone, and all rows are in slot 14."""
    seated = []
    for gpu in (True, False):
        found = trainer("gm-dgm", TABLE, (0, 1), gpu=gpu)
        state = found.start()
        state.theta[...] = found.xp.asarray(np.random.default_rng(0).normal(0, 0.3, state.theta.shape), dtype="float32")
        state.slots[1].prior[6] = 0.0
        found.model.layout.views(state.theta)["q(y|x)"][-1][1, :, 14] = 60
        seated.append([merging.labelled_seats(state, r, found.model, found.task) for r in (0, 1)])
    for there, here in zip(*seated):
        assert isinstance(there, np.ndarray) and there.shape == (5, 15)
        np.testing.assert_allclose(there.sum(axis=1), 10)
        assert np.abs(there - here).sum() < 1  # but for rounding where two slots are as probable
    assert (seated[0][0] > 0).sum() > 10
    np.testing.assert_allclose(seated[0][1][:, 14], 10)


def test_a_model_that_lies_there_is_saved(cupy, tmp_path):
    found = trainer("gm-dgm", FAST, (0,))
    trained, = found.start().trained(found.model, found.task)
    trained.save(tmp_path / "model.npz")
    np.testing.assert_array_equal(load(tmp_path / "model.npz").theta, backend.to_host(trained.theta))


def test_a_slot_is_split_there_too(cupy):
    """As on the CPU, to rounding; the other run stays as it is."""
    found, rng = trainer("gm-dgm", FAST, (0, 1)), np.random.default_rng(0)
    images = rng.random((4, 2, 2, 150, found.model.X)).astype(np.float32)
    thetas = []
    for xp in (cupy, np):
        state = found.start().moved(backend.to_host).moved(xp.asarray)
        state.slots[0].prior[3] = 0.0
        found.model.layout.views(state.theta)["q(y|x)"][-1][0, :, 7] = 60
        before = backend.to_host(state.theta).copy()
        merging.split_slots(state, 0, Phase.at(found.model, FAST, 0), [(7, 2.0)],
                             [tuple(map(xp.asarray, two)) for two in images])
        thetas.append(backend.to_host(state.theta))
        assert state.slots[0].splits == [[0, 7, 3, 2.0]]
        assert np.array_equal(thetas[-1][1], before[1]) and not np.array_equal(thetas[-1][0], before[0])
    np.testing.assert_allclose(*thetas, rtol=1e-3, atol=1e-4)


LAUNCHES = {"fast": (268, 386, 301), "fast, m2": (268, 361, 288), "paper": (277, 277, 352), "paper, m2": (264, 264, 338),
            "table": (249, 249, 308)}


@pytest.mark.parametrize("model, recipe, most", [(*case, LAUNCHES[name]) for case, name in zip(CASES, IDS)], ids=IDS)
def test_a_step_is_few_kernels(stand_in, model, recipe, most):
    """Whatever the number of runs: of the first epoch, q(y|x) alone or the paper's exact sum; of the last but one, where the
    fast recipe holds q(y|x); of the last, with the sparse sum."""
    found = trainer(model, recipe, range(10))
    state, launches = found.start(), []
    for epoch in range(recipe.total_epochs):
        steps = len(training.schedule(recipe, found.task, epoch))
        training.run_epoch(state, found.model, recipe, found.task)
        stand_in.launches.clear()
        state.epoch = epoch
        training.run_epoch(state, found.model, recipe, found.task)
        launches.append(round(stand_in.launches.total() / steps))
    assert (launches[0], launches[-2], launches[-1]) == most


@pytest.mark.parametrize("device", [ON_GPU])
def test_table_1_on_digits(device, tmp_path):
    done = run("--table1", "--gpu", "--dataset", "digits", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    for summary in json.loads((tmp_path / "out" / "summary.json").read_text())["models"].values():
        assert len(summary["runs"]) == 10 and np.mean([run["accuracy"] for run in summary["runs"]]) > 0.85
