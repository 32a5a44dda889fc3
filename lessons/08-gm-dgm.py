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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/microgmdgm/microgmdgm/blob/main/lessons/08-gm-dgm.ipynb)
#
# # 8. GM-DGM: one Gaussian a class
#
# **Claim.** GM-DGM moves the class from the decoder into the prior: every class has a Gaussian of its own in $z$, and
# the image is drawn from $z$ alone. So the class must be told through $z$, and Bayes' rule reads it from there. In
# M2's $z$ most of it is missing.
#
# **You need** lessons 3, 6 and 7: the KL of two Gaussians, the sum over y, the monitor. 75 minutes; the computer
# needs half a minute.
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
import checks, figures
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Ellipse
from microgmdgm import Model, Recipe, data, fit, marginal, models
from microgmdgm.adam import Adam
from microgmdgm.evaluation import monitor
from microgmdgm.parameters import add
from microgmdgm.plots import COLOURS, MARKERS
from scipy.special import logsumexp
from sklearn.neighbors import KNeighborsClassifier

# %% [markdown]
# ## The model, in one picture
#
# The generative model of the paper (Eq. 3–6), with parameters $\theta$:
#
# $$p(x,y,z)=p(x|z)\,p(z|y)\,p(y),\quad p(y)=\mathrm{Cat}(\pi),\quad p(z|y)=\mathcal N(\mu(y),\sigma^2(y)),\quad
# p(x|z)\text{ Bernoulli or Gaussian}.$$
#
# $\pi$ is the prior over classes, here the same for all; $\mu(y)$ and $\sigma^2(y)$ are two learnt vectors of $Z$ numbers for each of the $K$ classes: `params["p(z|y)"]`,
# with $\log\sigma^2(y)$ in the second. The encoders, with parameters $\phi$, are those of M2: $q(y,z|x)=q(z|x,y)\,
# q(y|x)$. This is Figure 1 of the paper, with M2's generative model beside it. A grey node is observed; an arrow says
# what is drawn from what.

# %%
figures.figure_1()
plt.show()

# %% [markdown]
# ## Its two bounds
#
# With a label (Eq. 7–8) and without (Eq. 9–10); $p(z|y)$ stands where M2 has $p(z)$, and that is all:
#
# $$L(x,y)=\mathbb E_{q(z|x,y)}[\log p(x|z)]-\mathrm{KL}(q(z|x,y)\,\|\,p(z|y))+\log p(y),$$
# $$L(x)=\sum_y q(y|x)\,\Big[\mathbb E_{q(z|x,y)}[\log p(x|z)]-\mathrm{KL}(q(z|x,y)\,\|\,p(z|y))\Big]
# -\mathrm{KL}(q(y|x)\,\|\,p(y)).$$
#
# The second is lesson 6's sum over $y$ of $q(y|x)[L(x,y)-\log q(y|x)]$, since
# $\sum_yq(y|x)[\log p(y)-\log q(y|x)]=-\mathrm{KL}(q(y|x)\,\|\,p(y))$. What is new is $p(z|y)$ and the KL to it.

# %% [markdown]
# **Yours: `log_p_z(mu_y, logvar_y, z)`**, $\log p(z|y)$ of each of $N$ points under each of the $K$ Gaussians, $(N,K)$. `z` is
# $(N,Z)$; `mu_y` and `logvar_y`, the two arrays of `params["p(z|y)"]`, are $(K,Z)$. (`z[:, None, :]` has an axis for the
# classes.)

# %% tags=["exercise"]
def log_p_z(mu_y, logvar_y, z):
    """log N(z; μ(y), σ²(y)).  Eq. 5.     2 × (K,Z), (N,Z) -> (N,K)"""

# %% tags=["check"]
log_p_z = checks.log_p_z(log_p_z)

# %% [markdown]
# <details><summary>A solution</summary>
#
# ```python
# def log_p_z(mu_y, logvar_y, z):
#     squares = (z[:, None, :] - mu_y)**2 * np.exp(-logvar_y)
#     return -0.5 * (np.log(2 * np.pi) + logvar_y + squares).sum(axis=-1)
# ```
# </details>

# %% [markdown]
# **Yours: `kl_given_y(mu, logvar, mu_y, logvar_y, y)`**, $\mathrm{KL}(q(z|x,y)\,\|\,p(z|y))$ of each of $P$ pairs of an image and
# a class, $(P,)$. `mu` and `logvar` of $q(z|x,y)$ are $(P,Z)$, and `y` $(P,)$ names the class of each pair.

# %% tags=["exercise"]
def kl_given_y(mu, logvar, mu_y, logvar_y, y):
    """KL(q(z|x,y) ‖ p(z|y)).     2 × (P,Z), 2 × (K,Z), (P,) -> (P,)"""

# %% tags=["check"]
kl_given_y = checks.kl_given_y(kl_given_y)

# %% [markdown]
# <details><summary>A solution</summary>
#
# ```python
# def kl_given_y(mu, logvar, mu_y, logvar_y, y):
#     mu0, logvar0 = mu_y[y], logvar_y[y]
#     return 0.5 * (logvar0 - logvar + np.exp(logvar - logvar0) + (mu - mu0)**2 * np.exp(-logvar0) - 1).sum(axis=-1)
# ```
# </details>

# %% [markdown]
# ## A case that can be computed exactly
#
# $\log p(x)$ of an image is an integral that no one can compute (lesson 5). With one number for $x$, one for $z$ and two
# classes it is a sum over a fine grid of $z$, and all can be seen: what the model says of $x$, where $z$ lies given
# $x$, and the bound below. $x$ comes from two lumps, one narrow and one wide; GM-DGM and M2, Gaussian in $x$, train on 300
# of them without labels. A step is Eq. 9 in full:

# %%
rng = np.random.default_rng(0)
points = np.concatenate([rng.normal(-1.5, 0.35, 150), rng.normal(1.5, 0.8, 150)])[:, None]


def uphill(model, theta, adam, rng):
    """A step of Adam on the mean of L(x), exact over y and with one sample of z."""
    params = model.layout.views(theta)
    log_q, q_pullback = models.log_q_y(params["q(y|x)"], points)
    pairs = marginal.exact(log_q)
    eps = rng.standard_normal((len(pairs.y), 1))
    L_xy, L_pullback = models.bound_given_y(model, params, x=points, y=pairs.y, eps=eps, example=pairs.example)
    _, sum_pullback = models.unlabelled_bound(log_q, L_xy, y=pairs.y, example=pairs.example, weight=pairs.weight)
    dlog_q, dL_xy = sum_pullback(np.float64(1 / len(points)))
    gradient = add({"q(y|x)": q_pullback(dlog_q)[0]}, L_pullback(dL_xy))
    adam.ascend(theta, model.layout.flatten(gradient, theta), 5e-3)


# %% [markdown]
# By quadrature: $\log p(x,z)=\log\sum_y p(y)\,p(z|y)\,p(x|y,z)$ at each place of the grid. Its sum is $p(x)$, its share is
# $p(z|x)$. The mean over $\varepsilon$ in the bound is taken on a grid, too.

# %%
grid = np.linspace(-9, 9, 1801)[:, None]


def gaussians_of_z(model, params):
    """μ(y) and log σ²(y), 2 × (K,Z); in M2 every class has N(0, I)."""
    return params["p(z|y)"] if model.name == "gm-dgm" else np.zeros((2, 2, 1))


def log_p_xz(model, params, x):
    """log p(x,z) of each x and each place of the grid.     (N,1) -> (N,1801)"""
    prior, by_class = log_p_z(*gaussians_of_z(model, params), grid), []
    for y in range(2):
        h, _ = models.decode(model, params, grid, y=np.full(len(grid), y))
        by_class.append(models.log_p_x(model, h[None], x=x[:, None, :])[0] + prior[:, y] + np.log(0.5))
    return np.logaddexp(*by_class)


# %%
def log_p(model, params, x):
    """log p(x).     (N,1) -> (N,)"""
    return logsumexp(log_p_xz(model, params, x), axis=1) + np.log(grid[1, 0] - grid[0, 0])


# %%
def bound(model, params, x):
    """L(x), Eq. 10, without a sample.     (N,1) -> (N,)"""
    log_q, _ = models.log_q_y(params["q(y|x)"], x)
    pairs = marginal.exact(log_q)
    (mu, logvar), _ = models.encode(params, x=x, y=pairs.y, example=pairs.example)
    L_xy = np.log(0.5) - kl_given_y(mu, logvar, *gaussians_of_z(model, params), pairs.y)
    eps = np.linspace(-6, 6, 201)
    for e, weight in zip(eps, np.exp(-0.5 * eps**2) / np.exp(-0.5 * eps**2).sum()):
        h, _ = models.decode(model, params, mu + np.exp(0.5 * logvar) * e, y=pairs.y)
        L_xy = L_xy + weight * models.log_p_x(model, h, x=x[pairs.example])[0]
    return (np.exp(log_q) * (L_xy.reshape(log_q.shape) - log_q)).sum(axis=1)


# %%
STEPS, line = (1, 3, 10, 30, 100, 300, 1000, 2000), np.linspace(-3.5, 5, 120)[:, None]

# %%
learnt, above = {}, -np.inf
for name in ("gm-dgm", "m2"):
    rng, rises = np.random.default_rng(1), []
    model = Model(name, (0.5, 0.5), X=1, Z=1, H=20, hidden_layers=1, likelihood="gaussian")
    theta = model.layout.initial(rng, "float64")
    adam = Adam.like(theta)
    for t in range(1, STEPS[-1] + 1):
        uphill(model, theta, adam, rng)
        if t in STEPS:
            L, exact = (of(model, model.layout.views(theta), points) for of in (bound, log_p))
            rises.append((L.mean(), exact.mean()))
            above = max(above, (L - exact).max())
    learnt[name] = model, model.layout.views(theta), np.array(rises)
    print(f"{name:<6} bound {L.mean():.3f}, log p(x) {exact.mean():.3f} nats, mean over the points")
print(f"largest L(x) − log p(x), of any point at any of these steps: {above:.4f} nats")

# %%
def draw_exact(axes, name, x):
    """p(x); p(z|x) of one x beside q(z|x); the bound and log p(x) while it trains."""
    model, params, rises = learnt[name]
    axes[0].hist(points[:, 0], 40, density=True, color="0.85", label="300 points")
    axes[0].plot(line, np.exp(log_p(model, params, line)), color=COLOURS[0], label="p(x), exact")
    axes[0].axvline(x, color="0.5", linestyle=":", label=f"x = {x}")
    posterior, q = np.exp(log_p_xz(model, params, np.array([[x]])))[0], np.zeros(len(grid))
    axes[1].plot(grid, posterior / posterior.sum() / 0.01, color=COLOURS[0], label="p(z|x), exact")
    for y, q_y in enumerate(np.exp(models.log_q_y(params["q(y|x)"], np.array([[x]]))[0][0])):
        stats = models.encode(params, x=np.array([[x]]), y=np.array([y]))[0]
        q += q_y * np.exp(log_p_z(*stats, grid)[:, 0])
    axes[1].plot(grid, q, "--", color=COLOURS[4], label="Σ q(y|x) q(z|x,y)")
    axes[2].semilogx(STEPS, rises[:, 1], "o-", color=COLOURS[0], label="log p(x), exact")
    axes[2].semilogx(STEPS, rises[:, 0], "s--", color=COLOURS[4], label="the bound L(x)")


# %%
figure, axes = plt.subplots(2, 3, figsize=(13, 6.4), layout="constrained")
for row, (name, title) in zip(axes, (("gm-dgm", "GM-DGM"), ("m2", "M2"))):
    draw_exact(row, name, 0.0)
    row[0].set(title=f"{title}: what it says of x", xlabel="x", ylabel="density")
    row[1].set(title="where z lies, given x = 0", xlabel="z", ylabel="density", xlim=(-5, 5))
    row[2].set(title="while it trains", xlabel="step", ylabel="mean over the points (nats)")
    for ax in row:
        ax.legend(fontsize=8)
plt.show()

# %%
for name, (model, params, _) in learnt.items():
    q = np.exp(models.log_q_y(params["q(y|x)"], points)[0])
    print(f"{name:<6} I(x;y) = {monitor(q, model.prior)['mutual_information']:.2f} nats; log 2 is {np.log(2):.2f}")

# %% [markdown]
# The bound is never above, at no point and at no step, and as it rises it closes up: in the end it loses less than a
# hundredth of a nat, for a Gaussian in $z$ is nearly what $p(z|x,y)$ is. Look where $p(z|x)$ of M2 leans to one side and
# $q$, a Gaussian for each $y$, does not: that is the loss. Both models come to the same $p(x)$, over the same plateau,
# where one lump is still described for both. With $x$ this simple both find the two lumps as classes.
#
# ## z while it trains
#
# Ten labels of each digit, and $Z=2$, so that all of $z$ can be seen: dots are test images at the mean of
# $q(z|x,y)$ for their most probable $y$, drawn by true digit; each ellipse holds two standard deviations of one
# class's $p(z|y)$. At the start all the Gaussians overlap.

# %%
digits = data.load("digits")
CLASSES = range(10)
recipe = Recipe("lesson", epochs=100, labelled_batch=50, learning_rate=4e-3, alpha=30,
                minimum_epoch=2 * len(digits.x_train))  # an epoch shows each image twice


def with_labels(name, epochs=(100,)):
    """GM-DGM or M2 on Eq. 2 with ten labels a digit.     -> the trained models after these epochs"""
    kept = {}
    fit(name, recipe, digits, labelled_classes=CLASSES, labels_per_class=10, extra_classes=0, Z=2, H=100,
        hidden_layers=1, watch=lambda epoch, terms, models: kept.update({epoch: models[0]}))
    return [kept[epoch] for epoch in epochs]


# %%
def draw_z(ax, trained, title):
    z = trained.encode(digits.x_test)
    for c in CLASSES:
        here = z[digits.y_test == c]
        ax.scatter(*here.T, s=14, marker=MARKERS[c], color=COLOURS[c], alpha=0.7, linewidths=0, label=c)
    if trained.model.name == "gm-dgm":
        for c, (mu, logvar) in enumerate(zip(*trained.params["p(z|y)"])):
            ax.add_patch(Ellipse(mu, *4 * np.exp(0.5 * logvar), fill=False, color=COLOURS[c], linewidth=2))
            ax.text(*mu, str(c), fontsize=13, weight="bold", ha="center", va="center")
    ax.set(title=title, xlabel="z₁", ylabel="z₂", aspect="equal")


epochs = (1, 3, 10, 30, 100)
stages = with_labels("gm-dgm", epochs)
(m2,) = with_labels("m2")

# %%
figure, axes = plt.subplots(2, 3, figsize=(12.5, 8.2), layout="constrained", dpi=75)
for ax, trained, epoch in zip(axes.flat, stages, epochs):
    right = (trained.predict(digits.x_test) == digits.y_test).mean()
    draw_z(ax, trained, f"GM-DGM, epoch {epoch}: q(y|x) right for {right:.0%}")
draw_z(axes[1, 2], m2, f"M2, epoch 100: q(y|x) right for {(m2.predict(digits.x_test) == digits.y_test).mean():.0%}")
axes[1, 2].legend(title="true digit", markerscale=2, loc="center left", bbox_to_anchor=(1, 0.5))
figure.suptitle("z of the test images (no unit) and the Gaussians p(z|y), two standard deviations")
plt.show()

# %% [markdown]
# In GM-DGM the Gaussians move apart and take their digits along; those of 1 and 8 are not done with it. In M2 every
# digit is spread over all of $z$: there the decoder is told $y$ anyway, and $z$ holds what is left, the style.
#
# ## The class, read from z alone
#
# Bayes' rule gives the class of a point $z$ in GM-DGM, without a classifier:
#
# $$p(y|z)=\frac{p(z|y)\,p(y)}{\sum_{y'}p(z|y')\,p(y')} .$$
#
# M2 has the same $p(z)$ for all classes, so that its $p(y|z)=p(y)$. To be fair to it we also ask a reader that knows
# neither model: the 15 nearest training images in $z$ vote.

# %% [markdown]
# **Yours: `class_of_z(log_p_z, prior)`**, $\log p(y|z)$ from $\log p(z|y)$ of $N$ points and $K$ classes, $(N,K)$, and the prior
# $p(y)$, $(K,)$. In the paper's experiment the prior is not flat: 1/10 for a labelled class and 1/20 for each of the others.

# %% tags=["exercise"]
def class_of_z(log_p_z, prior):
    """log p(y|z).     (N,K), (K,) -> (N,K)"""

# %% tags=["check"]
class_of_z = checks.class_of_z(class_of_z)

# %% [markdown]
# <details><summary>A solution</summary>
#
# ```python
# def class_of_z(log_p_z, prior):
#     log_p_zy = log_p_z + np.log(prior)
#     log_p_zy = log_p_zy - log_p_zy.max(axis=1, keepdims=True)
#     return log_p_zy - np.log(np.exp(log_p_zy).sum(axis=1, keepdims=True))
# ```
# </details>

# %%
gm_dgm = stages[-1]
z = gm_dgm.encode(digits.x_test)
log_p_y = class_of_z(log_p_z(*gm_dgm.params["p(z|y)"], z), gm_dgm.model.prior)
print(f"GM-DGM, Bayes' rule: {(log_p_y.argmax(axis=1) == digits.y_test).mean():.1%} of test images right from z alone")
for name, trained in (("GM-DGM", gm_dgm), ("M2", m2)):
    reader = KNeighborsClassifier(15).fit(trained.encode(digits.x_train), digits.y_train)
    print(f"{name}, neighbours in z: {reader.score(trained.encode(digits.x_test), digits.y_test):.1%}")

# %% [markdown]
# Two dimensions leave M2 no room for what $y$ already tells. With the 100 of the models of MNIST neighbours read 77.6 %
# of the classes from M2's $z$, and 98.6 % from GM-DGM's
# ([results](results/README.md#what-the-generative-half-is-for)).
#
# ## Without labels
#
# Lesson 7's M2, which has no labels and ten dimensions of $z$, and GM-DGM in the same situation. **Predict** $I(x;y)$ of
# GM-DGM after 100 epochs before you run it: near 0 as in M2, near $\log10=2.3$, or between?

# %%
def say(epoch, terms, models):
    if epoch in (1, 10, 30, 60, 100):
        information = monitor(models[0].predict_proba(digits.x_test), (0.1,) * 10)["mutual_information"]
        print(f"{models[0].model.name:<6} without labels, epoch {epoch:>3}: I(x;y) = {information:.2f} nats")


without = Recipe("lesson", epochs=100, learning_rate=2e-3, minimum_epoch=len(digits.x_train))
for name in ("m2", "gm-dgm"):
    fit(name, without, digits, labelled_classes=[], labels_per_class=0, extra_classes=0, Z=10, H=100, hidden_layers=1,
        watch=say)

# %% [markdown]
# M2 stays where it is. GM-DGM begins to use its classes: a class that tells $z$ where to lie lowers the cost of $z$, so
# that the bound gains from $y$ even where the decoder does not see it. But it is slow, and what it has after these
# epochs is far from the ten digits ($\log 10=2.3$ nats). The paper's models also have labels for half of the digits.
#
# ## Questions
#
# **1.** With $K=1$ GM-DGM and M2 are both a VAE. What is left of $p(z|y)$ then?
#
# <details><summary>Answer</summary>
#
# One Gaussian with a learnt mean and variance, in place of $\mathcal N(0,I)$. The encoder and decoder can shift and
# scale $z$ to match, so that nothing is gained or lost.
# </details>
#
# **2.** Why do the Gaussians not collapse onto the single points where their images are?
#
# <details><summary>Answer</summary>
#
# $\mathrm{KL}(q(z|x,y)\,\|\,p(z|y))$ grows without bound as $\sigma^2(y)$ goes to 0 while $q(z|x,y)$ stays spread
# out, and the $q(z|x,y)$ of the images of one class have different means: $p(z|y)$ has to cover them all.
# </details>
#
# **3.** You want images of a "3" in the style of a given "5". Which of the two models is made for it?
#
# <details><summary>Answer</summary>
#
# M2: encode the 5, keep $z$, decode with $y=3$ (lesson 7's rows). In GM-DGM the class is part of $z$; one would have
# to move $z$ from one Gaussian to the other and hope that the style goes along.
# </details>
