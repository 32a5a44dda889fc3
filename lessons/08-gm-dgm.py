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

# %% tags=["install"]
import importlib.util, subprocess, sys
PACKAGE = "microgmdgm[colab] @ git+https://github.com/microgmdgm/microgmdgm"
if not importlib.util.find_spec("microgmdgm"):  # on Colab; elsewhere this cell does nothing
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", PACKAGE], check=True)

# %% tags=["setup"]
import daft
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Ellipse
from microgmdgm import Recipe, data, distributions, fit
from microgmdgm.evaluation import monitor
from microgmdgm.plots import COLOURS, MARKERS
from sklearn.neighbors import KNeighborsClassifier

# %% [markdown]
# ## The model, in one picture
#
# The generative model of the paper (Eq. 3–6), with parameters $\theta$:
#
# $$p(x,y,z)=p(x|z)\,p(z|y)\,p(y),\quad p(y)=\mathrm{Cat}(\pi),\quad p(z|y)=\mathcal N(\mu(y),\sigma^2(y)),\quad
# p(x|z)\text{ Bernoulli or Gaussian}.$$
#
# $\mu(y)$ and $\sigma^2(y)$ are two learnt vectors of $Z$ numbers for each of the $K$ classes: `params["p(z|y)"]`,
# with $\log\sigma^2(y)$ in the second. The encoders, with parameters $\phi$, are those of M2: $q(y,z|x)=q(z|x,y)\,
# q(y|x)$. This is Figure 1 of the paper, with M2's generative model beside it. A grey node is observed; an arrow says
# what is drawn from what.

# %%
def add_graph(pgm, left, title, edges, observed, parameter):
    """A graphical model with its left side there; edges such as "yz", an arrow from y to z."""
    for node, place in {"y": (1.1, 3), "z": (1.7, 2), "x": (1.1, 1)}.items():
        pgm.add_node(node + title, f"${node}$", left + place[0], place[1], observed=node in observed)
    pgm.add_node("w" + title, rf"$\{parameter}$", left + 0.1, 2, fixed=True, offset=(-9, -4))
    for edge in edges:
        pgm.add_edge(edge[0] + title, edge[1] + title)
    for end in {edge[1] for edge in edges}:
        pgm.add_edge("w" + title, end + title, plot_params={"ec": "0.6", "fc": "0.6"})
    pgm.add_plate([left + 0.45, 0.4, 1.75, 3.1], label="each image", position="bottom right")
    pgm.add_text(left + 0.3, 3.7, title)


# %%
ours, encoders = ("yz", "zx"), ("xy", "xz", "yz")
graphs = (("(a) p, y latent", ours, "x", "theta"), ("(b) q, y latent", encoders, "x", "phi"),
          ("(c) p, y observed", ours, "xy", "theta"), ("(d) q, y observed", encoders[1:], "xy", "phi"),
          ("M2: p, y latent", ("yx", "zx"), "x", "theta"))
pgm = daft.PGM(dpi=75, grid_unit=1.8)
for i, settings in enumerate(graphs):
    add_graph(pgm, 2.7 * i, *settings)
pgm.render().text(0.5, 1.08, "Figure 1: GM-DGM's generative model p and encoders q; M2 for comparison",
                  transform=pgm.ax.transAxes, ha="center", fontsize=13)
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
# $\sum_yq(y|x)[\log p(y)-\log q(y|x)]=-\mathrm{KL}(q(y|x)\,\|\,p(y))$. The KL of two Gaussians is lesson 3's.
#
# ## z while it trains
#
# Ten labels of each digit, and $Z=2$, so that all of $z$ can be seen: dots are test images at the mean of
# $q(z|x,y)$ for their most probable $y$, drawn by true digit; each ellipse holds two standard deviations of one
# class's $p(z|y)$. At the start all the Gaussians overlap.

# %%
digits = data.load("digits")
CLASSES = range(10)
recipe = Recipe("lesson", epochs=100, labelled_batch=50, learning_rate=4e-3, alpha=30, minimum_epoch=2396)


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

# %%
def log_p_z_given_y(trained, z):
    """log p(z|y) of every point and class.     z (N,Z) -> (N,K)"""
    mu, logvar = trained.params["p(z|y)"]
    return distributions.gaussian(mu, logvar, x=z[:, None, :])[0]


gm_dgm = stages[-1]
log_prior = np.log(gm_dgm.model.prior)
log_p_y, _ = distributions.log_softmax(log_p_z_given_y(gm_dgm, gm_dgm.encode(digits.x_test)) + log_prior)
print(f"GM-DGM, Bayes' rule: {(log_p_y.argmax(axis=1) == digits.y_test).mean():.1%} of test images right from z alone")
for name, trained in (("GM-DGM", gm_dgm), ("M2", m2)):
    reader = KNeighborsClassifier(15).fit(trained.encode(digits.x_train), digits.y_train)
    print(f"{name}, neighbours in z: {reader.score(trained.encode(digits.x_test), digits.y_test):.1%}")

# %% [markdown]
# ## Without labels
#
# Lesson 7's M2, which has no labels and ten dimensions of $z$, and GM-DGM in the same situation:

# %%
def say(epoch, terms, models):
    if epoch in (1, 10, 30, 60, 100):
        information = monitor(models[0].predict_proba(digits.x_test), (0.1,) * 10)["mutual_information"]
        print(f"{models[0].model.name:<6} without labels, epoch {epoch:>3}: I(x;y) = {information:.2f} nats")


without = Recipe("lesson", epochs=100, learning_rate=2e-3, minimum_epoch=1198)
for name in ("m2", "gm-dgm"):
    fit(name, without, digits, labelled_classes=[], labels_per_class=0, extra_classes=0, Z=10, H=100, hidden_layers=1,
        watch=say)

# %% [markdown]
# M2 stays where it is. GM-DGM begins to use its classes: a class that tells $z$ where to lie lowers the cost of $z$, so
# that the bound gains from $y$ even where the decoder does not see it. But it is slow, and what it has after these
# epochs is far from the ten digits ($\log 10=2.3$ nats). The paper's models also have labels for half of the digits.
#
# ## Exercise
#
# Write `class_of_z(log_p_z, prior)`: $\log p(y|z)$ from $\log p(z|y)$ of $N$ points and $K$ classes, $(N,K)$, and the
# prior $p(y)$, $(K,)$. In the paper's experiment the prior is not flat: 1/10 for a labelled class and 1/20 for each of
# the others.

# %% tags=["exercise"]
class_of_z = None  # a function: def class_of_z(log_p_z, prior): return …

# %% tags=["check"]
def check(class_of_z):
    if class_of_z is None:
        return "Not answered yet: write the function class_of_z in the cell above and run both cells."
    log_p_z, prior = 5 * np.random.default_rng(1).standard_normal((6, 4)), np.array([0.4, 0.3, 0.2, 0.1])
    with np.errstate(all="ignore"):
        found, far = class_of_z(log_p_z, prior), class_of_z(log_p_z - 2000, prior)
    if np.shape(found) != (6, 4):
        return f"Wrong: one number per point and class, shape (6, 4), not {np.shape(found)}."
    for value, verdict in verdicts(log_p_z, prior):
        if np.allclose(found, value):
            if verdict.startswith("Right") and not np.allclose(far, value):
                return "Wrong for a z far from every class: e^-2000 is 0. Take the largest logarithm out (lesson 1)."
            return verdict
    return "Wrong: add the logarithms, then normalise over the classes."


# %% tags=["check"]
def verdicts(log_p_z, prior):
    log_softmax = distributions.log_softmax
    right = log_softmax(log_p_z + np.log(prior))[0]
    return ((right, "Right: Bayes' rule in logarithms, normalised over the classes."),
            (log_softmax(log_p_z)[0], "Wrong: p(y) is missing. With equal p(z|y) the answer must be the prior."),
            (log_p_z + np.log(prior), "Wrong: this is log p(z, y). Divide by the sum over the classes, p(z)."),
            (log_softmax(log_p_z + prior)[0], "Wrong: the prior is added as it is; its logarithm belongs there."),
            (np.exp(right), "Wrong: this is p(y|z); its logarithm is asked for."))


print(check(class_of_z))

# %% [markdown]
# <details><summary>A solution</summary>
#
# ```python
# def class_of_z(log_p_z, prior):
#     return distributions.log_softmax(log_p_z + np.log(prior))[0]
# ```
# </details>
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
# out, and spreads for different images of a class have different means: $p(z|y)$ has to cover them all.
# </details>
#
# **3.** You want images of a "3" in the style of a given "5". Which of the two models is made for it?
#
# <details><summary>Answer</summary>
#
# M2: encode the 5, keep $z$, decode with $y=3$ (lesson 7's rows). In GM-DGM the class is part of $z$; one would have
# to move $z$ from one Gaussian to the other and hope that the style goes along.
# </details>
