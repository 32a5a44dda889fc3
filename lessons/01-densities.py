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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/microgmdgm/microgmdgm/blob/main/lessons/01-densities.ipynb)
#
# # 1. Densities you can differentiate
#
# **Claim.** A log-density computed from logits and log-variances is right, and has the right gradient, wherever a
# network's outputs may lead. Computed from probabilities and variances, the same density overflows, or stops
# learning where it is most wrong.
#
# **You need** NumPy and derivatives, and no lesson before this one. 45 minutes; the computer needs seconds.
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
from microgmdgm import check_pullback, distributions
from microgmdgm.plots import COLOURS

# %% [markdown]
# ## Three densities, and what a network gives them
#
# An example $x$ is a row of $D$ numbers $x_1, \dots, x_D$: the pixels of an image, say. A *density* (for whole
# numbers, a probability) says how likely a model finds $x$; we always take its logarithm, since a product of $D$
# small numbers is soon too small for a computer, and the sum of their logarithms is not. A network's outputs are
# real numbers of any sign and size. So each density takes parameters that may be any real number:
#
# | density | a network gives | the log-density |
# |---|---|---|
# | Gaussian, for real $x_d$ | means $\mu_d$ and log-variances $\log\sigma_d^2$, `logvar` in the code | $\log \mathcal N(x;\mu,\sigma^2)=-\tfrac12\sum_d\big[\log 2\pi+\log\sigma_d^2+(x_d-\mu_d)^2/\sigma_d^2\big]$ |
# | Bernoulli, for $x_d\in\{0,1\}$ | logits $l_d$, with $p(x_d=1)=1/(1+e^{-l_d})$ | $\log p(x)=\sum_d\big[x_d\,l_d-\log(1+e^{l_d})\big]$ |
# | categorical, for one class $y$ of $K$ | logits $l_1,\dots,l_K$ | $\log q(y)=l_y-\log\sum_j e^{l_j}$, the *log-softmax* |
#
# Logarithms are natural, and their unit is the **nat**: a nat less is a probability smaller by the factor $e=2.7$.
# $\log_2$ would give bits; one bit is 0.69 nats.

# %% [markdown]
# **Yours: `log_normal(mu, logvar, x)`**, the first row of the table. All three are $(N,D)$, one example a row; the value is
# $(N,)$, one number an example.

# %% tags=["exercise"]
def log_normal(mu, logvar, x):
    """log N(x; μ, σ²), summed over d.     all (N,D) -> (N,)"""

# %% tags=["check"]
log_normal = checks.log_normal(log_normal)

# %% [markdown]
# <details><summary>A solution</summary>
#
# ```python
# def log_normal(mu, logvar, x):
#     return -0.5 * (np.log(2 * np.pi) + logvar + (x - mu)**2 * np.exp(-logvar)).sum(axis=1)
# ```
# </details>

# %% [markdown]
# In the package each density is a function that returns its value and its **pullback**. For now: the pullback turns "how
# much does the objective change with this log-density" into "how much does it change with each parameter". Lesson
# 2 takes it apart.

# %%
mu, logvar = np.array([[0.0, 1.0]]), np.array([[0.0, -2.0]])  # one example, D = 2
x = np.array([[0.5, 1.5]])
log_p, pullback = distributions.gaussian(mu, logvar, x=x)
dmu, dlogvar = pullback(np.ones(1))  # the objective is log p itself: it changes with log p at rate 1
print("log N(x; μ, σ²)       ", log_p, " log_normal:", log_normal(mu, logvar, x))
print("derivative by μ       ", dmu, "  by hand, (x − μ)/σ²:", (x - mu) / np.exp(logvar))
print("derivative by log σ²  ", dlogvar, "  by hand, ½[(x − μ)²/σ² − 1]:", 0.5 * ((x - mu)**2 / np.exp(logvar) - 1))

# %% [markdown]
# The derivative of the Bernoulli log-density by its logit is $x-p$, and that of $\log q(y)$ by the logit $l_k$ is
# $[k=y]-q(k)$, with $[k=y]$ one where $k$ is $y$ and zero elsewhere: "what happened, less what was expected". Both
# are bounded. `check_pullback` compares every gradient with those of two methods that know nothing of our formulas:
# autograd and small differences.

# %%
rng = np.random.default_rng(0)
logits, bits = rng.standard_normal((4, 3)), rng.integers(0, 2, (4, 3))
for rows in (check_pullback(distributions.gaussian, *rng.standard_normal((2, 4, 3)), x=rng.standard_normal((4, 3))),
             check_pullback(distributions.bernoulli, logits, x=bits),
             check_pullback(distributions.log_softmax, logits)):
    assert all(row.ok for row in rows)

# %% [markdown]
# ## What goes wrong otherwise
#
# Here are the same densities as one would first write them, in the 32-bit numbers (*float32*) that networks are
# trained in. They hold nothing above $3.4\cdot10^{38}\approx e^{88.7}$, and no number between $1-6\cdot10^{-8}$ and
# $1$, so that $p=1/(1+e^{-l})$ is exactly $1$ from about $l=17$ on.

# %%
def naive_bernoulli(l, x, tiny=0.0):
    p = 1 / (1 + np.exp(-l))
    return x * np.log(p + tiny) + (1 - x) * np.log(1 - p + tiny)


def naive_log_softmax(logits):
    return np.log(np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True))


print("log p(x = 0)     naive   naive + 1e-10      ours")
for l in np.float32([[1], [10], [17], [100]]):
    with np.errstate(all="ignore"):
        values = naive_bernoulli(l, 0)[0], naive_bernoulli(l, 0, 1e-10)[0], distributions.bernoulli(l, x=0 * l)[0]
    print(f"l = {l[0]:<5.0f}   {values[0]:>12.5f}  {values[1]:>14.5f}  {values[2]:>8.5f}")

# %% [markdown]
# The small number `1e-10` hides the infinity and brings back a worse thing: for every $l$ above 17 the value is the
# same, so that the derivative is zero. The network is as wrong as it can be ($p = 1$, but $x = 0$) and learns
# nothing from it. The package adds nothing inside a logarithm and clips nothing; it writes
# $\log(1+e^l)=\max(l,0)+\log(1+e^{-|l|})$, in which no exponential can overflow, and takes the largest logit out of
# the log-softmax first.

# %% [markdown]
# **Yours: `log_sigmoid(l)`**, the log-probability $\log p(x=1)=-\log(1+e^{-l})$ for an array $l$, right in float32 from
# $l=-200$ to $l=200$. With $-l$ it is $\log p(x=0)$, and is drawn below.

# %% tags=["exercise"]
def log_sigmoid(l):
    """−log(1 + e^−l), element by element."""

# %% tags=["check"]
log_sigmoid = checks.log_sigmoid(log_sigmoid)

# %% [markdown]
# <details><summary>A solution</summary>
#
# ```python
# def log_sigmoid(l):
#     return np.minimum(l, 0) - np.log1p(np.exp(-np.abs(l)))
# ```
# </details>
#
# It is $x\,l-\log(1+e^l)$ at $x=1$ with $\log(1+e^l)=\max(l,0)+\log(1+e^{-|l|})$, and $l-\max(l,0)=\min(l,0)$.

# %%
l, s = np.linspace(-130, 130, 1041, dtype=np.float32), np.linspace(-12, 12, 961, dtype=np.float32)
pair, one = np.stack([l, 0 * l], axis=1), np.ones_like(s)[:, None]
with np.errstate(all="ignore"):
    naive = naive_bernoulli(l, 0), naive_log_softmax(pair)[:, 0], -0.5 * (np.log(2 * np.pi * s) + 1 / s)
    p = 1 / (1 + np.exp(-l))
    gradient = -p * (1 - p) / (1 - p + np.float32(1e-10))  # of log(1 − p + 1e-10)
ours, pullback = log_sigmoid(-l), distributions.bernoulli(l[:, None], x=0 * l[:, None])[1]
panels = [("Bernoulli, log p(x = 0)", "logit l", l, ours, naive[0]),
          ("its derivative by l", "logit l", l, pullback(np.ones_like(l))[:, 0], gradient),
          ("categorical of logits (l, 0), log q(1)", "logit l", l, distributions.log_softmax(pair)[0][:, 0], naive[1]),
          ("Gaussian, log N(1; 0, σ²)", "network's output: log σ² (ours), σ² (naive)", s,
           distributions.gaussian(0 * one, s[:, None], x=one)[0], naive[2])]

# %%
figure, axes = plt.subplots(2, 2, figsize=(10, 6.4), layout="constrained")
for ax, (title, label, output, right, wrong) in zip(axes.flat, panels):
    ax.plot(output, right, color=COLOURS[0], linewidth=4, alpha=0.5, label="from logits or log σ² (ours)")
    ax.plot(output, wrong, color=COLOURS[4], linewidth=1.5, linestyle="--", label="from p or σ² (naive)")
    ax.fill_between(output, 0, 1, where=~np.isfinite(wrong), transform=ax.get_xaxis_transform(), color="0.88",
                    label="naive is not a number, or infinite")
    ax.set(title=title, xlabel=label, ylabel="change of log p per unit of l" if "derivative" in title else "nats")
axes[1, 1].set(ylim=(-60, 5))
axes[0, 1].text(75, -0.55, "naive + 1e-10:\nno derivative where\nit is most needed", ha="center", fontsize=9)
axes[0, 0].legend(fontsize=8, loc="lower left")
figure.suptitle("The same densities in float32: written naively they end in infinity, nothing, or no gradient")
plt.show()

# %% [markdown]
# In the last panel both curves are right where both exist:
# they differ because the output means $\log\sigma^2$ for one and $\sigma^2$ for the other, and a network cannot be
# kept from putting out a negative variance. One limit is left to ours: below $\log\sigma^2\approx-88$ the precision
# $1/\sigma^2$ itself is too large for float32. A network is drawn there only by data that repeat a value exactly, which
# is why the package adds a little noise to real-valued $x$ in training.
# %% [markdown]
# **Predict, change, run.** Where will the naive curves end if all is computed in 64-bit numbers? In the cell of the curves put
# `float64` for both `float32`, decide where grey begins, and run it.
#
# <details><summary>What happens</summary>
#
# The naive Bernoulli now ends at $l\approx37$ in place of 17, since 64-bit numbers hold $1-10^{-16}$; the log-softmax, which
# failed where $e^{l}$ left the range, is right everywhere between $-130$ and $130$, for the range now ends at $l=710$. So
# more digits move the trouble and do not end it. The gradient of the form with `1e-10` is still gone, from $l\approx25$ on.
# </details>
#
# ## Questions
#
# **1.** Why does adding the same number to all logits leave the log-softmax as it is, and how does that help?
#
# <details><summary>Answer</summary>
#
# The number comes out of both terms: $l_y+c-\log\sum_je^{l_j+c}=l_y-\log\sum_je^{l_j}$. So the largest logit can be
# subtracted first; then every exponential is at most 1, and the sum at least 1.
# </details>
#
# **2.** A network that gives $\sigma$ itself could pass it through $|\cdot|$. Why is $\log\sigma^2$ still the better
# choice?
#
# <details><summary>Answer</summary>
#
# $|\cdot|$ has no derivative at 0, and near it $1/\sigma^2$ and its gradient explode: one step can turn a sharp
# density into an infinite one. A step in $\log\sigma^2$ multiplies the variance by a factor, which can make it
# neither zero nor negative.
# </details>
#
# **3.** The log-density of a Gaussian can be positive. The log-probability of a Bernoulli cannot. Why?
#
# <details><summary>Answer</summary>
#
# A density is probability *per unit of x*: where $\sigma$ is small it exceeds 1, as in the last panel. A
# probability is at most 1. So bounds on densities (lesson 5 on) can only be compared in the same units of $x$.
# </details>
