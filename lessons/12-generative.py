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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/microgmdgm/microgmdgm/blob/main/lessons/12-generative.ipynb)
#
# # 12. What the generative model is for
#
# **Claim.** A classifier gives an image one of its classes and no more. The model around it can also draw images of a
# class that nobody labelled, say how likely an image is, and tell two kinds of surprise apart: an image of a *new class*,
# which it has learnt by itself, and an image that is *like nothing it has seen*. One number does not do for both.
#
# **You need** lessons 5, 8 and 9: log p(x) by importance samples, p(z|y), slots. 60 minutes; the computer needs about
# a minute.
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
import json
from pathlib import Path
import matplotlib.pyplot as plt
import numpy as np
plt.ion()  # so that a figure that the package returns is shown
from microgmdgm import data, distributions, evaluation, fit, generative, marginal, models, plots, recipes, slots

# %% [markdown]
# ## A model
#
# Lesson 9's: ten labels for each of the digits 0, 1, 2, 8 and 9, none for the others. GM-DGM begins with 15 slots, and
# those that are one class are merged.

# %%
digits, known = data.load("digits"), [0, 1, 2, 8, 9]
trained, = fit("gm-dgm", recipes.FAST_SMALL, digits, H=150, labelled_classes=known, labels_per_class=10)
q = trained.predict_proba(digits.x_test)
counts = evaluation.contingency(q.argmax(axis=1), digits.y_test, trained.model.K, 10)
digit = evaluation.majority_map(counts)  # of each slot: for us to look at, the model does not know it
print(f"{trained.model.K} slots, of the digits {digit}; one to one {evaluation.one_to_one_accuracy(counts):.1%} right")

# %% [markdown]
# ## How many classes there are
#
# Nobody told it. The slots that were merged, and how clear that was, are kept with the model:

# %%
print(slots.in_words(trained))

# %% [markdown]
# $c$ is lesson 10's confusability: how easily random maps of an image lead from one slot to the other. A wide gap between
# the smallest $c$ that was merged and the largest that was not is the model's own sign that the number is right. It is a
# sign and no proof (lesson 9 has a run that ends with a slot too many), but it needs no label.
#
# ## Drawing a class that nobody labelled
#
# $z\sim p(z|y)$, then the mean of $p(x|z)$. Ten of each slot; those named "new" never had a label:

# %%
plots.samples(trained, "Samples of each slot")

# %% [markdown]
# Are they what they should be? A **reader** that knows neither model nor slots judges: a support vector machine, trained
# on all true labels for this purpose alone. And two numbers compare samples with test images: **precision**, the share
# of samples that lie among the images, and **recall**, the share of images that lie among the samples. ("Among": no
# further from one of them than that one's third neighbour.)

# %%
reader = generative.reader(digits.x_train / digits.white, digits.y_train)
y = np.repeat(np.arange(trained.model.K), 60)
drawn = trained.sample(len(y), y) / digits.white
read = generative.read_as(reader, drawn, digit[y], 10)
precision, recall = generative.precision_recall(digits.x_test / digits.white, drawn)
print(f"the reader is right for {reader.score(digits.x_test / digits.white, digits.y_test):.1%} of the test images")
print("samples read as their slot's digit:", ", ".join(f"{c}: {share:.0%}" for c, share in enumerate(read)))
print(f"precision {precision:.2f}, recall {recall:.2f}")

# %% [markdown]
# All of them, without a label for half of the digits. But recall is low, because each sample here is the *mean* of
# $p(x|z)$: smooth, and nearer to the middle of its class than a real image.
#
# ## How likely is an image?
#
# $p(x)=\sum_yp(y)\int p(x|z)\,p(z|y)\,\mathrm dz$. With $z_s\sim q(z|x,y)$ the mean of $w_{s,y}=p(x|z_s)\,p(z_s|y)\,p(y)/q(z_s|x,y)$
# over $S$ samples is the part of class $y$ (lesson 5), and the sum over $y$ is exact: $w_s=\sum_yw_{s,y}$.

# %%
few = generative.binarised(digits.x_test[:150], digits.white)  # a Bernoulli density is one of zeros and ones
rng = np.random.default_rng(0)


# %%
def log_weights(x, S):
    """log w_s of each image.     x (N,X) -> (S,N)"""
    pairs, log_w = marginal.exact(np.zeros((len(x), trained.model.K))), []
    mu, logvar = models.encode(trained.params, x=x, y=pairs.y, example=pairs.example)[0]
    of_class = [array[pairs.y] for array in trained.params["p(z|y)"]]
    for _ in range(S):
        z, _ = distributions.reparameterise(mu, logvar, eps=rng.standard_normal(mu.shape, dtype=np.float32))
        h, _ = models.decode(trained.model, trained.params, z, y=pairs.y)
        log_p_x, _ = models.log_p_x(trained.model, h, x=x[pairs.example])
        log_p_z, log_q_z = (distributions.gaussian(*stats, x=z)[0] for stats in (of_class, (mu, logvar)))
        log_w.append((log_p_x + log_p_z - log_q_z).reshape(len(x), -1) + np.log(trained.model.prior))
    return np.logaddexp.reduce(log_w, axis=2)

# %% [markdown]
# **Yours: `log_mean(log_w)`**, $\log\frac1S\sum_sw_s$ of each image, $(N,)$, from $\log w_s$ $(S,N)$. Here $\log w_s$ is about
# $-25$; on MNIST it is $-90$, and must do no harm.

# %% tags=["exercise"]
def log_mean(log_w):
    """log of the mean of w over the samples.     (S,N) -> (N,)"""

# %% tags=["check"]
log_mean = checks.log_mean(log_mean)

# %% [markdown]
# <details><summary>A solution</summary>
#
# ```python
# def log_mean(log_w):
#     top = log_w.max(axis=0)
#     return top + np.log(np.exp(log_w - top).mean(axis=0))
# ```
# </details>

# %%
log_w = log_weights(trained.inputs(few), S=100)
log_p, bound = log_mean(log_w), trained.bound(few)
print(f"log p(x) {log_p.mean():.2f}, bound {bound.mean():.2f} nats, mean over {len(few)} images; "
      f"the package's log p(x): {generative.log_likelihood(trained, few, samples=100).mean():.2f}")
here = np.isin(digits.y_test[:150], known)
for name, of in (("labelled", here), ("never-labelled", ~here)):
    print(f"{name + ' digits':<22} log p(x) {log_p[of].mean():.2f} nats")

# %% [markdown]
# Never-labelled digits are about as likely as the labelled ones. They have to be: their images were all in the training
# data, only their labels were not. So a low $\log p(x)$ does *not* find new classes.
#
# ## New, and like nothing seen
#
# Two questions, and three scores for each:
#
# - $P(\text{known})$, the sum of $q(y|x)$ over the slots that had labels;
# - the bound on $\log p(x)$;
# - **familiarity**: four numbers say how well the model knows $x$ (can the decoder draw it? does its $z$ lie where
#   $p(z|y)$ has its mass? how sure is $q(z|x,y)$? is there ink where no image had any?), and a mixture of Gaussians,
#   fitted to those of the training images, gives their log-density.
#
# A score is good if it ranks an image of the kind that we know above one of the other kind. **Predict** which of the three
# finds never-labelled digits, and which finds images that are like no digit.

# %% [markdown]
# **Yours: `ranks_higher(known, other)`**: of all pairs of a score from `known` $(N,)$ and one from `other` $(M,)$, the share in
# which the known one is the larger. A tie counts half. (It is known as AUROC; ½ is chance.)

# %% tags=["exercise"]
def ranks_higher(known, other):
    """The probability that a known one scores higher.     (N,), (M,) -> number"""

# %% tags=["check"]
ranks_higher = checks.ranks_higher(ranks_higher)

# %% [markdown]
# <details><summary>A solution</summary>
#
# ```python
# def ranks_higher(known, other):
#     known = known[:, None]
#     return (known > other).mean() + 0.5 * (known == other).mean()
# ```
# </details>

# %%
density = generative.Familiarity(generative.traits(trained, digits.x_train))
scores = {"P(known)": lambda x: trained.predict_proba(x)[:, :len(known)].sum(axis=1),
          "the bound": lambda x: trained.bound(x), "familiarity": lambda x: density(generative.traits(trained, x))}
images = digits.x_test.reshape(-1, 8, 8)
strange = {"white for black": 16 - images, "lying on its side": images.swapaxes(1, 2)[:, ::-1],
           "moved by a pixel": np.roll(images, 1, axis=2),
           "pixels shuffled": rng.permutation(digits.x_test.T).T}
is_known = np.isin(digits.y_test, known)
rows = {"never-labelled digits": (digits.x_test[is_known], digits.x_test[~is_known])}
rows |= {name: (digits.x_test, other.reshape(-1, 64)) for name, other in strange.items()}
print(f"{'known images against':<30}" + "".join(f"{name:>14}" for name in scores))
for name, (here, there) in rows.items():
    print(f"{name:<30}" + "".join(f"{ranks_higher(score(here), score(there)):>14.3f}" for score in scores.values()))

# %%
def draw_familiarity():
    """Histograms of the familiarity of the test images and of each kind of strange ones."""
    figure, ax = plt.subplots(figsize=(9, 3.8), layout="constrained")
    kinds = {"labelled digits": digits.x_test[is_known], "never-labelled digits": digits.x_test[~is_known]}
    kinds |= {name: other.reshape(-1, 64) for name, other in strange.items()}
    for (name, x), colour, style in zip(kinds.items(), plots.COLOURS, ("-", "-", "--", "--", ":", ":")):
        ax.hist(np.maximum(scores["familiarity"](x), -60), np.linspace(-60, 5, 60), histtype="step",
                density=True, linewidth=1.8, color=colour, linestyle=style, label=name)
    ax.set(title="How familiar an image is (all below −60 in the first bar)",
           xlabel="log-density of its four numbers (nats)", ylabel="density", yscale="log")
    ax.legend(fontsize=8)
    plt.show()


draw_familiarity()

# %% [markdown]
# $P(\text{known})$ finds the never-labelled digits nearly without an error. The other two do not find them at all (they
# rank them a little *higher* than the labelled ones): these digits *are* familiar. With images like no digit it is the other way round: $q(y|x)$ has to put them into some slot,
# known or not, while the bound and familiarity see at once that they are unlike the training data. They are strict: a
# digit moved by a single pixel is strange to a model that has only seen centred ones. So ask both: is it like anything
# seen, and if so, is it of a new class?
#
# ## On MNIST
#
# The same measures of the committed runs (`results/table1`, 15 slots at first, 100 labels a digit):

# %%
path = Path("results/table1/summary.json")
summary = json.loads(path.read_text())["models"] if path.exists() else {}
for name, model in summary.items():
    mean, sd = model["mean"], model["sd"]
    print(f"{name:<6} {mean['classes_found']:.0f} classes found, "
          f"log p(x) {mean['log_p_x']:.1f} ({sd['log_p_x']:.1f}) nats, "
          f"samples read as their slot's class {mean['samples_read']:.1%} ({sd['samples_read']:.1%})")
if not summary:
    print("No committed results here, as on Colab: README has the table.")

# %% [markdown]
# Here the two models differ at last, if by little: GM-DGM explains an image 0.7 nats better, and its samples of a class
# are a little more often of that class. In accuracy they are equal (lesson 9).
#
# ## Questions
#
# **1.** You watch a machine with such a model. It meets a kind of fault that is not in the training data at all. Which of
# the scores can notice it, and which cannot?
#
# <details><summary>Answer</summary>
#
# Familiarity and the bound can: they ask whether $x$ is like the training data. $P(\text{known})$ need not: $q(y|x)$ has to
# put the fault into *some* slot, and may be sure of a known one.
# </details>
#
# **2.** The samples of a class are read as that class, all of them, and yet the model is bad. How?
#
# <details><summary>Answer</summary>
#
# It may draw one perfect image of the class again and again. The reader and precision are content; recall is not.
# </details>
