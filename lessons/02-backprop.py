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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/microgmdgm/microgmdgm/blob/main/lessons/02-backprop.ipynb)
#
# # 2. Backprop by hand
#
# **Claim.** The gradient of a network is the pullbacks of its layers, called in reverse. Derived by hand it agrees
# with autograd to rounding, and with differences as well as differences can: to some twelve digits at the best step,
# and worse at any other.
#
# **You need** lesson 1's idea of a log-density, matrix products and the chain rule. 60 minutes; the computer needs
# seconds.
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
import matplotlib.pyplot as plt
import numpy as np
from microgmdgm import check_pullback, distributions, layers
from microgmdgm.plots import COLOURS

# %% [markdown]
# ## Value and pullback
#
# Let $F$ be the one number that we want to make large: the *objective*. For anything on the way to it, such as $y$,
# write $\mathrm dy$ for the gradient of $F$ with respect to $y$: an array of the shape of $y$, in the code `dy`.
#
# A layer $y=f(x)$ comes with its **pullback**, which answers one question: given $\mathrm dy$, what is $\mathrm dx$?
# By the chain rule
#
# $$\mathrm dx_i=\sum_o\frac{\partial y_o}{\partial x_i}\,\mathrm dy_o .$$
#
# Take the dense layer, $y=xW+b$: rows of $x$ are $N$ examples with $I$ inputs each, $W$ is $(I,O)$, $b$ is $(1,O)$
# and $y$ is $(N,O)$. Element by element $y_{no}=\sum_i x_{ni}W_{io}+b_o$. So $W_{io}$ acts on $y_{no}$ with slope
# $x_{ni}$, $b_o$ with slope 1, and $x_{ni}$ with slope $W_{io}$; each gradient sums over all that it acts on:
#
# $$\mathrm dW_{io}=\sum_n x_{ni}\,\mathrm dy_{no},\qquad \mathrm db_o=\sum_n\mathrm dy_{no},\qquad
# \mathrm dx_{ni}=\sum_o\mathrm dy_{no}\,W_{io},$$
#
# or as matrices $\mathrm dW=x^\top\mathrm dy$ and $\mathrm dx=\mathrm dy\,W^\top$.

# %% [markdown]
# **Yours: `linear(W, b, x)`**, this layer: its value and its pullback, a function that takes `dy` and returns `dW`, `db` and
# `dx`. The network below is made of it.

# %% tags=["exercise"]
def linear(W, b, x):
    """y = x W + b, and its pullback.     W (I,O), b (1,O), x (N,I) -> y (N,O), dy -> (dW, db, dx)"""

# %% tags=["check"]
linear = checks.linear(linear)

# %% [markdown]
# <details><summary>A solution</summary>
#
# ```python
# def linear(W, b, x):
#     def pullback(dy):
#         return x.T @ dy, dy.sum(axis=0, keepdims=True), dy @ W.T
#     return x @ W + b, pullback
# ```
# </details>

# %%
rng = np.random.default_rng(0)
N, I, O = 5, 4, 3
W, b, x = rng.standard_normal((I, O)), rng.standard_normal((1, O)), rng.standard_normal((N, I))
y, pullback = linear(W, b, x)
dy = rng.standard_normal(y.shape)
dW, db, dx = pullback(dy)
for name, ours, by_hand in (("dW", dW, np.einsum("ni,no->io", x, dy)), ("db", db, np.einsum("no->o", dy)[None]),
                            ("dx", dx, np.einsum("no,io->ni", dy, W))):
    print(f"{name} {ours.shape}: largest difference from the sums above {np.abs(ours - by_hand).max():.1e}")

# %% [markdown]
# ## A network is read forwards and differentiated backwards
#
# Between two dense layers stands the **ReLU**, $h=\max(a,0)$, element by element.

# %% [markdown]
# **Yours: `rectify(a)`**, its value and its pullback, for $a$ $(N,H)$. On which elements of $a$ does $h$ depend, and with what
# slope?

# %% tags=["exercise"]
def rectify(a):
    """h = max(a, 0), and its pullback.     a (N,H) -> h (N,H), dh -> da"""

# %% tags=["check"]
rectify = checks.rectify(rectify)

# %% [markdown]
# <details><summary>A solution</summary>
#
# ```python
# def rectify(a):
#     def pullback(dh):
#         return dh * (a > 0)
#     return np.maximum(a, 0), pullback
# ```
# </details>

# %% [markdown]
# A network: keep each pullback on the way up, call them in reverse on the way down.
# The package's `mlp` (multi-layer perceptron) is this for any number of layers. Its weights come as one list,
# $[W_1,b_1,W_2,b_2,\dots]$.

# %%
def two_layers(W1, b1, W2, b2, x):
    a, first_pullback = linear(W1, b1, x)
    h, relu_pullback = rectify(a)
    y, second_pullback = linear(W2, b2, h)

    def pullback(dy):
        dW2, db2, dh = second_pullback(dy)
        da = relu_pullback(dh)
        dW1, db1, dx = first_pullback(da)
        return dW1, db1, dW2, db2, dx
    return y, pullback


# %%
H = 6  # hidden units
weights = [rng.standard_normal(shape) for shape in ((I, H), (1, H), (H, O), (1, O))]
ours, our_pullback = two_layers(*weights, x)
theirs, their_pullback = layers.mlp(weights, x)
dlayers, dx = their_pullback(dy)
print("same value:    ", np.array_equal(ours, theirs))
print("same gradients:", all(np.array_equal(a, b) for a, b in zip(our_pullback(dy), [*dlayers, dx])))

# %% [markdown]
# ## Checked three ways
#
# 1. **By hand**: the pullback.
# 2. **autograd** runs the same forward code, notes each operation, and applies its own rules in reverse.
# 3. **Central differences** need no rule at all: $F'(\theta)\approx[F(\theta+h)-F(\theta-h)]/2h$ for a small step
#    $h$, one parameter $\theta$ at a time.
#
# `check_pullback` compares the first with both others, for every array that the function takes.

# %%
rows = check_pullback(layers.mlp, weights, x)
assert all(row.ok for row in rows)

# %% [markdown]
# A check is worth something only if a wrong gradient fails it. Here the ReLU's mask is left out of the pullback:

# %%
def relu_without_its_mask(a):
    h, _ = layers.relu(a)

    def pullback(dh):
        return dh
    return h, pullback


rows = check_pullback(relu_without_its_mask, rng.standard_normal((4, 3)))
assert not any(row.ok for row in rows)

# %% [markdown]
# ## It trains
#
# With gradients one can climb. The network shall learn $\sin t$ from 64 points: the objective is the mean log-density
# of the points, Gaussian around the network's output with $\sigma=1$, and each step moves all weights a little along
# their gradients. There is nothing in it but your two pullbacks and that of lesson 1's density.

# %%
t = np.linspace(-3, 3, 64)[:, None]


def fit_sine(steps=3000, rate=0.05, H=20):
    """Gradient ascent.     -> the network's weights, and the objective at each step"""
    rng, values = np.random.default_rng(0), []
    weights = [rng.standard_normal(shape) for shape in ((1, H), (1, H), (H, 1), (1, 1))]
    for _ in range(steps):
        y, pullback = two_layers(*weights, t)
        log_p, density_pullback = distributions.gaussian(y, 0 * y, x=np.sin(t))
        dy, _ = density_pullback(np.full(len(t), 1 / len(t)))
        weights = [w + rate * dw for w, dw in zip(weights, pullback(dy))]
        values.append(log_p.mean())
    return weights, values


# %%
learnt, values = fit_sine()
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
left.plot(t, np.sin(t), "o", color=COLOURS[5], label="the 64 points, sin t")
left.plot(t, two_layers(*learnt, t)[0], color=COLOURS[4], label="the network")
left.set(title="What it has learnt", xlabel="t", ylabel="y")
right.semilogx(range(1, 3001), values, color=COLOURS[0])
right.axhline(-0.5 * np.log(2 * np.pi), color="0.5", linestyle=":", label="most there can be, −½ log 2π")
right.set(title="The objective", xlabel="step", ylabel="mean log-density of a point (nats)", ylim=(-3, -0.7))
left.legend(), right.legend()
plt.show()
error = np.abs(two_layers(*learnt, t)[0] - np.sin(t)).mean()
print(f"objective {values[0]:.3f} at first, {values[-1]:.3f} at last; mean distance from sin t {error:.3f}")

# %% [markdown]
# **Predict, change, run.** Put $\mathrm da=\mathrm dh$ into `rectify`, the slip above, and do not run its check. Does the
# network still learn?
#
# <details><summary>What happens</summary>
#
# It does, only worse: it ends 0.17 from $\sin t$ in the mean and not 0.03. Nothing stops and nothing warns, and without the
# comparison nobody would know. So gradients are checked before anything is trained.
# </details>

# %% [markdown]
# ## How small a step?
#
# A central difference has two errors. Its formula leaves out a term of the order $h^2$. And $F$ is only known to
# a rounding error $\epsilon$ ($10^{-16}$ relative in 64-bit numbers, $10^{-7}$ in 32-bit ones), which is divided by
# $2h$. One falls with $h$, the other rises as $h$ falls: no step makes both small.

# %%
def F(t, dtype):
    """−log(1 + e^t), smooth, unlike the ReLU: lesson 1's Bernoulli at x = 0."""
    return distributions.bernoulli(np.array([[t]], dtype), x=np.zeros((1, 1), dtype))


steps, errors = np.logspace(-13, 0, 120), {}
slope = -1 / (1 + np.exp(-1.0))  # F′(1) by calculus
for dtype in (np.float64, np.float32):
    differences = [(float(F(1 + h, dtype)[0][0]) - float(F(1 - h, dtype)[0][0])) / (2 * h) for h in steps]
    errors[dtype.__name__] = np.abs(np.array(differences) / slope - 1)
for name, error in errors.items():
    print(f"{name}: relative error {error[error.argmin()]:.0e} at the best step, {steps[error.argmin()]:.0e}")
pullback_error = abs(F(1, np.float64)[1](np.ones(1))[0, 0] / slope - 1)
print(f"float64: relative error {pullback_error:.0e} of the pullback")

# %%
figure, ax = plt.subplots(figsize=(8, 4.8), layout="constrained")
for (name, error), colour, marker in zip(errors.items(), COLOURS, "os"):
    ax.loglog(steps, error, marker, color=colour, markersize=4, label=f"central difference, {name}")
ax.loglog(steps, steps**2 / 20, "k--", linewidth=1, label="∝ h²: what the formula leaves out")
for epsilon, style in ((1e-16, ":"), (6e-8, "-.")):
    ax.loglog(steps, epsilon / steps, "k" + style, linewidth=1, label=f"{epsilon:.0e} / h: rounding")
ax.axhline(max(pullback_error, 1e-16), color=COLOURS[2], linewidth=3, alpha=0.6, label="pullback, float64")
ax.axvline(1e-5, color="0.6", linewidth=1)
ax.text(1.4e-5, 3e-15, "step of check_pullback", fontsize=9, color="0.3")
ax.set(title="Differences have a best step; a pullback needs none", xlabel="step h (in units of the parameter)",
       ylabel="relative error of the derivative", ylim=(3e-17, 1e6))
ax.legend(fontsize=8, loc="upper center", ncols=2)
plt.show()

# %% [markdown]
# ## Questions
#
# **1.** The gradient by differences of a network with $P$ parameters takes $2P$ evaluations of it. What does the
# pullback take?
#
# <details><summary>Answer</summary>
#
# About two more: each product $xW$ of the forward pass has two in the pullback, $x^\top\mathrm dy$ and
# $\mathrm dy\,W^\top$, whatever $P$ is. This is why networks can be trained.
# </details>
#
# **2.** Why does a layer return its pullback, and not store its inputs in an object for a later `backward()`?
#
# <details><summary>Answer</summary>
#
# A network may be called twice before any gradient is taken: on labelled and unlabelled images, say. An object would
# have overwritten the first call's inputs. Each pullback keeps its own, and they die with it.
# </details>
#
# **3.** A difference across the kink of a ReLU disagrees with the pullback though neither has a bug. Why, and why is
# it rare?
#
# <details><summary>Answer</summary>
#
# Where $a$ lies within $h$ of 0, the step ahead and the step behind lie on different branches, and their mean slope
# belongs to neither. With $h=10^{-5}$ and inputs of size 1 that happens about once in $10^5$ elements.
# </details>
