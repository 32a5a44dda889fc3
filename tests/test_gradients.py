"""The pullback of every differentiable function, against autograd and central differences."""

import ast
import inspect
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from microgmdgm import distributions, invariance, layers, marginal, models, objectives
from microgmdgm.gradcheck import check_pullback
from .conftest import MODELS, random_batch, random_theta, small_model

CASES = {}


def case(function):
    """A case named after the function that it checks, gives (arguments, constants) for check_pullback."""
    def register(build):
        CASES.setdefault(function, []).append(build)
        return build
    return register


def sizes(rng, n):
    return tuple(int(s) for s in rng.integers(2, 6, n))


@case(layers.dense)
def _(rng, runs):
    N, I, O = sizes(rng, 3)
    return [rng.standard_normal(s) for s in ((*runs, I, O), (*runs, 1, O), (*runs, N, I))], {}


@case(layers.relu)
def _(rng, runs):
    return [rng.standard_normal((*runs, *sizes(rng, 2)))], {}


@case(layers.pick)
def _(rng, runs):
    N, H, P = sizes(rng, 3)
    return [rng.standard_normal((*runs, N, H))], {"index": rng.integers(0, N, (*runs, P + 3))}


@case(layers.halves)
def _(rng, runs):
    N, Z = sizes(rng, 2)
    return [rng.standard_normal((*runs, N, 2 * Z))], {}


def mlp_layers(rng, runs, *widths):
    return [rng.standard_normal((*runs, rows, O)) for I, O in zip(widths, widths[1:]) for rows in (I, 1)]


@case(layers.mlp)
def _(rng, runs):
    N, I, H, O = sizes(rng, 4)
    return [mlp_layers(rng, runs, I, H, H, O), rng.standard_normal((*runs, N, I))], {}


def class_layers(rng, runs, I, K, H, O):
    first = [rng.standard_normal((*runs, *shape)) for shape in ((I, H), (K, H), (1, H))]
    return first + mlp_layers(rng, runs, H, H, O)


@case(layers.class_mlp)
def _(rng, runs):
    N, I, K, H, O = sizes(rng, 5)
    return ([class_layers(rng, runs, I, K, H, O), rng.standard_normal((*runs, N, I))],
            {"y": rng.integers(0, K, (*runs, 2 * N)), "example": rng.integers(0, N, (*runs, 2 * N))})


@case(layers.class_mlp)
def _(rng, runs):
    N, I, K, H, O = sizes(rng, 5)
    return ([class_layers(rng, runs, I, K, H, O), rng.standard_normal((*runs, N, I))],
            {"y": rng.integers(0, K, (*runs, N))})


@case(distributions.gaussian)
def _(rng, runs):
    shape = (*runs, *sizes(rng, 2))
    return [rng.standard_normal(shape) for _ in range(2)], {"x": rng.standard_normal(shape)}


@case(distributions.bernoulli)
def _(rng, runs):
    shape = (*runs, *sizes(rng, 2))
    return [3 * rng.standard_normal(shape)], {"x": rng.random(shape)}


@case(distributions.reparameterise)
def _(rng, runs):
    shape = (*runs, *sizes(rng, 2))
    return [rng.standard_normal(shape) for _ in range(2)], {"eps": rng.standard_normal(shape)}


@case(distributions.gaussian_kl)
def _(rng, runs):
    shape = (*runs, *sizes(rng, 2))
    return [rng.standard_normal(shape) for _ in range(4)], {}


@case(distributions.standard_gaussian_kl)
def _(rng, runs):
    shape = (*runs, *sizes(rng, 2))
    return [rng.standard_normal(shape) for _ in range(2)], {}


@case(distributions.log_softmax)
@case(distributions.entropy)
def _(rng, runs):
    return [rng.standard_normal((*runs, *sizes(rng, 2)))], {}


@case(distributions.cross_entropy)
@case(invariance.mean_cross_entropy)
@case(invariance.consistency)
def _(rng, runs):
    shape = (*runs, *sizes(rng, 2))
    return [rng.standard_normal(shape) for _ in range(2)], {}


@case(models.at)
def _(rng, runs):
    N, K = sizes(rng, 2)
    return [rng.standard_normal((*runs, N, K))], {"y": rng.integers(0, K, (*runs, N))}


@case(invariance.balance)
def _(rng, runs):
    log_q, _ = distributions.log_softmax(rng.standard_normal((*runs, 5, 4)))
    return [log_q], {"prior": (0.4, 0.3, 0.2, 0.1)}


@case(models.log_q_y)
def _(rng, runs):
    N, I, H, K = sizes(rng, 4)
    return [mlp_layers(rng, runs, I, H, H, K), rng.standard_normal((*runs, N, I))], {}


@case(models.unlabelled_bound)
def _(rng, runs):
    N, K = 4, 3
    log_q, _ = distributions.log_softmax(rng.standard_normal((*runs, N, K)))
    pairs = marginal.exact(log_q)
    return ([log_q, rng.standard_normal((*runs, N * K))],
            {"y": pairs.y, "example": pairs.example, "weight": rng.random((*runs, N * K))})


def model_case(build):
    """One case for each of the two models and two likelihoods."""
    def cases(name, likelihood):
        def run(rng, runs):
            model = small_model(name, likelihood)
            return build(model, model.layout.views(random_theta(model, rng, runs)), rng, runs)
        return run
    return [cases(name, likelihood) for name, likelihood in MODELS]


def positional(function, *constants):
    """function with `constants` as its first arguments, under its own name."""
    def bound(*arguments, **keywords):
        return function(*constants, *arguments, **keywords)
    bound.__name__ = function.__name__
    return bound


P = 6
CASES[models.kl_z] = model_case(lambda model, params, rng, runs: (
    positional(models.kl_z, model), [params, *rng.standard_normal((2, *runs, P, model.Z))],
    {"y": rng.integers(0, model.K, (*runs, P))}))
CASES[models.decode] = model_case(lambda model, params, rng, runs: (
    positional(models.decode, model), [params, rng.standard_normal((*runs, P, model.Z))],
    {"y": rng.integers(0, model.K, (*runs, P))}))
CASES[models.log_p_x] = model_case(lambda model, params, rng, runs: (
    positional(models.log_p_x, model),
    [rng.standard_normal((*runs, P, model.X * (2 if model.likelihood == "gaussian" else 1)))],
    {"x": rng.random((*runs, P, model.X))}))
CASES[models.encode] = model_case(lambda model, params, rng, runs: (
    models.encode, [params], {"x": rng.random((*runs, 4, model.X)), "y": rng.integers(0, model.K, (*runs, P)),
                              "example": rng.integers(0, 4, (*runs, P))}))
CASES[models.bound_given_y] = model_case(lambda model, params, rng, runs: (
    positional(models.bound_given_y, model), [params],
    {"x": rng.random((*runs, 4, model.X)), "y": rng.integers(0, model.K, (*runs, P)),
     "example": rng.integers(0, 4, (*runs, P)), "eps": rng.standard_normal((*runs, P, model.Z))}))


CASES[models.mean_x] = model_case(lambda model, params, rng, runs: (
    positional(models.mean_x, model),
    [rng.standard_normal((*runs, P, model.X * (2 if model.likelihood == "gaussian" else 1)))], {}))
CASES[models.prior_sample] = model_case(lambda model, params, rng, runs: (
    positional(models.prior_sample, model), [params],
    {"y": rng.integers(0, model.K, (*runs, P)), "eps": rng.standard_normal((*runs, P, model.Z))}))[:2]  # GM-DGM


ROWS = 5 + 3 + 5  # of log q: unlabelled, labelled, unlabelled under other maps


def log_q_rows(model, rng, runs, rows=ROWS):
    return distributions.log_softmax(rng.standard_normal((*runs, rows, model.K)))[0]


def exact_pairs(batch):
    """The exact sum, as in training."""
    return lambda log_q: marginal.pairs(log_q, sum_over_y="exact", u=batch.u, labels=batch.labels, eps=batch.eps)


def around(model, rng, batch, runs):
    """A fixed adversarial change and target: neither is differentiated."""
    r, target = rng.standard_normal(batch.t2x.shape), log_q_rows(model, rng, runs, 5)
    return lambda *_: (r, target)


def eq2_case(model, params, rng, runs):
    batch = random_batch(model, rng, runs)
    return (lambda params, log_q: objectives.eq2(model, params, batch, log_q, choose=exact_pairs(batch)),
            [params, log_q_rows(model, rng, runs)], {})


def stability_case(model, params, rng, runs):
    batch = random_batch(model, rng, runs)
    return lambda params, log_q: objectives.stability(model, batch, log_q), [{}, log_q_rows(model, rng, runs)], {}


def smoothness_case(model, params, rng, runs):
    batch = random_batch(model, rng, runs)
    perturb, log_q = around(model, rng, batch, runs), log_q_rows(model, rng, runs)

    def smoothness(params):  # log q is a constant of it
        value, pullback = objectives.smoothness(params, batch, log_q, perturb=perturb)
        return value, lambda d: pullback(d)[0]
    return smoothness, [params], {}


def of_log_q_case(model, params, rng, runs):
    batch = random_batch(model, rng, runs)
    term = partial(objectives.eq2, model, choose=exact_pairs(batch), batch=batch)
    perturb = around(model, rng, batch, runs)
    return (lambda params: objectives.of_log_q(model, params, batch, lambda log_q: term(params, log_q=log_q), perturb),
            [params], {})


def others(params):
    """The networks that are trained while q(y|x) is held, and the function that puts it beside them."""
    held = {"q(y|x)": params["q(y|x)"]}
    return {name: layers for name, layers in params.items() if name not in held}, lambda rest: {**rest, **held}


def dreams_case(model, params, rng, runs):
    rest, whole = others(params)
    y, eps = rng.integers(0, model.K, (*runs, P)), rng.standard_normal((*runs, P, model.Z))
    return lambda rest: objectives.dreams(model, whole(rest), y=y, eps=eps), [rest], {}


def held_case(model, params, rng, runs):
    rest, whole = others(params)
    batch = random_batch(model, rng, runs)
    return (lambda rest: objectives.held(model, whole(rest), batch, choose=exact_pairs(batch), kl_weight=0.3),
            [rest], {})


CASES[objectives.dreams] = model_case(dreams_case)
CASES[objectives.held] = model_case(held_case)
CASES[objectives.eq2] = model_case(eq2_case)
CASES[objectives.stability] = model_case(stability_case)
CASES[objectives.smoothness] = model_case(smoothness_case)
CASES[objectives.of_log_q] = model_case(of_log_q_case)


@case(objectives.labels)
def _(rng, runs):
    model = small_model()
    batch = random_batch(model, rng, runs)
    return lambda params, log_q: objectives.labels(batch, log_q), [{}, log_q_rows(model, rng, runs)], {}


@case(objectives.weighted_sum)
def _(rng, runs):
    names = ("L(x)", "L(x,y)", "log q(y|x)", "dreams", "consistency", "smoothness", "balance")
    return ([{name: rng.standard_normal(runs) for name in names}],
            {"alpha": 2.0, "gamma": 3.0, "weights": (1.5, 0.5, 4.0), "labelled": 0.5, "dream": 1.5})


@case(objectives.weight_prior)
def _(rng, runs):
    return [rng.standard_normal((*runs, 7))], {"decay": rng.random(7)}


ALL = [pytest.param(function, build, id=f"{function.__name__}-{i}")
       for function, builds in CASES.items() for i, build in enumerate(builds)]


@pytest.mark.parametrize("runs", [(), (3,)], ids=["one run", "run axis"])
@pytest.mark.parametrize("function, build", ALL)
def test_pullback(function, build, runs):
    rng = np.random.default_rng(sum(map(ord, function.__name__)))
    *named, arguments, constants = build(rng, runs)
    rows = check_pullback(named[0] if named else function, *arguments, **constants)
    assert {row.against for row in rows} == {"autograd", "differences"}
    assert all(row.ok for row in rows)


def test_every_function_with_a_pullback_has_a_case():
    """A function of the package with an inner `pullback` that no case above checks is a defect."""
    checked = {f.__name__ for f in CASES} | {"value_and_pullback"}  # that one is checked in test_objective.py
    modules = [layers, distributions, models, invariance, objectives]
    folder = Path(layers.__file__).parent
    others = [path.name for path in folder.glob("**/*.py") if "def pullback(" in path.read_text()]
    assert sorted(others) == sorted(Path(module.__file__).name for module in modules)
    for module in modules:
        for node in ast.parse(inspect.getsource(module)).body:
            inner = {n.name for n in ast.walk(node) if isinstance(n, ast.FunctionDef)}
            if isinstance(node, ast.FunctionDef) and "pullback" in inner:
                assert node.name in checked, f"{module.__name__}.{node.name} has no gradient check"


@pytest.mark.parametrize("wrt", ["W", "x"])
def test_dense_leaves_out_what_is_not_asked_for(wrt):
    rng = np.random.default_rng(0)
    W, b, x, dy = (rng.standard_normal(s) for s in ((3, 2), (1, 2), (5, 3), (5, 2)))
    full = layers.dense(W, b, x)[1](dy)
    part = layers.dense(W, b, x, wrt)[1](dy)
    for name, expected, found in zip(("W", "W", "x"), full, part):
        assert (found is None) if name not in wrt else np.array_equal(found, expected)


def wrong(x, w):
    """y = x² w with the sign of dw wrong."""
    def pullback(dy):
        return 2 * x * w * dy, -x * x * dy
    return x * x * w, pullback


def test_the_check_finds_a_wrong_sign_and_names_the_argument(capsys):
    rows = check_pullback(wrong, np.array([1.0, 2.0]), np.array([0.5, -1.5]))
    assert {row.name for row in rows if not row.ok} == {"w"}
    assert "WRONG" in capsys.readouterr().out


@pytest.mark.parametrize("gradients, message", [
    ((np.zeros(2),), "must return 2 gradients"), ((np.zeros(2), np.zeros(3)), "gradient of w must have its shape")])
def test_the_check_refuses_gradients_that_do_not_fit(gradients, message):
    def misfit(x, w):
        return x * w, lambda dy: gradients
    with pytest.raises(ValueError, match=message):
        check_pullback(misfit, np.ones(2), np.ones(2))
