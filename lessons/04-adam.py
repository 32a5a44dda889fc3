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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/microgmdgm/microgmdgm/blob/main/lessons/04-adam.ipynb)
#
# # 4. Adam, and a classifier from 100 labels
#
# **Claim.** Adam takes steps of about the size of its learning rate, whatever the scale of the gradient: multiply the
# objective by 1,000 and it walks nearly the same path. With it a small network learns 100 labelled digits by heart,
# and errs on one new digit in nine: labels alone do not tell more, which is why the rest of the course looks at
# images without labels.
#
# **You need** lessons 1 and 2: the log-softmax, value and pullback. 50 minutes; the computer needs some ten seconds.
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
from microgmdgm import Model, data
from microgmdgm.adam import BETA1, BETA2, EPSILON
from microgmdgm.models import at, log_q_y
from microgmdgm.parameters import Layout
from microgmdgm.plots import COLOURS

# %% [markdown]
# ## The task
#
# scikit-learn's digits: 1,797 images of 8×8 pixels, of which a third is held out for testing. Ten labels of each
# digit, 100 in all, are what we train on. The network gives $\log q(y|x)$, the log-probability of each of $K=10$
# classes $y$ for an image $x$: dense, ReLU, dense, log-softmax. What it should make large is the mean of
# $\log q(y|x)$ over the labelled images. (Its negative is known as the *cross-entropy*.)
#
# All weights live in one flat vector $\theta$ of $P$ numbers; a `Layout` says which part of $\theta$ is which array.
# `digits.white` is the value of a white pixel, 16, so that the network sees numbers from 0 to 1.

# %% [markdown]
# **Yours: `label_term(layers, x, y)`**, this mean, one number, and its gradients by the network's arrays, a list like
# `layers`. `log_q_y(layers, x)` gives $\log q(y|x)$ $(N,K)$ and its pullback, which returns two things, `dlayers` and `dx`;
# `at(log_q, y)` gives of each row the column of its label $(N,)$, and its pullback, which returns one. Up in this order, and
# down in the reverse.

# %% tags=["exercise"]
def label_term(layers, x, y):
    """The mean of log q(y_n|x_n), and its gradients.     x (N,X), y (N,) -> number, [dW, db, …]"""

# %% tags=["check"]
label_term = checks.label_term(label_term)

# %% [markdown]
# <details><summary>A solution</summary>
#
# ```python
# def label_term(layers, x, y):
#     log_q, q_pullback = log_q_y(layers, x)
#     log_q_at_y, at_pullback = at(log_q, y)
#     dlayers, _ = q_pullback(at_pullback(np.full(len(y), 1 / len(y))))
#     return log_q_at_y.mean(), dlayers
# ```
# </details>

# %%
digits = data.load("digits")
rng = np.random.default_rng(0)
rows, y = data.hide_labels(digits.y_train, range(10), 10, rng)  # ten labels of each digit
x = digits.x_train[rows] / digits.white
model = Model("m2", (0.1,) * 10, X=64, H=64, hidden_layers=1, output_sd=1e-3)  # only its q(y|x) is used
layout = Layout({"q(y|x)": model.layout.networks["q(y|x)"]})
start = layout.initial(rng, "float64")
print(f"{len(y)} labelled images, θ has P = {layout.size} numbers")


# %%
def value_and_gradient(theta, scale=1.0):
    """scale × the mean of log q(y|x), and its gradient by θ, both through your function."""
    value, dlayers = label_term(layout.views(theta)["q(y|x)"], x, y)
    return scale * value, scale * layout.flatten({"q(y|x)": dlayers}, theta)


value, gradient = value_and_gradient(start)
print(f"at the start: mean log q(y|x) = {value:.3f}; if all classes are as likely it is log 1/10 = {np.log(0.1):.3f}")

# %% [markdown]
# The start is itself a check: its output weights are nearly 0 (`output_sd`), so that all logits are, and a network that
# knows nothing says so.
#
# ## Gradient ascent and Adam
#
# Gradient **ascent** moves $\theta$ along the gradient $g$ of the objective: $\theta\leftarrow\theta+\eta\,g$, with
# the learning rate $\eta$. How far that is depends on the size of $g$, and so on every scale in the problem.
#
# **Adam** (Kingma and Ba, 2015) keeps for each element of $\theta$ a running mean $m$ of the gradient and $v$ of its
# square, both 0 at first. At step $t=1,2,\dots$
#
# $$m\leftarrow\beta_1m+(1-\beta_1)\,g,\qquad v\leftarrow\beta_2v+(1-\beta_2)\,g^2,$$
# $$\hat m=\frac m{1-\beta_1^t},\qquad\hat v=\frac v{1-\beta_2^t},\qquad
# \theta\leftarrow\theta+\eta\,\frac{\hat m}{\sqrt{\hat v}+\epsilon},$$
#
# with $\beta_1=0.9$, $\beta_2=0.999$, $\epsilon=10^{-8}$. Both start at 0 and are too small at first; the hats put
# that right. $\hat m$ and $\sqrt{\hat v}$ grow alike with the scale of $g$, so that their ratio does not know it. At
# the very first step $\hat m=g$ and $\sqrt{\hat v}=|g|$: every element moves by $\pm\eta$.

# %% [markdown]
# **Yours: `adam_step(m, v, t, g, rate)`**, for $m$ and $v$ as they are *before* step $t$. It returns $m$ and $v$ as they are
# after it, and the change of $\theta$. `BETA1`, `BETA2` and `EPSILON` are the constants.

# %% tags=["exercise"]
def adam_step(m, v, t, g, rate):
    """Step t = 1, 2, …     m, v, g (P,) -> m, v and the change of θ, all (P,)"""

# %% tags=["check"]
adam_step = checks.adam_step(adam_step)

# %% [markdown]
# <details><summary>A solution</summary>
#
# ```python
# def adam_step(m, v, t, g, rate):
#     m = BETA1 * m + (1 - BETA1) * g
#     v = BETA2 * v + (1 - BETA2) * g**2
#     return m, v, rate * m / (1 - BETA1**t) / (np.sqrt(v / (1 - BETA2**t)) + EPSILON)
# ```
# </details>

# %%
for scale in (0.001, 1, 1000):
    gradient = value_and_gradient(start, scale)[1]
    change = adam_step(0 * start, 0 * start, 1, gradient, 0.01)[2]
    moved = np.abs(change)[np.abs(gradient) > 1e-5 * scale]
    print(f"objective × {scale:<6} largest |g| {np.abs(gradient).max():.1e}, "
          f"Adam's first step {moved.min():.5f} to {moved.max():.5f}")

# %%
def curve(step, steps=300, scale=1.0):
    """The objective, without the scale, after each step, and θ at the end."""
    theta, values = start.copy(), []
    for _ in range(steps):
        value, gradient = value_and_gradient(theta, scale)
        values.append(value / scale)
        step(theta, gradient)
    return values, theta


# %%
def ascent(rate):
    def step(theta, gradient):
        theta += rate * gradient
    return step


def by_adam(rate):
    m, v, t = 0 * start, 0 * start, 0

    def step(theta, gradient):
        nonlocal m, v, t
        m, v, change = adam_step(m, v, t := t + 1, gradient, rate)
        theta += change
    return step


# %%
SCALES = (0.001, 1, 1000)
with np.errstate(all="ignore"):
    plain = [curve(ascent(0.1), scale=scale)[0] for scale in SCALES]
adam = [curve(by_adam(0.01), scale=scale) for scale in SCALES]
apart = max(np.abs(np.subtract(adam[1][0], values)).max() for values, _ in adam)
print(f"mean log q(y|x) after 300 steps of Adam: {adam[1][0][-1]:.4f}; the three curves are at most {apart:.4f} apart")
print("after 300 steps of ascent:", ", ".join(f"{v[-1]:.4g} (objective × {s})" for v, s in zip(plain, SCALES)))

# %%
figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained", sharey=True)
titles = "Gradient ascent, rate 0.1", "Adam, rate 0.01"
for ax, title, curves in zip(axes, titles, (plain, [values for values, _ in adam])):
    for values, scale, colour, style in zip(curves, SCALES, (COLOURS[5], COLOURS[0], COLOURS[4]), ("-", "--", ":")):
        ax.plot(values, style, color=colour, linewidth=4 if style == "-" else 2.5, label=f"objective × {scale}")
    ax.set(title=title, xlabel="step", ylim=(-3, 0.1))
    ax.legend(loc="lower right")
axes[0].set_ylabel("mean log q(y|x) of the 100 labels (nats)")
plt.show()

# %% [markdown]
# **Predict, change, run.** Give both a rate ten times as large, `ascent(1)` and `by_adam(0.1)`. What becomes of each curve?
#
# <details><summary>What happens</summary>
#
# Ascent is better where the rate was too small ($-0.004$ in place of $-0.12$ nats at scale 1) and far worse where it was too
# large ($-479$ at scale 1,000). Adam still learns at all three scales, but its first steps are too long: the three curves
# are now up to half a nat apart. One rate has to be right for Adam; for ascent one for each scale.
# </details>
#
# ## What 100 labels are worth
#
# Every training image is soon classified perfectly. The test images are not, and more steps do not help: the network
# is sure of things that ten examples of a digit cannot tell. The other 1,098 training images lie there unused, only
# because nobody labelled them.

# %%
def accuracy(theta, images, classes):
    log_q, _ = log_q_y(layout.views(theta)["q(y|x)"], images / digits.white)
    return (log_q.argmax(axis=1) == classes).mean()


theta, step, records = start.copy(), by_adam(0.01), []
for t in range(301):
    if t % 5 == 0:
        records.append((t, accuracy(theta, digits.x_train[rows], y), accuracy(theta, digits.x_test, digits.y_test)))
    step(theta, value_and_gradient(theta)[1])
steps, on_labels, on_test = np.array(records).T
print(f"at the end: {on_labels[-1]:.1%} of the labelled images, {on_test[-1]:.1%} of the test images")

# %%
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.plot(steps, 100 * on_labels, color=COLOURS[0], label="the 100 labelled images")
ax.plot(steps, 100 * on_test, color=COLOURS[4], linestyle="--", label=f"{len(digits.y_test)} test images")
ax.set(title="A classifier from 100 labels", xlabel="step of Adam", ylabel="accuracy (%)", ylim=(0, 103))
ax.legend(loc="lower right")
plt.show()

# %% [markdown]
# ## Questions
#
# **1.** Adam takes a step of about $\eta$ even where the gradient is tiny. When is that bad, and what do recipes do
# about it?
#
# <details><summary>Answer</summary>
#
# Near the best $\theta$ the gradient of a minibatch is mostly noise, and steps of size $\eta$ wander about. Recipes
# let $\eta$ fall to 0 towards the end (`Recipe.decay_from`).
# </details>
#
# **2.** What does $\epsilon$ do to the claim?
#
# <details><summary>Answer</summary>
#
# It breaks it for gradients of the size of $\epsilon=10^{-8}$ and below: there the step is smaller than $\eta$. An
# objective multiplied by $10^{-9}$ would not train as before.
# </details>
#
# **3.** The test accuracy at the end could be raised by stopping at its highest point. Why would that number be worth
# nothing?
#
# <details><summary>Answer</summary>
#
# The test set would have chosen the step, and so taken part in training. The highest of many noisy numbers is too
# high; lesson 9 measures by how much.
# </details>
