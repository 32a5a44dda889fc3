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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/microgmdgm/microgmdgm/blob/main/lessons/05-vae.ipynb)
#
# # 5. A variational autoencoder
#
# **Claim.** $\log p(x)$ of a model with a latent $z$ cannot be computed, but a bound $L(x)$ below it can: what $z$
# tells of $x$, less what it costs to tell it. Raising the bound trains the network that reads images and the one that
# draws them, together.

# %% tags=["install"]
import importlib.util, subprocess, sys
PACKAGE = "microgmdgm[colab] @ git+https://github.com/microgmdgm/microgmdgm"
if not importlib.util.find_spec("microgmdgm"):  # on Colab; elsewhere this cell does nothing
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", PACKAGE], check=True)

# %% tags=["setup"]
import matplotlib.pyplot as plt
import numpy as np
from microgmdgm import Model, Recipe, data, distributions, models
from microgmdgm.batches import Task
from microgmdgm.plots import COLOURS, MARKERS
from microgmdgm.training import train

# %% [markdown]
# ## The bound
#
# The model tells how an image $x$ comes about. A latent $z$, a point of $Z$ dimensions, is drawn from
# $p(z)=\mathcal N(0,I)$; a network, the **decoder**, turns $z$ into the logit of each pixel, and the pixels are
# drawn from the Bernoulli density $p(x|z)$. How likely is an image then? Every $z$ could have been its origin:
#
# $$p(x)=\int p(x|z)\,p(z)\,\mathrm dz ,$$
#
# and no one can compute this integral through a network. So a second network, the **encoder**, reads $x$ and proposes
# where to look, $q(z|x)=\mathcal N(z;\mu(x),\sigma^2(x))$. The logarithm of a mean is at least the mean of the
# logarithms (Jensen's inequality), and so
#
# $$\log p(x)=\log\,\mathbb E_{q(z|x)}\Big[\frac{p(x|z)\,p(z)}{q(z|x)}\Big]\;\ge\;
# \mathbb E_{q(z|x)}\Big[\log\frac{p(x|z)\,p(z)}{q(z|x)}\Big]
# =\underbrace{\mathbb E_{q(z|x)}[\log p(x|z)]}_{\text{reconstruction}}-
# \underbrace{\mathrm{KL}(q(z|x)\,\|\,p(z))}_{\text{cost of }z}=L(x).$$
#
# One sample $z=\mu+\sigma\cdot\varepsilon$ (Eq. 1, lesson 3) stands for the expectation; the KL has its closed form.
# What the inequality loses is $\mathrm{KL}(q(z|x)\,\|\,p(z|x))$, nothing if the encoder is perfect.
#
# In the package a variational autoencoder (VAE) is the model `m2` of the next lesson with a single class. We give it
# $Z=2$, so that all of $z$ can be drawn.

# %%
digits = data.load("digits")
rng = np.random.default_rng(0)
task = Task.prepare(digits, labelled_classes=[], labels_per_class=0, rngs=[rng], minimum_sd=0)  # no labels
model = Model("m2", prior=(1.0,), X=len(task.pixels), Z=2, H=100, hidden_layers=2)
recipe = Recipe("lesson", epochs=150, learning_rate=2e-3, minimum_epoch=len(digits.x_train))
x_test = (rng.random((599, model.X)) < digits.x_test[:, task.pixels] / digits.white).astype(np.float32)
one_class = np.zeros(len(x_test), int)


def two_terms(params):
    """The reconstruction and the cost of z, of each test image."""
    (mu, logvar), _ = models.encode(params, x=x_test, y=one_class)
    z, _ = distributions.reparameterise(mu, logvar, eps=rng.standard_normal(mu.shape, dtype=np.float32))
    logits, _ = models.decode(model, params, z, y=one_class)
    return distributions.bernoulli(logits, x=x_test)[0], distributions.standard_gaussian_kl(mu, logvar)[0]


# %%
terms = []
for state, _ in train(model, recipe, task, [rng]):  # Adam on the gradient of L(x), in minibatches
    params = model.layout.views(state.theta[0])
    terms.append([term.mean() for term in two_terms(params)])
terms = np.array(terms)
bound = terms[:, 0] - terms[:, 1]
figure, ax = plt.subplots(figsize=(8, 4.4), layout="constrained")
ax.plot(terms[:, 0], color=COLOURS[2], linestyle="--", label="reconstruction, E log p(x|z)")
ax.plot(-terms[:, 1], color=COLOURS[1], linestyle=":", linewidth=2.5, label="less the cost of z, −KL(q(z|x) ‖ p(z))")
ax.plot(bound, color=COLOURS[0], label="their sum, the bound L(x)")
ax.set(title="The bound and its two terms while a VAE trains", xlabel="epoch", ylabel="mean over test images (nats)")
ax.legend(loc="center", bbox_to_anchor=(0.7, 0.65))
plt.show()
print(f"at the end: {terms[-1, 0]:.1f} - {terms[-1, 1]:.1f} = {bound[-1]:.1f} nats")

# %% [markdown]
# The two terms pull against each other. With $q(z|x)=p(z)$ telling about $z$ would cost nothing, but $z$ would say
# nothing of $x$. The sharper $q(z|x)$ is, the better the reconstruction, and the higher the cost. Training pays for
# a nat of $z$ as long as it buys more than a nat of reconstruction. In the first epochs it buys none: the decoder only
# learns the mean image, and the cost of $z$ falls to 0 until a first difference between images is worth telling.
#
# ## How far below log p(x)?
#
# The ratio $w=p(x|z)\,p(z)/q(z|x)$ has the mean $p(x)$ over $z\sim q(z|x)$. With the mean of $S$ such ratios inside
# the logarithm, in place of one, the bound rises with $S$, towards $\log p(x)$ itself (Burda et al., 2015).

# %%
S = 1000
few, y, log_w = x_test[:200], np.zeros(200, int), np.zeros((S, 200))
(mu, logvar), _ = models.encode(params, x=few, y=y)
for s in range(S):
    z, _ = distributions.reparameterise(mu, logvar, eps=rng.standard_normal(mu.shape, dtype=np.float32))
    log_p_x = distributions.bernoulli(models.decode(model, params, z, y=y)[0], x=few)[0]
    log_p_z = distributions.gaussian(np.zeros_like(z), np.zeros_like(z), x=z)[0]
    log_w[s] = log_p_x + log_p_z - distributions.gaussian(mu, logvar, x=z)[0]


def bound_with(samples):
    """The bound with that many samples inside the logarithm, of each image; 1: the bound L(x)."""
    groups = log_w.reshape(S // samples, samples, 200)  # all S samples serve, in groups
    top = groups.max(axis=1)
    return (np.log(np.exp(groups - top[:, None]).mean(axis=1)) + top).mean(axis=0)


# %%
sizes = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
values = [bound_with(samples).mean() for samples in sizes]
print(f"bound L(x) {values[0]:.2f}, log p(x) about {values[-1]:.2f}: the bound loses {values[-1] - values[0]:.2f} nats")
figure, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
ax.semilogx(sizes, values, color=COLOURS[0], marker="o", label="mean of S ratios inside the logarithm")
ax.axhline(values[0], color=COLOURS[4], linestyle="--", label="the bound L(x), S = 1")
ax.set(title="From the bound towards log p(x)", xlabel="S, samples of z per image",
       ylabel="mean over 200 test images (nats)")
ax.legend(loc="lower right", bbox_to_anchor=(1, 0.08))
plt.show()

# %% [markdown]
# ## The plane of z, read and drawn
#
# Nobody told the model about digits. Still, images of one digit get neighbouring $z$, since one decoder has to draw
# them from there. On the right the decoder draws from a grid of points in the same plane.

# %%
(mu, _), _ = models.encode(params, x=x_test, y=one_class)
n = 13
places = np.linspace(-2.5, 2.5, n, dtype=np.float32)
grid = np.stack(np.meshgrid(places, places[::-1]), axis=-1).reshape(-1, 2)
logits, _ = models.decode(model, params, grid, y=np.zeros(len(grid), int))
drawn = np.zeros((len(grid), 64))
drawn[:, task.pixels] = distributions.sigmoid(logits)  # the mean of a Bernoulli is its probability
canvas = np.pad(drawn.reshape(n, n, 8, 8), ((0, 0), (0, 0), (1, 1), (1, 1))).swapaxes(1, 2).reshape(10 * n, 10 * n)

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5.6), layout="constrained")
for c in range(10):
    left.scatter(*mu[digits.y_test == c].T, s=18, marker=MARKERS[c], color=COLOURS[c], alpha=0.8, label=c, linewidths=0)
left.set(title="Means of q(z|x) of the test images", xlabel="z₁", ylabel="z₂", xlim=(-3.2, 3.2), ylim=(-3.2, 3.2))
left.legend(title="true digit\n(never shown)", fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
right.imshow(canvas, cmap="gray_r", extent=(-2.7, 2.7) * 2)
right.set(title="Means of p(x|z) on a grid of z", xlabel="z₁", ylabel="z₂")
plt.show()

# %% [markdown]
# ## Exercise
#
# The bound can be estimated without the closed form of the KL, from one $z$ and three densities. Write
# `one_sample_bound(x, logits, z, mu, logvar)`, the estimate of $L(x)$ of each of $N$ images, with $x$ and `logits`
# $(N,X)$, and $z$, `mu` and `logvar` of $q(z|x)$ $(N,Z)$. Use `distributions.bernoulli` and `distributions.gaussian`.

# %% tags=["exercise"]
one_sample_bound = None  # a function: def one_sample_bound(x, logits, z, mu, logvar): return …

# %% tags=["check"]
def check(one_sample_bound):
    if one_sample_bound is None:
        return "Not answered yet: write the function one_sample_bound in the cell above and run both cells."
    rng = np.random.default_rng(1)
    x, logits = (rng.random((6, 4)) < 0.5).astype(float), rng.standard_normal((6, 4))
    z, mu, logvar = rng.standard_normal((3, 6, 2))
    found = one_sample_bound(x, logits, z, mu, logvar)
    if np.shape(found) != (6,):
        return f"Wrong: one number per image, shape (6,), not {np.shape(found)}."
    for value, verdict in verdicts(distributions.bernoulli(logits, x=x)[0],
                                   distributions.gaussian(0 * z, 0 * z, x=z)[0],
                                   distributions.gaussian(mu, logvar, x=z)[0]):
        if np.allclose(found, value):
            return verdict
    return "Wrong: it is the logarithm of p(x|z) p(z) / q(z|x), each a density of its own arguments."


# %% tags=["check"]
def verdicts(log_p_x, log_p_z, log_q):
    return ((log_p_x + log_p_z - log_q, "Right: its mean over z is the reconstruction less the KL."),
            (log_p_x + log_p_z, "Wrong: log q(z|x) is missing. Without it nothing keeps q from a single point."),
            (log_p_x - log_q, "Wrong: log p(z) is missing. Without it z may lie anywhere, far from p(z)."),
            (log_p_x + log_p_z + log_q, "Wrong: the sign of log q(z|x). The proposal divides."),
            (log_p_x - log_p_z + log_q, "Wrong: the KL has the wrong sign: z is paid for, not rewarded."),
            (log_p_z - log_q, "Wrong: log p(x|z), the reconstruction, is missing."))


print(check(one_sample_bound))

# %% [markdown]
# <details><summary>A solution</summary>
#
# ```python
# def one_sample_bound(x, logits, z, mu, logvar):
#     log_p_x, _ = distributions.bernoulli(logits, x=x)
#     log_p_z, _ = distributions.gaussian(np.zeros_like(z), np.zeros_like(z), x=z)
#     log_q, _ = distributions.gaussian(mu, logvar, x=z)
#     return log_p_x + log_p_z - log_q
# ```
# </details>
#
# ## Questions
#
# **1.** What is the best bound if the decoder ignores $z$, and what does the encoder then do?
#
# <details><summary>Answer</summary>
#
# Then $z$ buys nothing, and the best is to pay nothing: $q(z|x)=p(z)$ for every $x$. This is *posterior collapse* in
# $z$; lesson 7 meets it in $y$, where it is far more common.
# </details>
#
# **2.** Two models have bounds of −21 and −22 nats. Is the first the better model of the data?
#
# <details><summary>Answer</summary>
#
# Not surely: a bound is $\log p(x)$ less the encoder's loss, and the second model may only have the worse encoder.
# The estimate with many samples compares the models themselves.
# </details>
#
# **3.** Would more dimensions of $z$ raise the bound?
#
# <details><summary>Answer</summary>
#
# Yes, up to a point: each dimension is paid for only if it buys more reconstruction than it costs, and those that do
# not go back to the prior, at no cost. Put `Z=10` above: the bound rises, and the plane can no longer be drawn.
# </details>
