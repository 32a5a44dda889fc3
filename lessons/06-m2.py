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

# %% tags=["install"]
import importlib.util, subprocess, sys
PACKAGE = "microgmdgm[colab] @ git+https://github.com/microgmdgm/microgmdgm"
if not importlib.util.find_spec("microgmdgm"):  # on Colab; elsewhere this cell does nothing
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", PACKAGE], check=True)

# %% tags=["setup"]
import matplotlib.pyplot as plt
import numpy as np
from microgmdgm import Model, Recipe, data, distributions, marginal, models
from microgmdgm.batches import Task
from microgmdgm.plots import COLOURS
from microgmdgm.training import train

# %% [markdown]
# ## Two bounds and one objective
#
# Kingma and Welling's second model, M2, has a class $y$ with the prior $p(y)=\mathrm{Cat}(\pi)$ beside the latent
# $z$ with $p(z)=\mathcal N(0,I)$, and draws an image from both: $p(x,y,z)=p(x|y,z)\,p(y)\,p(z)$. Its encoders are
# $q(y|x)$, a classifier, and $q(z|x,y)=\mathcal N(\mu(x,y),\sigma^2(x,y))$.
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
# of each: 100 of 1,198 images have one.

# %%
digits = data.load("digits")
rng = np.random.default_rng(0)
task = Task.prepare(digits, range(10), 10, [rng], minimum_sd=0)
model = Model("m2", prior=(0.1,) * 10, X=len(task.pixels), Z=10, H=100, hidden_layers=1)
recipe = Recipe("lesson", epochs=60, labelled_batch=50, learning_rate=2e-3, alpha=30, minimum_epoch=len(digits.x_train))
for state, terms in train(model, recipe, task, [rng]):
    pass
params = model.layout.views(state.theta[0])
x_test = digits.x_test[:, task.pixels].astype(np.float32) / np.float32(digits.white)
log_q, _ = models.log_q_y(params["q(y|x)"], x_test)
right = log_q.argmax(axis=1) == digits.y_test
print(", ".join(f"mean {name} {value[0]:.2f}" for name, value in terms.items() if name != "objective"))
print(f"q(y|x) names {right.mean():.1%} of the test images")

# %% [markdown]
# ## The sum, written out
#
# `marginal.exact` lists all (image, class) pairs, `bound_given_y` gives $L(x,y)$ of each, and `unlabelled_bound`
# adds them up. One-hot $q(y|x)$ — 1 for one class, and so $H=0$ — must give $L(x,y)$ of that class back.

# %%
pairs = marginal.exact(log_q)
S = 50  # the mean over S samples of z, so that noise does not hide what we want to see
L_xy = np.zeros(log_q.shape)
for _ in range(S):
    eps = rng.standard_normal((len(pairs.y), model.Z), dtype=np.float32)
    bound, _ = models.bound_given_y(model, params, x=x_test, y=pairs.y, eps=eps, example=pairs.example)
    L_xy += bound.reshape(L_xy.shape) / S


# %%
def L(log_q, n):
    """L(x) of test image n under any q(y|x), log q (K,), by the package's sum."""
    one = marginal.exact(log_q[None])
    return models.unlabelled_bound(log_q[None], L_xy[n], y=one.y, example=one.example, weight=one.weight)[0]


sure = np.where(np.eye(10), 0.0, -700.0)  # log q of the ten one-hot q
apart = max(abs(L(sure[y], n) - L_xy[n, y]) for n in range(599) for y in range(10))
print(f"one-hot q: L(x) and L(x,y) are never more than {apart:.0e} nats apart")

# %% [markdown]
# ## The best q(y|x)
#
# $L(x)$ depends on $q$ as $\sum_y q(y)\,[L(x,y)-\log q(y)]$. Write $c=\log\sum_y e^{L(x,y)}$ and
# $q^*(y)=e^{L(x,y)-c}$; then $L(x)=c-\mathrm{KL}(q\,\|\,q^*)$. So the best is $q=q^*$, a softmax of the bounds: an
# unlabelled image itself says which class explains it best. Take an image that the model finds hard, and
# let $q$ be the softmax of $L(x,y)/\tau$: nearly one-hot for a small $\tau$, uniform for a large one, and $q^*$ at
# $\tau=1$.

# %%
n = distributions.entropy(distributions.log_softmax(L_xy)[0])[0].argmax()  # the image that leaves the most open
temperatures = np.logspace(-2, 2, 81)
curve = [L(distributions.log_softmax(L_xy[n] / t)[0], n) for t in temperatures]
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
c = np.log(np.exp(L_xy - L_xy.max(axis=1, keepdims=True)).sum(axis=1)) + L_xy.max(axis=1)
learnt = (np.exp(log_q) * (L_xy - log_q)).sum(axis=1)
print(f"the curve is highest at τ = {top:.2f}")
print(f"mean over test images: best possible L(x) {c.mean():.2f}, with the learnt q(y|x) {learnt.mean():.2f} nats")
print(f"the class of the largest L(x,y) is right for {(L_xy.argmax(axis=1) == digits.y_test).mean():.1%}")

# %% [markdown]
# The learnt $q(y|x)$ loses a little to $q^*$, as an encoder does; it gives its answer without trying all classes in
# the decoder.
#
# ## What α is for
#
# In $L(x,y)$ of a labelled image $q(y|x)$ does not occur: without the term with $\alpha$ the classifier would learn
# from unlabelled images only, through a decoder that learns the labels. We train with three values of $\alpha$ and
# look at the accuracy of $q(y|x)$, without any mapping of classes.

# %%
def accuracy_by_epoch(alpha):
    rng, accuracies = np.random.default_rng(0), []
    task = Task.prepare(digits, range(10), 10, [rng], minimum_sd=0)
    settings = Recipe("lesson", epochs=60, labelled_batch=50, learning_rate=2e-3, alpha=alpha, minimum_epoch=1198)
    for state, _ in train(model, settings, task, [rng]):
        log_q, _ = models.log_q_y(model.layout.views(state.theta[0])["q(y|x)"], x_test)
        accuracies.append(100 * (log_q.argmax(axis=1) == digits.y_test).mean())
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
# ## Exercise
#
# Write `bound_without_label(log_q, L_xy)`: $L(x)$ of each of $N$ images, of shape $(N,)$, from $\log q(y|x)$ and
# $L(x,y)$, both $(N,K)$.

# %% tags=["exercise"]
bound_without_label = None  # a function: def bound_without_label(log_q, L_xy): return …

# %% tags=["check"]
def check(bound_without_label):
    if bound_without_label is None:
        return "Not answered yet: write the function bound_without_label in the cell above and run both cells."
    rng = np.random.default_rng(1)
    log_q, L_xy = distributions.log_softmax(rng.standard_normal((4, 3)))[0], rng.standard_normal((4, 3))
    found = bound_without_label(log_q, L_xy)
    if np.shape(found) != (4,):
        return f"Wrong: one number per image, shape (4,), not {np.shape(found)}."
    for value, verdict in verdicts(np.exp(log_q), log_q, L_xy):
        if np.allclose(found, value):
            return verdict
    return "Wrong: a sum over y of q(y|x) times something. What is in the brackets?"


# %% tags=["check"]
def verdicts(q, log_q, L_xy):
    expected, entropy = (q * L_xy).sum(axis=1), -(q * log_q).sum(axis=1)
    return ((expected + entropy, "Right: the mean of L(x,y) under q, and the entropy of q."),
            (expected, "Wrong: the entropy is missing. Without it q would put everything on one class."),
            (expected - entropy, "Wrong: the sign of the entropy. Being unsure is rewarded, not punished."),
            ((expected + entropy) / 3, "Wrong by a factor K: the sum over y is weighted by q already; it is no mean."),
            (L_xy.mean(axis=1), "Wrong: the classes are weighted by q(y|x), not equally."),
            ((log_q * L_xy).sum(axis=1) + entropy, "Wrong: the weight is q, not log q."))


print(check(bound_without_label))

# %% [markdown]
# <details><summary>A solution</summary>
#
# ```python
# def bound_without_label(log_q, L_xy):
#     return (np.exp(log_q) * (L_xy - log_q)).sum(axis=1)
# ```
# </details>
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
# **2.** What is $L(x)$ if all $L(x,y)$ are the same number $a$, and which $q(y|x)$ is then the best?
#
# <details><summary>Answer</summary>
#
# $a+H(q)$: the uniform $q$ is the best, with $a+\log K$. If the classes explain an image equally well, the bound
# *wants* $q(y|x)$ to know nothing. Lesson 7 begins here.
# </details>
#
# **3.** Where does the prior $p(y)$ enter $L(x)$?
#
# <details><summary>Answer</summary>
#
# Through $\log p(y)$ in each $L(x,y)$. Together with the entropy it makes $-\mathrm{KL}(q(y|x)\,\|\,p(y))$: being
# far from the prior is what telling about $y$ costs, as $\mathrm{KL}(q(z|x,y)\,\|\,p(z))$ is for $z$.
# </details>
