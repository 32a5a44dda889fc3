# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/microgmdgm/microgmdgm/blob/main/lessons/11-arrays.ipynb)
#
# # 11. One program, many kinds of arrays
#
# **Claim.** The package's functions ask their arguments which library they belong to. So one program runs on NumPy,
# on a strict implementation of the array API standard, on a GPU through CuPy, and under autograd; and since every
# array may carry a leading axis of runs, it trains many runs at once, with the same results as one by one.
#
# **You need** lesson 2: value and pullback. 50 minutes; the computer needs some twenty seconds.
#
# At **Yours** you write a function that the lesson then uses. The cell below it says whether it is right; until it is,
# the lesson uses ours.

# %% tags=["install"]
import importlib.util, subprocess, sys, urllib.request
PACKAGE = "microgmdgm[colab] @ git+https://github.com/microgmdgm/microgmdgm"
LESSONS = "https://raw.githubusercontent.com/microgmdgm/microgmdgm/main/lessons"
if not importlib.util.find_spec("microgmdgm"):  # on Colab; elsewhere this cell does nothing
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", PACKAGE], check=True)
    for name in ("checks.py", "figures.py"):
        urllib.request.urlretrieve(f"{LESSONS}/{name}", name)

# %% tags=["setup"]
import checks
import time
import array_api_strict
import autograd
import matplotlib.pyplot as plt
import numpy as np
from microgmdgm import Model, Recipe, backend, check_pullback, data, layers, machine, models
from microgmdgm.backend import namespace
from microgmdgm.batches import Task
from microgmdgm.layers import one_hot
from microgmdgm.plots import COLOURS
from microgmdgm.training import train

# %% [markdown]
# ## Which library is this?
#
# `namespace(x)` is the library of an array: NumPy for NumPy's own, and so on. The mathematics in the package begins
# with `xp = namespace(x)` and then writes `xp.exp`, `xp.sum`: only what the *array API standard* has, which NumPy and
# CuPy share. `array_api_strict` has nothing else, and refuses what is not in the standard: a program that passes it
# will not stumble over a NumPy speciality on a GPU.

# %%
rng = np.random.default_rng(0)
model = Model("gm-dgm", (0.25,) * 4, X=7, Z=3, H=6)
theta = 0.4 * rng.standard_normal(model.layout.size)  # all parameters, in one vector
N = 5
x, y, eps = (rng.random((N, 7)) < 0.5).astype(float), rng.integers(0, 4, N), rng.standard_normal((N, 3))
ours = models.bound_given_y(model, model.layout.views(theta), x=x, y=y, eps=eps)[0]
strict = [array_api_strict.asarray(a) for a in (theta, x, y, eps)]
theta_s, x_s, y_s, eps_s = strict
theirs = models.bound_given_y(model, model.layout.views(theta_s), x=x_s, y=y_s, eps=eps_s)[0]
print("L(x,y) under", namespace(ours).__name__, ours.round(4))
print("L(x,y) under", namespace(theirs).__name__, np.asarray(theirs).round(4))
print(f"largest difference {np.abs(ours - np.asarray(theirs)).max():.0e} nats")

# %% [markdown]
# It is as easy to write as NumPy, if one keeps to the standard.

# %% [markdown]
# **Yours: `softplus(l)`**, $\log(1+e^l)$ element by element, as the package would: for an array of any of the libraries, of the
# array's own dtype, and without overflow (lesson 1). `namespace` is at hand.

# %% tags=["exercise"]
def softplus(l):
    """log(1 + e^l), element by element, for an array of any library."""

# %% tags=["check"]
softplus = checks.softplus(softplus)

# %% [markdown]
# <details><summary>A solution</summary>
#
# ```python
# def softplus(l):
#     xp = namespace(l)
#     return xp.maximum(l, xp.zeros((), dtype=l.dtype)) + xp.log1p(xp.exp(-xp.abs(l)))
# ```
# </details>

# %%
l = np.linspace(-30, 30, 7)
slope = autograd.elementwise_grad(softplus)(l)  # autograd goes through your code, too
print("NumPy ", softplus(l).round(3))
print("strict", np.asarray(softplus(array_api_strict.asarray(l))).round(3))
print("slope ", slope.round(3))

# %% [markdown]
# A GPU is another. Only `backend.py` names CuPy: `backend.gpu()` gives it, or says what is missing, and
# `backend.to_host` brings an array back. The command is `python run_mnist.py --gpu`.

# %%
try:
    xp = backend.gpu()
    on_gpu = models.bound_given_y(model, model.layout.views(xp.asarray(theta)), x=xp.asarray(x), y=xp.asarray(y),
                                  eps=xp.asarray(eps))[0]
    print(f"on {machine.device_name(xp)}: largest difference {np.abs(backend.to_host(on_gpu) - ours).max():.0e} nats")
except ValueError as message:
    print("No GPU here:", message)

# %% [markdown]
# ## Autograd through our own code
#
# autograd traces a function by passing in boxes that stand for arrays and note each operation. A box has a namespace
# too. So autograd differentiates the very code that trains, and not a second copy of the model that may drift from
# it. That is what `check_pullback` does. Here it is for all of $L(x,y)$ (Eq. 7) and every network in it:

# %%
def bound(params):
    return models.bound_given_y(model, params, x=x, y=y, eps=eps)


rows = check_pullback(bound, {name: model.layout.views(theta)[name] for name in ("q(z|x,y)", "p(z|y)", "p(x|z)")},
                      verbose=False)
for row in rows[::2]:
    print(f"{row.name:<20} against {row.against}: largest difference {row.absolute:.0e}  {'ok' if row.ok else 'WRONG'}")
assert all(row.ok for row in rows)

# %% [markdown]
# Why then write pullbacks by hand? To understand them; to run on CuPy, which autograd does not know; and for speed.
# The gradient of the mean of $\log q(y|x)$ over 100 images, by both, on the same forward code:

# %%
digits = data.load("digits")
images, labels = digits.x_train[:100] / digits.white, digits.y_train[:100]
classifier = Model("m2", (0.1,) * 10, X=64, H=200).layout
start = classifier.initial(rng, "float64")
at_label = one_hot(labels, 10, images) / len(labels)


# %%
def value(theta):
    return (models.log_q_y(classifier.views(theta)["q(y|x)"], images)[0] * at_label).sum()


def by_hand(theta):
    log_q, pullback = models.log_q_y(classifier.views(theta)["q(y|x)"], images)
    return classifier.flatten({"q(y|x)": pullback(at_label)[0]}, theta)


# %%
def seconds(function, repeats=15):
    """The fastest of some calls: whatever else the computer does can only make one slower."""
    def once():
        began = time.perf_counter()
        function()
        return time.perf_counter() - began
    return min(once() for _ in range(repeats))


by_autograd = autograd.grad(value)
print(f"largest difference of the two gradients: {np.abs(by_autograd(start) - by_hand(start)).max():.0e}")
base, hand, auto = (seconds(lambda f=f: f(start)) for f in (value, by_hand, by_autograd))
print(f"time over that of the value alone: {hand / base:.1f} with pullbacks, {auto / base:.1f} with autograd")

# %% [markdown]
# ## The run axis
#
# Results need several seeds. Every array may have a leading axis $R$: $\theta$ is $(R,P)$, images are $(R,N,X)$, and
# `@`, sums over the last axis and biases of shape $(1,O)$ do the rest. $R$ runs are then one array program. Each has
# its own generator of random numbers, so that it must come out as if it had been alone.

# %% [markdown]
# **Yours: `bias_gradient(dy)`**, $\mathrm db$ of a dense layer (lesson 2) with or without a run axis: `dy` is $(N,O)$ or
# $(R,N,O)$, and the value $(1,O)$ or $(R,1,O)$. The next cell compares it with `layers.dense`.

# %% tags=["exercise"]
def bias_gradient(dy):
    """Σ_n dy_no.     (…,N,O) -> (…,1,O)"""

# %% tags=["check"]
bias_gradient = checks.bias_gradient(bias_gradient)

# %% [markdown]
# <details><summary>A solution</summary>
#
# ```python
# def bias_gradient(dy):
#     return dy.sum(axis=-2, keepdims=True)
# ```
# </details>

# %%
dy, W, b, x_r = (rng.standard_normal(shape) for shape in ((2, 5, 3), (2, 4, 3), (2, 1, 3), (2, 5, 4)))
db = layers.dense(W, b, x_r)[1](dy)[1]
print(f"two runs at once: {np.abs(bias_gradient(dy) - db).max():.0e} from layers.dense; run 1 by itself: "
      f"{np.abs(bias_gradient(dy[1]) - db[1]).max():.0e}")

# %% [markdown]
# **Predict.** Three runs together, and the same three one by one: by how much will their $\theta$ differ after 36 steps? By
# nothing, by rounding, or as much as two seeds do?

# %%
model = Model("gm-dgm", (0.1,) * 10, X=61, Z=5, H=32, hidden_layers=1)
recipe = Recipe("lesson", epochs=3, learning_rate=2e-3, labelled_batch=20, alpha=10, minimum_epoch=len(digits.x_train))


def theta_of(seeds):
    """θ (R,P) after three epochs of R runs at once."""
    rngs = [np.random.default_rng(seed) for seed in seeds]
    task = Task.prepare(digits, range(10), 10, rngs, minimum_sd=0)  # ten labels each; pixels that vary, 61 of 64
    for state, _ in train(model, recipe, task, rngs):
        pass
    return state.theta


# %%
together = theta_of([0, 1, 2])
alone = np.concatenate([theta_of([seed]) for seed in (0, 1, 2)])
print(f"θ of three runs at once, {together.shape}: at most {np.abs(together - alone).max():.1e} from one by one; "
      f"between two seeds: {np.abs(alone[0] - alone[1]).max():.1e}")

# %% [markdown]
# On a GPU the point is speed: starting an operation there takes about as long as a small operation itself, so that ten
# small runs at once cost little more than one. On a CPU the gain is smaller, and only for small networks, where
# Python's own time for each operation counts. A forward and backward pass of `mlp`, per run:

# %%
def pass_of(R, H, N=50):
    """A forward and backward pass of a network with H hidden units, for R runs."""
    shapes = (64, H), (1, H), (H, H), (1, H), (H, 10), (1, 10)
    weights = [rng.standard_normal((R, *shape), dtype=np.float32) for shape in shapes]
    x = rng.standard_normal((R, N, 64), dtype=np.float32)

    def once():
        out, pullback = layers.mlp(weights, x)
        return pullback(out)
    return once


# %%
runs, widths = (1, 2, 5, 10, 20), (8, 32, 128)
per_run = {H: np.array([seconds(pass_of(R, H)) / R for R in runs]) for H in widths}
for H, times in per_run.items():
    ratios = "  ".join(f"R = {R}: {ratio:.2f}" for R, ratio in zip(runs, times / times[0]))
    print(f"H = {H:<4} time per run, relative to one run alone: {ratios}")

# %%
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for (H, times), colour, style in zip(per_run.items(), COLOURS, ("o-", "s--", "^:")):
    ax.plot(runs, times / times[0], style, color=colour, label=f"H = {H} hidden units")
ax.axhline(1, color="0.6", linewidth=1)
ax.set(title="Runs at once on this CPU: the small ones gain", xlabel="R, runs at once", xticks=runs,
       ylabel="time per run / time of one run alone", ylim=(0, None))
ax.legend()
plt.show()

# %% [markdown]
# ## Questions
#
# **1.** Why does no function between θ and the objective draw random numbers of its own, but take them as arguments?
#
# <details><summary>Answer</summary>
#
# CuPy's generators do not give NumPy's numbers. With the noise as an argument the same noise can be given to both, and
# CPU and GPU must agree to rounding: a bug shows as a difference.
# </details>
#
# **2.** $R$ runs at once need $R$ times the memory. When are processes the better way?
#
# <details><summary>Answer</summary>
#
# On a CPU, for networks of the paper's size: one run fills the cores' caches by itself, Python's own time does not
# count, and a process for each core uses them all.
# </details>
#
# **3.** Adam changes $\theta$ in place, which the array API allows and autograd does not. Why is that no
# contradiction?
#
# <details><summary>Answer</summary>
#
# Nobody differentiates through Adam. Only what lies between $\theta$ and the objective has to be free of assignment.
# </details>
