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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/microgmdgm/microgmdgm/blob/main/lessons/06-m2.ipynb)
#
# # 6. M2: summing out the class
#
# **Claim.** A class $y$ that nobody observed needs no samples: it has $K$ values, and the bound sums over all of them
# exactly. If $q(y|x)$ is sure of one class, the sum is the bound for a labelled image again; and the best $q(y|x)$
# is the one that weighs the classes by $e^{L(x,y)}$.
#
# **You need** lesson 5: the bound of a VAE. 50 minutes; the computer needs some twenty seconds.
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
from dataclasses import replace
import matplotlib.pyplot as plt
import numpy as np
from microgmdgm import Recipe, data, distributions, fit, marginal, models
from microgmdgm.plots import COLOURS

# %% [markdown]
# ## Two bounds and one objective
#
# Kingma and Welling's second model, M2, has a class $y$ with the prior $p(y)=\mathrm{Cat}(\pi)$, that is
# $p(y)=\pi_y$, here 1/10 for each, beside the latent $z$ with $p(z)=\mathcal N(0,I)$, and draws an image from both:
# $p(x,y,z)=p(x|y,z)\,p(y)\,p(z)$. Its encoders are $q(y|x)$, a classifier, and $q(z|x,y)=\mathcal N(\mu(x,y),\sigma^2(x,y))$.
#
# An image **with** its label $y$ has the bound of lesson 5, with $y$ known on both sides:
#
# $$L(x,y)=\mathbb E_{q(z|x,y)}[\log p(x|y,z)]-\mathrm{KL}(q(z|x,y)\,\|\,p(z))+\log p(y).$$
#
# **Without** a label $y$ is latent too, and the same steps as in lesson 5 give
#
# $$L(x)=\sum_y q(y|x)\,\big[L(x,y)-\log q(y|x)\big]=\sum_y q(y|x)\,L(x,y)+H(q(y|x)),$$
#
# where $H(q)=-\sum_y q(y)\log q(y)$ is the *entropy*: 0 if $q$ is sure, $\log K$ if it has no idea. Over the
# unlabelled data $D_u$ and the labelled data $D_\ell$ the objective is
#
# $$L(D_u,D_\ell)=\sum_{x\in D_u}L(x)+\sum_{(x,y)\in D_\ell}\big[L(x,y)+\alpha\log q(y|x)\big].\qquad(2)$$
#
# (The paper writes the last term as a loss; here everything is maximised.) We train M2 on the digits with ten labels
# of each: 100 of 1,198 images have one. `fit` is lesson 5's loop with Eq. 2 in the VAE's place: it prepares the images,
# hides the other labels, takes a step of Adam for each minibatch, and calls `watch` after each epoch. A `Recipe` holds
# its settings; all terms of the objective are means over the minibatch, so that $\alpha=30$ is a weight per image.

# %%
digits = data.load("digits")
recipe = Recipe("lesson", epochs=60, labelled_batch=50, learning_rate=2e-3, alpha=30,
                minimum_epoch=len(digits.x_train))  # an epoch shows each image once


def m2(recipe, watch=lambda epoch, terms, models: None):
    """M2 with ten labels of each digit and no class beyond those ten.     -> the trained model"""
    trained, = fit("m2", recipe, digits, labelled_classes=range(10), labels_per_class=10, extra_classes=0, Z=10, H=100,
                   hidden_layers=1, watch=watch)
    return trained


# %%
means = []
trained = m2(recipe, watch=lambda epoch, terms, models: means.append(terms))
print(", ".join(f"mean {name} {value[0]:.2f}" for name, value in means[-1].items() if name != "objective"))
print(f"q(y|x) names {(trained.predict(digits.x_test) == digits.y_test).mean():.1%} of the test images")

# %% [markdown]
# ## The sum, written out
#
# `marginal.exact` lists all (image, class) pairs, and `bound_given_y` gives $L(x,y)$ of each, with one sample of $z$. We
# take the mean over 50 samples, so that their noise does not hide what we want to see.

# %%
x_test = trained.inputs(digits.x_test)  # as the model sees them
log_q, _ = models.log_q_y(trained.params["q(y|x)"], x_test)
pairs, rng = marginal.exact(log_q), np.random.default_rng(0)
L_xy = np.zeros(log_q.shape)
for _ in range(50):
    eps = rng.standard_normal((len(pairs.y), trained.model.Z), dtype=np.float32)
    bound, _ = models.bound_given_y(trained.model, trained.params, x=x_test, y=pairs.y, eps=eps, example=pairs.example)
    L_xy += bound.reshape(L_xy.shape) / 50

# %% [markdown]
# **Yours: `bound_without_label(log_q, L_xy)`**, $L(x)$ of each image, $(N,)$, from $\log q(y|x)$ and $L(x,y)$, both $(N,K)$.

# %% tags=["exercise"]
def bound_without_label(log_q, L_xy):
    """L(x) = Σ_y q(y|x) [L(x,y) − log q(y|x)].     (N,K), (N,K) -> (N,)"""

# %% tags=["check"]
bound_without_label = checks.bound_without_label(bound_without_label)

# %% [markdown]
# <details><summary>A solution</summary>
#
# ```python
# def bound_without_label(log_q, L_xy):
#     return (np.exp(log_q) * (L_xy - log_q)).sum(axis=1)
# ```
# </details>

# %% [markdown]
# One-hot $q(y|x)$ (1 for one class, and so $H=0$) must give $L(x,y)$ of that class back; and the package's sum over the
# list of pairs, `unlabelled_bound`, must agree with yours.

# %%
apart = 0
for y in range(10):
    sure = np.broadcast_to(np.where(np.arange(10) == y, 0.0, -700.0), L_xy.shape)  # log q, one-hot at y
    apart = max(apart, np.abs(bound_without_label(sure, L_xy) - L_xy[:, y]).max())
print(f"one-hot q: L(x) and L(x,y) are never more than {apart:.0e} nats apart")
total, _ = models.unlabelled_bound(log_q, L_xy.reshape(-1), y=pairs.y, example=pairs.example, weight=pairs.weight)
print(f"mean of L(x): {bound_without_label(log_q, L_xy).mean():.3f}, by the package {total / len(x_test):.3f} nats")

# %% [markdown]
# ## The best q(y|x)
#
# $L(x)$ depends on $q$ as $\sum_y q(y)\,[L(x,y)-\log q(y)]$. Write $c=\log\sum_y e^{L(x,y)}$ and
# $q^*(y)=e^{L(x,y)-c}$; then $L(x)=c-\mathrm{KL}(q\,\|\,q^*)$. So the best is $q=q^*$, a softmax of the bounds: an
# unlabelled image itself says which class explains it best.

# %% [markdown]
# **Yours: `best_log_q(L_xy)`**, $\log q^*(y)$ of each image and class, $(N,K)$, from $L(x,y)$ $(N,K)$.

# %% tags=["exercise"]
def best_log_q(L_xy):
    """log q*(y) = L(x,y) − log Σ_y e^L(x,y).     (N,K) -> (N,K)"""

# %% tags=["check"]
best_log_q = checks.best_log_q(best_log_q)

# %% [markdown]
# <details><summary>A solution</summary>
#
# ```python
# def best_log_q(L_xy):
#     shifted = L_xy - L_xy.max(axis=1, keepdims=True)
#     return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
# ```
# </details>

# %% [markdown]
# Take an image that the model finds hard, and let $q$ be the softmax of $L(x,y)/\tau$: nearly one-hot for a small $\tau$, uniform for a large one, and $q^*$ at
# $\tau=1$.

# %%
n = distributions.entropy(best_log_q(L_xy))[0].argmax()  # the image that leaves the most open
temperatures = np.logspace(-2, 2, 81)
curve = [bound_without_label(best_log_q(L_xy[[n]] / t), L_xy[[n]])[0] for t in temperatures]
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 3.9), layout="constrained", width_ratios=(1, 2, 2))
left.imshow(digits.x_test[n].reshape(8, 8), cmap="gray_r")
left.set(title=f"a test image, a {digits.y_test[n]}", xticks=[], yticks=[])
middle.plot(range(10), L_xy[n], "o", markersize=9, color=COLOURS[0])
middle.grid(axis="y", alpha=0.4)
middle.set(title="L(x, y) of each class", xlabel="class y", ylabel="nats", xticks=range(10))
right.semilogx(temperatures, curve, color=COLOURS[0], label="L(x), q = softmax of L(x, y)/τ")
right.axhline(L_xy[n].max(), color=COLOURS[4], linestyle="--", label="largest L(x, y): q one-hot")
right.axvline(1, color="0.5", linestyle=":", label="τ = 1: q*")
right.set(title="L(x) under sharper and flatter q(y|x)", xlabel="temperature τ (no unit)", ylabel="nats")
right.legend(fontsize=8)
plt.show()

# %%
top = temperatures[np.argmax(curve)]
best = bound_without_label(best_log_q(L_xy), L_xy).mean()
learnt = bound_without_label(log_q, L_xy).mean()
print(f"the curve is highest at τ = {top:.2f}")
print(f"mean over test images: best possible L(x) {best:.2f}, with the learnt q(y|x) {learnt:.2f} nats")
print(f"the class of the largest L(x,y) is right for {(L_xy.argmax(axis=1) == digits.y_test).mean():.1%}")

# %% [markdown]
# The learnt $q(y|x)$ loses a little to $q^*$, as an encoder does; it gives its answer without trying all classes in
# the decoder.
#
# **Predict, change, run.** Suppose that every class explains an image equally well: put `np.zeros_like(L_xy)` for `L_xy` into
# both calls of `best`'s line. Which number comes out?
#
# <details><summary>What happens</summary>
#
# $\log K=\log10=2.303$ nats, the entropy of a uniform $q^*$. A bound that is the same for all classes is best where
# $q(y|x)$ knows nothing: lesson 7 begins here.
# </details>
#
# ## What α is for
#
# In $L(x,y)$ of a labelled image $q(y|x)$ does not occur: without the term with $\alpha$ the classifier would learn
# from unlabelled images only, through a decoder that learns the labels. We train with three values of $\alpha$ and
# look at the accuracy of $q(y|x)$, without any mapping of classes.

# %%
def accuracy_by_epoch(alpha):
    """The accuracy of q(y|x) on test images after each epoch, in %."""
    accuracies = []
    m2(replace(recipe, alpha=alpha), watch=lambda epoch, terms, models: accuracies.append(
        100 * (models[0].predict(digits.x_test) == digits.y_test).mean()))
    return accuracies


# %%
figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
for alpha, style, colour in ((0, ":", COLOURS[4]), (1, "--", COLOURS[1]), (30, "-", COLOURS[0])):
    ax.plot(accuracy_by_epoch(alpha), style, color=colour, linewidth=2, label=f"α = {alpha}")
ax.set(title="M2 with 100 labels: what the label term does", xlabel="epoch", ylabel="accuracy on test images (%)")
ax.legend()
plt.show()

# %% [markdown]
# Even at $\alpha=0$ the classifier gets there, since the decoder learns from the labelled images how each class looks
# and the unlabelled ones teach $q(y|x)$ to agree with it; but it comes late, and lessons 7 and 9 show cases where it
# does not come. With $\alpha>0$ a few epochs do. The final accuracies differ by less than other seeds would change
# them.
#
# ## Questions
#
# **1.** Why is the exact sum worth its price, $K$ passes through encoder and decoder for an image?
#
# <details><summary>Answer</summary>
#
# A sampled $y$ cannot be reparameterised (lesson 3, question 1), and the score function is noisy. The exact sum has
# no noise from $y$ at all. Lesson 10 gets most of this for fewer than two passes.
# </details>
#
# **2.** Where does the prior $p(y)$ enter $L(x)$?
#
# <details><summary>Answer</summary>
#
# Through $\log p(y)$ in each $L(x,y)$. Together with the entropy it makes $-\mathrm{KL}(q(y|x)\,\|\,p(y))$: being
# far from the prior is what telling about $y$ costs, as $\mathrm{KL}(q(z|x,y)\,\|\,p(z))$ is for $z$.
# </details>
