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
#
# **You need** lessons 1 to 4: the Bernoulli density, pullbacks, Eq. 1, Adam. 75 minutes; the computer needs some
# twenty seconds.
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
from microgmdgm import check_pullback, data, distributions, layers
from microgmdgm.adam import Adam
from microgmdgm.parameters import Layout, glorot
from microgmdgm.plots import COLOURS, MARKERS

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
# ## The whole of it
#
# We build a variational autoencoder (VAE) from the parts of lessons 1 to 4, with $Z=2$, so that all of $z$ can be drawn.
# Images are scikit-learn's digits, 8×8 pixels. A pixel of a Bernoulli density is 0 or 1, but these are grey, between 0
# and 1: we take the grey value as the *probability* that the pixel is 1, and draw it anew whenever an image is used.

# %%
digits = data.load("digits")
rng = np.random.default_rng(0)
grey, grey_test = (images.astype(np.float32) / np.float32(digits.white) for images in (digits.x_train, digits.x_test))
x_test = (rng.random(grey_test.shape) < grey_test).astype(np.float32)
X, Z, H = grey.shape[1], 2, 100  # pixels, dimensions of z, units in each of two hidden layers


def network(inputs, outputs):
    """(shape, standard deviation at the start) of each array of a network: biases 0, weights with the variance
    2 / (inputs + outputs) of Glorot and Bengio (2010), which keeps the size of signals."""
    sizes = inputs, H, H, outputs
    return [array for a, b in zip(sizes, sizes[1:]) for array in (((a, b), glorot(a, b)), ((1, b), 0))]


layout = Layout({"q(z|x)": network(X, 2 * Z), "p(x|z)": network(Z, X)})

# %% [markdown]
# **Yours: `q_z(encoder, x)`**, the encoder. The network `layers.mlp(encoder, x)` has $2Z$ outputs: $\mu(x)$ first, then
# $\log\sigma^2(x)$. The value is the pair of both, $(N,Z)$ each; the pullback takes the pair of their gradients and returns
# the encoder's gradients, a list like `encoder`. (`np.concatenate` joins what was halved; the pullback of `mlp` returns that
# list and `dx`.)

# %% tags=["exercise"]
def q_z(encoder, x):
    """μ(x), log σ²(x), and the pullback.     x (N,X) -> 2 × (N,Z), (dmu, dlogvar) -> [dW, db, …]"""

# %% tags=["check"]
q_z = checks.q_z(q_z)

# %% [markdown]
# <details><summary>A solution</summary>
#
# ```python
# def q_z(encoder, x):
#     h, mlp_pullback = layers.mlp(encoder, x)
#     Z = h.shape[1] // 2
#
#     def pullback(dstats):
#         dencoder, _ = mlp_pullback(np.concatenate(dstats, axis=1))
#         return dencoder
#     return (h[:, :Z], h[:, Z:]), pullback
# ```
# </details>

# %% [markdown]
# **Yours: `bound_of(logits, mu, logvar, x)`**, $L(x)$ of each image, from `distributions.bernoulli` and
# `distributions.standard_gaussian_kl(mu, logvar)`, the KL to $\mathcal N(0,I)$. Each gives a value $(N,)$ and its pullback; the
# second returns two gradients.

# %% tags=["exercise"]
def bound_of(logits, mu, logvar, x):
    """L(x) = log p(x|z) − KL(q(z|x) ‖ p(z)), and its pullback.     -> (N,), dL -> (dlogits, dmu, dlogvar)"""

# %% tags=["check"]
bound_of = checks.bound_of(bound_of)

# %% [markdown]
# <details><summary>A solution</summary>
#
# ```python
# def bound_of(logits, mu, logvar, x):
#     log_p, log_p_pullback = distributions.bernoulli(logits, x=x)
#     kl, kl_pullback = distributions.standard_gaussian_kl(mu, logvar)
#
#     def pullback(dL):
#         dmu, dlogvar = kl_pullback(-dL)
#         return log_p_pullback(dL), dmu, dlogvar
#     return log_p - kl, pullback
# ```
# </details>

# %% [markdown]
# This is the VAE: encoder, sample, decoder, bound, and the way back. Each gradient of $\mu$ and $\log\sigma^2$ has two
# parts, for both act on $L$ through $z$ and through the KL.

# %%
def vae(params, x, eps):
    """L(x) of each image, and its pullback.     x (N,X), eps (N,Z) -> (N,), dL -> {network: gradients}"""
    (mu, logvar), encoder_pullback = q_z(params["q(z|x)"], x)
    z, sample_pullback = distributions.reparameterise(mu, logvar, eps=eps)
    logits, decoder_pullback = layers.mlp(params["p(x|z)"], z)
    L, bound_pullback = bound_of(logits, mu, logvar, x)

    def pullback(dL):
        dlogits, dmu, dlogvar = bound_pullback(dL)
        ddecoder, dz = decoder_pullback(dlogits)
        dmu_z, dlogvar_z = sample_pullback(dz)
        return {"q(z|x)": encoder_pullback((dmu + dmu_z, dlogvar + dlogvar_z)), "p(x|z)": ddecoder}
    return L, pullback


# %%
theta = layout.initial(rng)
rows = check_pullback(vae, layout.views(theta.astype(float)), x=x_test[:5], eps=rng.standard_normal((5, Z)),
                      verbose=False)
print(f"{len(rows)} comparisons of gradients, all right: {all(row.ok for row in rows)}")

# %% [markdown]
# **Yours: `one_epoch(vae, layout, theta, adam, grey, rng)`**, in about ten lines: go once through all images in a random
# order, in minibatches of about 100. For each, draw the pixels (1 where `rng.random` is below the grey value) and `eps`
# from $\mathcal N(0,I)$, $(N,2)$, both float32; call `vae(layout.views(theta), x, eps)`; the objective is the *mean* of $L$,
# so that its pullback gets $1/N$ for each image; `layout.flatten(gradients, theta)` makes one vector of the gradients,
# and `adam.ascend(theta, gradient, 2e-3)` changes `theta` in place. Return the mean of $L$ over the epoch.

# %% tags=["exercise"]
def one_epoch(vae, layout, theta, adam, grey, rng):
    """A step of Adam for each minibatch, in place.     grey (N,X) -> the mean of L(x)"""

# %% tags=["check"]
one_epoch = checks.one_epoch(one_epoch)

# %% [markdown]
# <details><summary>A solution</summary>
#
# ```python
# def one_epoch(vae, layout, theta, adam, grey, rng):
#     bounds = []
#     for rows in np.array_split(rng.permutation(len(grey)), round(len(grey) / 100)):
#         x = (rng.random((len(rows), grey.shape[1])) < grey[rows]).astype(np.float32)
#         eps = rng.standard_normal((len(rows), 2), dtype=np.float32)
#         L, pullback = vae(layout.views(theta), x, eps)
#         gradient = layout.flatten(pullback(np.full(len(x), 1 / len(x), np.float32)), theta)
#         adam.ascend(theta, gradient, 2e-3)
#         bounds.append(L.mean())
#     return np.mean(bounds)
# ```
# </details>

# %%
def two_terms(params):
    """The reconstruction and the cost of z, of each test image."""
    (mu, logvar), _ = q_z(params["q(z|x)"], x_test)
    z, _ = distributions.reparameterise(mu, logvar, eps=rng.standard_normal(mu.shape, dtype=np.float32))
    logits, _ = layers.mlp(params["p(x|z)"], z)
    return distributions.bernoulli(logits, x=x_test)[0], distributions.standard_gaussian_kl(mu, logvar)[0]


# %%
def draw_terms(terms):
    """The bound and its two terms by epoch.     terms (epochs,2)"""
    figure, ax = plt.subplots(figsize=(8, 4.4), layout="constrained")
    ax.plot(terms[:, 0], color=COLOURS[2], linestyle="--", label="reconstruction, E log p(x|z)")
    ax.plot(-terms[:, 1], color=COLOURS[1], linestyle=":", linewidth=2.5,
            label="less the cost of z, −KL(q(z|x) ‖ p(z))")
    ax.plot(terms[:, 0] - terms[:, 1], color=COLOURS[0], label="their sum, the bound L(x)")
    ax.set(title="The bound and its two terms while a VAE trains", xlabel="epoch",
           ylabel="mean over test images (nats)")
    ax.legend(loc="center", bbox_to_anchor=(0.7, 0.65))
    plt.show()


# %%
adam, terms = Adam.like(theta), []
for _ in range(150):
    one_epoch(vae, layout, theta, adam, grey, rng)
    params = layout.views(theta)
    terms.append([term.mean() for term in two_terms(params)])
terms = np.array(terms)
draw_terms(terms)
print(f"at the end: {terms[-1, 0]:.1f} - {terms[-1, 1]:.1f} = {terms[-1, 0] - terms[-1, 1]:.1f} nats")

# %% [markdown]
# The two terms pull against each other. With $q(z|x)=p(z)$, $z$ would cost nothing, but it would say
# nothing of $x$. The sharper $q(z|x)$ is, the better the reconstruction, and the higher the cost. Training pays for
# a nat of $z$ as long as it buys more than a nat of reconstruction. In the first epochs it buys none: the decoder only
# learns the mean image, and the cost of $z$ falls to 0 until a first difference between images is worth telling.
#
# **Predict, change, run.** Let the KL count half: in `bound_of`, $\log p(x|z)-\frac12\mathrm{KL}$, its gradient too (and leave
# its check out). Which way does each of the two terms go, and the bound?
#
# <details><summary>What happens</summary>
#
# $z$ tells more: it costs 3.5 nats in place of 2.5, and the reconstruction rises from $-22.0$ to $-21.1$. The bound, in which
# the KL counts in full, is 0.2 nats lower (by the 1,000 samples below: $-24.8$ in place of $-24.6$): the added nat of $z$
# has bought less than a nat.
# </details>
#
# ## How far below log p(x)?
#
# The ratio $w=p(x|z)\,p(z)/q(z|x)$ has the mean $p(x)$ over $z\sim q(z|x)$. With the mean of $S$ such ratios inside
# the logarithm, in place of one, the bound rises with $S$, towards $\log p(x)$ itself (Burda et al., 2015).

# %%
S = 1000
few, log_w = x_test[:200], np.zeros((S, 200))
(mu, logvar), _ = q_z(params["q(z|x)"], few)
for s in range(S):
    z, _ = distributions.reparameterise(mu, logvar, eps=rng.standard_normal(mu.shape, dtype=np.float32))
    log_p_x = distributions.bernoulli(layers.mlp(params["p(x|z)"], z)[0], x=few)[0]
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
(mu, _), _ = q_z(params["q(z|x)"], x_test)
n = 13
places = np.linspace(-2.5, 2.5, n, dtype=np.float32)
grid = np.stack(np.meshgrid(places, places[::-1]), axis=-1).reshape(-1, 2)
logits, _ = layers.mlp(params["p(x|z)"], grid)
canvas = figures.tiles(distributions.sigmoid(logits).reshape(n, n, 8, 8))  # the mean of a Bernoulli is its probability

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
# ## Questions
#
# **1.** What is the best bound if the decoder ignores $z$, and what does the encoder then do?
#
# <details><summary>Answer</summary>
#
# Then $z$ buys nothing, and the best is to pay nothing: $q(z|x)=p(z)$ for every $x$. This is *posterior collapse* in
# $z$; lesson 7 meets the same in $y$.
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
# not go back to the prior, at no cost.
# </details>
