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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/microgmdgm/microgmdgm/blob/main/lessons/07-collapse.ipynb)
#
# # 7. Posterior collapse in y
#
# **Claim.** Trained on the paper's objective without labels, M2 can learn a $q(y|x)$ that says nothing of $x$. The
# bound hardly shows it: it rises as it does where $y$ is learnt and ends less than a nat lower, because what
# $y$ could tell, $z$ can tell too. The collapse monitor, $I(x;y)$, shows it within ten epochs.
#
# **You need** lessons 5 and 6: the bound, and the sum over y. 45 minutes; the computer needs half a minute.
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
from microgmdgm import Recipe, data, fit
from microgmdgm.plots import COLOURS

# %% [markdown]
# ## How much does y tell?
#
# M2 (lesson 6) has a class $y$ with $K$ values and a classifier $q(y|x)$. Without labels nothing says what the
# classes should be; one hopes for one class a digit. Two entropies, $H(q)=-\sum_yq(y)\log q(y)$, say whether anything
# was learnt. Over the $N$ images let $\bar q(y)=\frac1N\sum_x q(y|x)$ be the mean of the classifier's answers. Then
#
# $$I(x;y)=H(\bar q)-\frac1N\sum_x H(q(y|x))$$
#
# is the **mutual information** of $x$ and $y$ under $q$, in nats: 0 if every image gets the same answer, and at most
# $\log K$, if the answers are sure and all classes equally common. There are two ways to 0: every $q(y|x)$ is the
# prior (both entropies are large), or every image lands in one class (both are 0). Nothing in it knows a true class.

# %% [markdown]
# **Yours: `information(q)`**, the monitor: $I(x;y)$ in nats of answers $q(y|x)$ $(N,K)$, in which some may be 0 exactly; let
# $0\cdot\log0$ count as 0. It watches the four models below.

# %% tags=["exercise"]
def information(q):
    """I(x;y) = H(mean of q) − mean of H(q).     q (N,K) -> number"""

# %% tags=["check"]
information = checks.information(information)

# %% [markdown]
# <details><summary>A solution</summary>
#
# ```python
# def information(q):
#     def entropy(q):
#         return -(q * np.log(np.where(q > 0, q, 1))).sum(axis=-1)
#     return entropy(q.mean(axis=0)) - entropy(q).mean()
# ```
# </details>
#
# The package's is `evaluation.monitor`, which also gives both entropies and counts the classes in use. It calls a model
# collapsed where $I(x;y)<\frac12\log2$, half the information of a fair coin.

# %%
K = 10
answers = {"sure, every class used": np.eye(K)[np.arange(100) % K],
           "the prior for every image": np.full((100, K), 1 / K),
           "one class for every image": np.eye(K)[np.zeros(100, int)]}
for name, q in answers.items():
    print(f"{name:<27} I(x;y) = {abs(information(q)):.2f} nats")

# %% [markdown]
# ## Four models, one objective
#
# All four are M2 on the digits and maximise Eq. 2, the sum over $y$ exact, with the same networks and the same Adam:
#
# 1. without labels;
# 2. with ten labels of each digit, the model of lesson 6;
# 3. with a single class: a VAE, which has no $y$ to learn;
# 4. without labels, but with a $z$ of two dimensions in place of ten.
#
# After each epoch we ask for the bound on the test images and for your monitor.
#
# **Predict.** Which of the four have $I(x;y)$ above 1 nat after 100 epochs, and how far apart are their bounds? Write it
# down before you run the next cells; the answer is in the figure.

# %%
digits = data.load("digits")
recipe = Recipe("lesson", epochs=100, labelled_batch=50, learning_rate=2e-3, alpha=30,
                minimum_epoch=len(digits.x_train))  # lesson 6's, for longer


def m2(K=10, Z=10, labelled_classes=(), labels_per_class=0):
    """M2 trained on Eq. 2.     -> the trained model; per epoch its bound and I(x;y) on test images"""
    history = []

    def watch(epoch, terms, models):
        history.append((models[0].bound(digits.x_test).mean(), information(models[0].predict_proba(digits.x_test))))
    trained, = fit("m2", recipe, digits, prior=(1 / K,) * K, Z=Z, H=100, hidden_layers=1, watch=watch,
                   labelled_classes=labelled_classes, labels_per_class=labels_per_class)
    return trained, np.array(history)


# %%
cases = {"no labels": {}, "10 labels a digit": {"labelled_classes": range(10), "labels_per_class": 10},
         "a VAE: no y at all": {"K": 1}, "no labels, Z = 2": {"Z": 2}}
runs = {}
for name, settings in cases.items():
    runs[name] = trained, history = m2(**settings)
    live = "  ".join(f"{epoch}: {history[epoch - 1, 1]:.2f}" for epoch in (1, 10, 25, 50, 100))
    print(f"{name:<20} I(x;y) after epoch {live}   bound {history[-10:, 0].mean():.2f} nats")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.4), layout="constrained")
for (name, (_, history)), colour, style in zip(runs.items(), (COLOURS[4], COLOURS[0], COLOURS[8], COLOURS[1]),
                                               ("-", "--", ":", "-.")):
    left.plot(history[:, 0], style, color=colour, linewidth=2, label=name)
    right.plot(history[:, 1], style, color=colour, linewidth=2, label=name)
left.set(title="The bound: it hardly tells them apart", xlabel="epoch", ylabel="L(x), mean over test images (nats)",
         ylim=(-30, -22))
right.axhline(np.log(10), color="0.6", linewidth=1)
right.text(0, np.log(10) - 0.12, "log 10, the most there can be", fontsize=9, color="0.35")
right.set(title="The monitor: it does", xlabel="epoch", ylabel="I(x; y) on test images (nats)")
left.legend(loc="lower right")
plt.show()

# %% [markdown]
# Without labels $y$ has collapsed onto the prior. Its bound is about that of a VAE, which is what it has become, and
# two thirds of a nat, of the more than ten that training gains, below that of the model whose $y$ names the digits.
# Nobody who watched the bound alone would see that one of them can classify and the other cannot. On MNIST, trained as
# in the paper, it is the same: without labels the $y$ of M2 has collapsed in each of five seeds
# ([results](results/README.md#without-any-label)).
#
# ## Why the bound does not mind
#
# Ten dimensions of $z$ are enough to tell nearly everything about an image, the digit included. Telling "it is a 3"
# costs about $\log 10=2.3$ nats, through $y$ as KL$(q(y|x)\,\|\,p(y))$ or through $z$ as part of its KL: the bound
# gains little by moving it from one to the other. What training sees is where the networks are *now*. At the start
# $y$ makes no difference to the decoder that has to do with the image, so that the $L(x,y)$ are about equal; and then
# a uniform $q(y|x)$ is the best (lesson 6: the bounds all equal). A $q(y|x)$ that is uniform gives the decoder no reason to
# tell the classes apart, and so it remains: a place where no small step is a gain.
#
# In pictures: one $z$ a row, and the class changed along the row. A decoder whose $y$ has collapsed draws the same
# image ten times.

# %% [markdown]
# **Yours: `share_of_y(drawn)`**, how much of a picture $y$ changes. `drawn` is $(n,K,D)$: $n$ values of $z$, $K$ classes, $D$
# pixels. Take the standard deviation over the classes, for each $z$ and pixel, and the mean of these; divide it by the
# standard deviation over everything.

# %% tags=["exercise"]
def share_of_y(drawn):
    """The standard deviation over y, relative to that over everything.     (n,K,D) -> number"""

# %% tags=["check"]
share_of_y = checks.share_of_y(share_of_y)

# %% [markdown]
# <details><summary>A solution</summary>
#
# ```python
# def share_of_y(drawn):
#     return drawn.std(axis=1).mean() / drawn.std()
# ```
# </details>

# %%
figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
for ax, name in zip(axes, ("no labels", "10 labels a digit")):
    drawn = np.stack([runs[name][0].sample(4, y, seed=3) for y in range(10)], axis=1)  # the same seed: the same z
    ax.imshow(figures.tiles(drawn.reshape(4, 10, 8, 8)), cmap="gray_r")
    ax.set(title=f"M2, {name}: y changes {100 * share_of_y(drawn):.0f} % of the image",
           xlabel="class y given to the decoder", ylabel="one z a row", xticks=np.arange(5, 100, 10), yticks=[])
    ax.set_xticklabels(range(10))
plt.show()

# %% [markdown]
# The fourth model shows the other side: two dimensions cannot tell everything, and there $y$ has something to add.
# Without any label it comes into use after some twenty epochs, and its bound then passes that of the collapsed model
# with five times the dimensions. So collapse is not what the bound likes best; it is where training gets stuck. This
# is the paper's remark in section 2.3, that encoder and decoder with enough capacity find a *locally* best bound
# without $y$. A starved $z$ is no cure: what $y$ tells then need not be the digit. A few labels of every class (lesson
# 6), a prior on $z$ that depends on $y$ (lesson 8) and a different way to train $q(y|x)$ (lessons 9 and 10) are
# attempts at one.
#
# ## Questions
#
# **1.** $I(x;y)=\log K$. Has the model found the true classes?
#
# <details><summary>Answer</summary>
#
# Not necessarily: it has found ten equally large groups, and is sure of them. Thick and thin strokes would do. The
# monitor can say that $y$ is empty, not that it is right; for that some truth is needed (lesson 9).
# </details>
#
# **2.** With ten labels of each digit $y$ did not collapse. Would ten labels of five of the digits do?
#
# <details><summary>Answer</summary>
#
# For those five. Unlabelled images of the other digits are then drawn into the five labelled classes, the only ones
# that mean something: half a collapse. That is the semi-unsupervised problem.
# </details>
#
# **3.** The monitor calls a model collapsed where $I(x;y)<\frac12\log 2$. Why not where it is exactly 0?
#
# <details><summary>Answer</summary>
#
# It never is exactly 0: networks at the start differ a little from image to image, and so do estimates. Half the
# information of a fair coin is a line well above that noise and well below any useful answer.
# </details>
