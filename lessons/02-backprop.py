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

# %% tags=["install"]
import importlib.util, subprocess, sys
PACKAGE = "microgmdgm[colab] @ git+https://github.com/microgmdgm/microgmdgm"
if not importlib.util.find_spec("microgmdgm"):  # on Colab; elsewhere this cell does nothing
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", PACKAGE], check=True)

# %% tags=["setup"]
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
# or as matrices $\mathrm dW=x^\top\mathrm dy$ and $\mathrm dx=\mathrm dy\,W^\top$. That is the whole of
# `layers.dense`. For the ReLU, $h=\max(a,0)$ element by element, $\mathrm da$ is $\mathrm dh$ where $a>0$ and 0
# elsewhere.

# %%
rng = np.random.default_rng(0)
N, I, O = 5, 4, 3
W, b, x = rng.standard_normal((I, O)), rng.standard_normal((1, O)), rng.standard_normal((N, I))
y, pullback = layers.dense(W, b, x)
dy = rng.standard_normal(y.shape)
dW, db, dx = pullback(dy)
for name, ours, by_hand in (("dW", dW, np.einsum("ni,no->io", x, dy)), ("db", db, np.einsum("no->o", dy)[None]),
                            ("dx", dx, np.einsum("no,io->ni", dy, W))):
    print(f"{name} {ours.shape}: largest difference from the sums above {np.abs(ours - by_hand).max():.1e}")

# %% [markdown]
# ## A network is read forwards and differentiated backwards
#
# Two dense layers with a ReLU between them: keep each pullback on the way up, call them in reverse on the way down.
# The package's `mlp` (multi-layer perceptron) is this for any number of layers. Its weights come as one list,
# $[W_1,b_1,W_2,b_2,\dots]$.

# %%
def two_layers(W1, b1, W2, b2, x):
    a, first_pullback = layers.dense(W1, b1, x)
    h, relu_pullback = layers.relu(a)
    y, second_pullback = layers.dense(W2, b2, h)

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
# A check is worth something only if a wrong gradient fails it. Here the ReLU's mask is left out of the pullback, a
# slip that still trains, a little worse:

# %%
def relu_without_its_mask(a):
    h, _ = layers.relu(a)

    def pullback(dh):
        return dh
    return h, pullback


rows = check_pullback(relu_without_its_mask, rng.standard_normal((4, 3)))
assert not any(row.ok for row in rows)

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
# ## Exercise
#
# Write `product(W, x)`, the dense layer without its bias: $y=xW$, with $W$ $(I,O)$ and $x$ $(N,I)$. It returns the
# value and a pullback, which takes `dy` and returns `dW` and `dx`, in this order. Then change one sign and see what
# the check says.

# %% tags=["exercise"]
product = None  # a function: def product(W, x): …

# %% tags=["check"]
def check(product):
    if product is None:
        return "Not answered yet: write the function product in the cell above and run both cells."
    rng = np.random.default_rng(1)
    W, x, dy = rng.standard_normal((3, 3)), rng.standard_normal((5, 3)), rng.standard_normal((5, 3))
    y, pullback = product(W, x)
    if np.shape(y) != (5, 3) or not np.allclose(y, x @ W):
        return "Wrong: the value is not x W."
    grads = pullback(dy)
    if not isinstance(grads, (tuple, list)) or len(grads) != 2:
        return "Wrong: the pullback must return two gradients, dW and then dx."
    right = layers.dense(W, np.zeros((1, 3)), x)[1](dy)
    faults = [fault(name, found, g, dy) for name, found, g in zip(("dW", "dx"), grads, (right[0], right[2]))]
    return " ".join(filter(None, faults)) or "Right: dW = xᵀ dy and dx = dy Wᵀ, in the order of the arguments."


# %% tags=["check"]
def fault(name, found, right, dy):
    if np.shape(found) != right.shape:
        return f"Wrong: {name} must have the shape {right.shape} of {name[1]}, not {np.shape(found)}; are they swapped?"
    if np.allclose(found, right):
        return None
    for factor, why in ((-1, "has the wrong sign"), (1 / len(dy), "is a mean over the examples, and must be a sum")):
        if np.allclose(found, factor * right):
            return f"Wrong: {name} {why}."
    if name == "dW" and np.allclose(found, right.T):
        return "Wrong: dW is transposed. dW[i, o] belongs to W[i, o]."
    return f"Wrong: {name}. Write the sum for one element first: which yₙₒ does it act on, and with what slope?"


print(check(product))

# %% [markdown]
# <details><summary>A solution</summary>
#
# ```python
# def product(W, x):
#     def pullback(dy):
#         return x.T @ dy, dy @ W.T
#     return x @ W, pullback
# ```
# </details>
#
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
