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

# %% tags=["install"]
import importlib.util, subprocess, sys
PACKAGE = "microgmdgm[colab] @ git+https://github.com/microgmdgm/microgmdgm"
if not importlib.util.find_spec("microgmdgm"):  # on Colab; elsewhere this cell does nothing
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", PACKAGE], check=True)

# %% tags=["setup"]
import matplotlib.pyplot as plt
import numpy as np
from microgmdgm import Recipe, data, fit
from microgmdgm.evaluation import monitor
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
# prior (both entropies are large), or every image lands in one class (both are 0). `evaluation.monitor` gives all of
# these, without knowing a single true class.

# %%
K = 10
answers = {"sure, every class used": np.eye(K)[np.arange(100) % K],
           "the prior for every image": np.full((100, K), 1 / K),
           "one class for every image": np.eye(K)[np.zeros(100, int)]}
for name, q in answers.items():
    m = monitor(q, prior=(1 / K,) * K)
    print(f"{name:<27} H(mean q) {abs(m['marginal_entropy']):.2f}, mean H(q) {abs(m['conditional_entropy']):.2f}, "
          f"I(x;y) {abs(m['mutual_information']):.2f} nats, collapsed: {m['collapsed']}")

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
# After each epoch we ask for the bound on the test images and for the monitor.

# %%
digits = data.load("digits")
recipe = Recipe("lesson", epochs=100, labelled_batch=50, learning_rate=2e-3, alpha=30, minimum_epoch=1198)


def m2(K=10, Z=10, labelled_classes=(), labels_per_class=0):
    """M2 trained on Eq. 2.     -> the trained model; per epoch its bound and I(x;y) on test images"""
    history = []

    def watch(epoch, terms, models):
        figures = monitor(models[0].predict_proba(digits.x_test), (1 / K,) * K)
        history.append((models[0].bound(digits.x_test).mean(), figures["mutual_information"]))
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
# Nobody who watched the bound alone would see that one of them can classify and the other cannot.
#
# ## Why the bound does not mind
#
# Ten dimensions of $z$ are enough to tell nearly everything about an image, the digit included. Telling "it is a 3"
# costs about $\log 10=2.3$ nats, through $y$ as KL$(q(y|x)\,\|\,p(y))$ or through $z$ as part of its KL: the bound
# gains little by moving it from one to the other. What training sees is where the networks are *now*. At the start
# $y$ makes no difference to the decoder that has to do with the image, so that the $L(x,y)$ are about equal; and then
# a uniform $q(y|x)$ is the best (lesson 6, question 2). A $q(y|x)$ that is uniform gives the decoder no reason to
# tell the classes apart, and so it remains: a place where no small step is a gain.
#
# In pictures: one $z$ a row, and the class changed along the row. A decoder whose $y$ has collapsed draws the same
# image ten times.

# %%
figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
for ax, name in zip(axes, ("no labels", "10 labels a digit")):
    drawn = np.stack([runs[name][0].sample(4, y, seed=3) for y in range(10)], axis=1)  # the same seed: the same z
    ax.imshow(np.pad(drawn.reshape(4, 10, 8, 8), ((0, 0), (0, 0), (1, 1), (1, 1))).swapaxes(1, 2).reshape(40, 100),
              cmap="gray_r")
    spread = drawn.std(axis=1).mean() / drawn.std()
    ax.set(title=f"M2, {name}: y changes {100 * spread:.0f} % of the image", xlabel="class y given to the decoder",
           ylabel="one z a row", xticks=np.arange(5, 100, 10), yticks=[])
    ax.set_xticklabels(range(10))
plt.show()

# %% [markdown]
# (The percentage is the standard deviation of a pixel over $y$, relative to that over everything.)
#
# The fourth model shows the other side: two dimensions cannot tell everything, and there $y$ has something to add.
# Without any label it comes into use after some twenty epochs, and its bound then passes that of the collapsed model
# with five times the dimensions. So collapse is not what the bound likes best; it is where training gets stuck. This
# is the paper's remark in section 2.3, that encoder and decoder with enough capacity find a *locally* best bound
# without $y$. A starved $z$ is no cure: what $y$ tells then need not be the digit. Labels for some classes (lesson 6),
# a prior on $z$ that depends on $y$ (lesson 8) and a different way to train $q(y|x)$ (lessons 9 and 10) are attempts
# at one.
#
# ## Exercise
#
# Write `information(q)`, $I(x;y)$ in nats of answers $q(y|x)$ $(N,K)$, all of them above 0.

# %% tags=["exercise"]
information = None  # a function: def information(q): return …

# %% tags=["check"]
def check(information):
    if information is None:
        return "Not answered yet: write the function information in the cell above and run both cells."
    q = np.random.default_rng(1).dirichlet([0.3] * 4, 50) * 0.99 + 0.0025
    found, m = information(q), monitor(q, prior=(0.25,) * 4)
    if np.shape(found) != ():
        return f"Wrong: one number for all images, not an array of shape {np.shape(found)}."
    for value, verdict in verdicts(m["marginal_entropy"], m["conditional_entropy"], len(q)):
        if np.isclose(found, value):
            return verdict
    return "Wrong: the entropy of the mean, less the mean of the entropies, with the natural logarithm."


# %% tags=["check"]
def verdicts(of_mean, mean_of, N):
    return ((of_mean - mean_of, "Right: the entropy of the mean answer, less the mean entropy of an answer."),
            (mean_of - of_mean, "Wrong: the sign. The mean of many answers is less sure than they are."),
            (of_mean, "Wrong: this is H(mean q) alone, which is largest when y has collapsed onto a flat prior."),
            (mean_of, "Wrong: this is the mean of H(q(y|x)) alone: it is 0 when all images land in one class."),
            (-mean_of, "Wrong: this is -mean H(q(y|x)); the entropy of the mean answer is missing."),
            (of_mean - N * mean_of, "Wrong: the entropies of the images are averaged, not summed."),
            ((of_mean - mean_of) / np.log(2), "Wrong unit: these are bits. The natural logarithm gives nats."))


print(check(information))

# %% [markdown]
# <details><summary>A solution</summary>
#
# ```python
# def information(q):
#     mean = q.mean(axis=0)
#     return -(mean * np.log(mean)).sum() + (q * np.log(q)).sum(axis=1).mean()
# ```
# </details>
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
