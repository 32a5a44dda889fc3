# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [raw]
# # ASSIGNMENT CONFIG
# init_cell: false
# export_cell: false
# show_question_points: true
# files: [checks.py]
# tests:
#   files: true
#   ok_format: false

# %% [markdown]
# # Assignment 2. A variational autoencoder
#
# | | |
# |---|---|
# | **You need** | lessons 3, 4 and 5; assignment 1 |
# | **Time** | about 5 hours; training takes a few seconds |
# | **Points** | 25: 20 by tests, 5 for the written questions |
# | **Hand in** | this notebook, saved after *Restart kernel and run all* |
#
# You write what a variational autoencoder (VAE) is made of beyond assignment 1, and train one on handwritten digits:
# a sample with a gradient, the cost of $z$, Adam, and the bound.
#
# **Rules.** Write the functions asked for yourself, in NumPy. The package `microgmdgm` has functions of the same names:
# calling them, or copying them, earns nothing. What the second cell below imports you may use, and so what you
# wrote in assignment 1: here it comes from the package, so that everyone starts from the same. After each question
# `grader.check` runs its public tests; some points hang on further tests that run when your notebook is graded.

# %%
import importlib.util, subprocess, sys
PACKAGE = "microgmdgm[teach]"
if not importlib.util.find_spec("otter"):  # on Colab; elsewhere this does nothing
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", PACKAGE], check=True)
import otter
grader = otter.Notebook()  # the tests lie in the folder `tests`, beside this notebook

# %%
import matplotlib.pyplot as plt
import numpy as np
from microgmdgm import check_pullback, data
from microgmdgm.distributions import bernoulli, sigmoid
from microgmdgm.layers import halves, mlp
from microgmdgm.parameters import Layout, glorot

# %% [markdown]
# The contract is that of assignment 1. Let $F$ be the objective, the one number that is to become large, and
# $\mathrm da=\partial F/\partial a$ for any array $a$. A function returns its value and `pullback`; the pullback takes
# the gradient of $F$ with respect to the value and returns those with respect to the arguments before the `*`.
#
# Throughout, $x$ is an image, a row of $X$ pixels; $z$ is a row of $Z$ numbers that nobody observes, the *latent*
# variable; and there are $N$ images in an array.

# %% [raw]
# # BEGIN QUESTION
# name: q1
# points: [1, 1, 1]

# %% [markdown]
# ## Question 1: a sample with a gradient
#
# A network proposes for each image a Gaussian $q(z|x)=\mathcal N(z;\mu,\sigma^2)$ with $\mu$ and $\log\sigma^2$ in
# arrays `mu` and `logvar`, both $(N,Z)$. A sample of it is computed from noise $\varepsilon\sim\mathcal N(0,I)$, the
# array `eps`, also $(N,Z)$ (Eq. 1 of the paper):
#
# $$z=\mu+\sigma\cdot\varepsilon .$$
#
# Write `reparameterise(mu, logvar, *, eps)`. The value is $z$; the pullback takes `dz` and returns `dmu` and `dlogvar`.

# %% [raw]
# # BEGIN SOLUTION

# %%
def reparameterise(mu, logvar, *, eps):
    """z = μ + σ·ε.  Eq. 1.     all (N,Z)"""
    # BEGIN SOLUTION NO PROMPT
    noise = np.exp(0.5 * logvar) * eps

    def pullback(dz):
        return dz, 0.5 * dz * noise
    return mu + noise, pullback
    # END SOLUTION
    """ # BEGIN PROMPT
    raise NotImplementedError("reparameterise is not written yet")
    """  # END PROMPT

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
def test_without_noise(reparameterise):
    import checks
    import numpy as np
    mu, logvar = np.random.default_rng(1).standard_normal((2, 3, 4))
    z, _ = checks.both(reparameterise, mu, logvar, eps=np.zeros((3, 4)))
    z = checks.array(z, (3, 4), "z")
    assert checks.close(z, mu), "the value: where ε is 0, z must be μ"

# %%
def test_gradients(reparameterise):
    import checks
    import numpy as np
    mu, logvar, eps = np.random.default_rng(2).standard_normal((3, 4, 5))
    rows = checks.compared(reparameterise, mu, logvar, eps=eps)
    wrong = {"mu", "logvar"} - {row.name for row in rows} | {row.name for row in rows if not row.ok}
    assert not wrong, f"the gradient with respect to {' and '.join(sorted(wrong))} is not that of your value"

# %%
# HIDDEN
def test_variance(reparameterise):
    import checks
    import numpy as np
    rng = np.random.default_rng(3)
    mu, logvar = np.array([[1.0, -2.0]]), np.array([[-1.0, 1.5]])
    ones = np.ones((100_000, 1))
    z, _ = checks.both(reparameterise, mu * ones, logvar * ones, eps=rng.standard_normal((100_000, 2)))
    z = checks.array(z, (100_000, 2), "z")
    assert checks.close(z.mean(axis=0), mu, atol=0.05), "the value: the mean of many samples must be μ"
    assert checks.close(z.var(axis=0), np.exp(logvar), rtol=0.05), "the value: the variance of many samples must be σ²"

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q2
# points: [1, 2, 2]

# %% [markdown]
# ## Question 2: what z costs
#
# How far is the proposal $q(z|x)=\mathcal N(z;\mu,\sigma^2)$ from the *prior* $p(z)=\mathcal N(0,I)$? For each image,
#
# $$\mathrm{KL}(q(z|x)\,\|\,p(z))=\mathbb E_{q(z|x)}\big[\log q(z|x)-\log p(z)\big],$$
#
# in nats, the unit of natural logarithms. For Gaussians the expectation has a closed form, a sum over the $Z$
# dimensions: derive it (it is the formula of lesson 3 for $\mu_0=0$, $\sigma_0^2=1$). Write
# `standard_gaussian_kl(mu, logvar)`, both arguments $(N,Z)$, the value $(N,)$; the pullback returns `dmu` and
# `dlogvar`.

# %% [raw]
# # BEGIN SOLUTION

# %%
def standard_gaussian_kl(mu, logvar):
    """KL(N(μ, σ²) ‖ N(0, I)) of each row.     (N,Z) -> (N,)"""
    # BEGIN SOLUTION NO PROMPT
    var = np.exp(logvar)

    def pullback(dkl):
        d = dkl[:, None]
        return d * mu, 0.5 * d * (var - 1)
    return 0.5 * (var + mu**2 - 1 - logvar).sum(axis=-1), pullback
    # END SOLUTION
    """ # BEGIN PROMPT
    raise NotImplementedError("standard_gaussian_kl is not written yet")
    """  # END PROMPT

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
def test_zero(standard_gaussian_kl):
    import checks
    import numpy as np
    value, _ = checks.both(standard_gaussian_kl, np.zeros((2, 3)), np.zeros((2, 3)))
    value = checks.array(value, (2,), "the KL, one number for each image,")
    assert checks.close(value, 0), "the KL: it must be 0 where q(z|x) is the prior"

# %%
def test_gradients(standard_gaussian_kl):
    import checks
    import numpy as np
    mu, logvar = np.random.default_rng(1).standard_normal((2, 4, 5))
    rows = checks.compared(standard_gaussian_kl, mu, logvar)
    wrong = {"mu", "logvar"} - {row.name for row in rows} | {row.name for row in rows if not row.ok}
    assert not wrong, f"the gradient with respect to {' and '.join(sorted(wrong))} is not that of your value"

# %%
# HIDDEN
def test_integral(standard_gaussian_kl):
    import checks
    import numpy as np
    from scipy.stats import norm
    mu, logvar = np.random.default_rng(2).standard_normal((2, 2, 3))
    sigma, step = np.sqrt(np.exp(logvar)), 0.01
    z = mu + sigma * np.arange(-9, 9, step)[:, None, None]
    log_q = norm.logpdf(z, mu, sigma)
    expected = (np.exp(log_q) * (log_q - norm.logpdf(z)) * sigma * step).sum(axis=(0, 2))
    found = checks.array(checks.both(standard_gaussian_kl, mu, logvar)[0], (2,), "the KL")
    assert np.all(found > 0), "the KL: it must be positive where q(z|x) is not the prior"
    assert checks.close(found, expected), "the KL: it is not the integral of q (log q - log p), summed over dimensions"

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q3
# points: [1, 2, 2]

# %% [markdown]
# ## Question 3: Adam
#
# All parameters lie in one vector $\theta$, `theta`, and $g=\mathrm d\theta$ is the gradient of the objective, which is
# to become *large*. Adam keeps running means $m$ of $g$ and $v$ of $g^2$, both 0 at first. Step $t=1,2,\dots$ is
#
# $$m\leftarrow\beta_1m+(1-\beta_1)\,g,\quad v\leftarrow\beta_2v+(1-\beta_2)\,g^2,\quad
# \hat m=\frac m{1-\beta_1^t},\quad\hat v=\frac v{1-\beta_2^t},\quad
# \theta\leftarrow\theta+\eta\,\frac{\hat m}{\sqrt{\hat v}+\epsilon},$$
#
# with $\beta_1=0.9$, $\beta_2=0.999$, $\epsilon=10^{-8}$ and the learning rate $\eta$, `rate`. Write
# `adam_step(theta, m, v, t, g, rate)`, which returns the new `theta`, `m` and `v`. It has no pullback.

# %% [raw]
# # BEGIN SOLUTION

# %%
def adam_step(theta, m, v, t, g, rate):
    """Adam's step t = 1, 2, … uphill.     θ, m, v, g (P,) -> new θ, m, v"""
    # BEGIN SOLUTION NO PROMPT
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g**2
    m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
    return theta + rate * m_hat / (np.sqrt(v_hat) + 1e-8), m, v
    # END SOLUTION
    """ # BEGIN PROMPT
    raise NotImplementedError("adam_step is not written yet")
    """  # END PROMPT

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
def test_uphill(adam_step):
    import checks
    import numpy as np
    found = checks.answered(adam_step, np.zeros(3), np.zeros(3), np.zeros(3), 1, np.array([5.0, -0.01, 0.0]), 0.1)
    theta, m, v = checks.arrays(found, {"theta": (3,), "m": (3,), "v": (3,)}, "adam_step")
    assert np.all(np.sign(theta) == [1, -1, 0]), "theta: a step goes uphill, in the direction of g"

# %%
def test_constant_gradient(adam_step):
    import checks
    import numpy as np
    g = np.array([4.0, -0.01])
    theta, m, v = np.zeros(2), np.zeros(2), np.zeros(2)
    for t in range(1, 21):
        found = checks.answered(adam_step, theta, m, v, t, g, 0.1)
        theta, m, v = checks.arrays(found, {"theta": (2,), "m": (2,), "v": (2,)}, "adam_step")
        assert checks.close(np.abs(theta), 0.1 * t, rtol=1e-4), \
            f"theta: under a constant gradient every step has the length of the rate; step {t} has not"

# %%
# HIDDEN
def test_memory(adam_step):
    import checks
    import numpy as np
    zero, one = np.zeros(1), np.ones(1)
    def step(*arguments):
        found = checks.answered(adam_step, *arguments, 1.0)
        return checks.arrays(found, {"theta": (1,), "m": (1,), "v": (1,)}, "adam_step")
    first, m, v = step(zero, zero, zero, 1, one)
    second, m, v = step(first, m, v, 2, -one)
    assert checks.close(second - first, (0.9 - 1) / (1 - 0.9**2) * 0.1, atol=1e-6), \
        "theta: after gradients 1 and -1 the second step is that of their running mean, -1/19 of the rate"
    third, _, _ = step(second, m, v, 3, 10 * one)
    assert checks.close(third - second, (0.9 * (0.9 - 1) + 10) * 0.1 / (1 - 0.9**3)
                       / np.sqrt((0.999**2 + 0.999 + 100) * 0.001 / (1 - 0.999**3))), \
        "theta: after gradients 1, -1 and 10 the third step; look at v, the running mean of g²"

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q4
# points: [1, 2, 2]

# %% [markdown]
# ## Question 4: the bound
#
# The *encoder* turns $x$ into $\mu$ and $\log\sigma^2$ of $q(z|x)$, side by side in one output of width $2Z$. The
# *decoder* turns $z$ into the logits $l$ of $p(x|z)$, a Bernoulli density of the $X$ pixels. With one sample
# $z=\mu+\sigma\cdot\varepsilon$ the bound of each image is
#
# $$L(x)=\log p(x|z)-\mathrm{KL}(q(z|x)\,\|\,p(z)).$$
#
# Write `bound(encoder, decoder, *, x, eps)`. `encoder` and `decoder` are lists of weights and biases
# $[W_1,b_1,W_2,b_2]$, `x` is $(N,X)$ and `eps` $(N,Z)$; the value is $(N,)$, and the pullback returns `dencoder` and
# `ddecoder`, lists like their arguments. Use your functions above, and of the package
#
# - `mlp(layers, x)`: dense, ReLU, dense, with weights and biases in the list `layers`; its pullback returns `dlayers`
#   and `dx`;
# - `halves(h)`: its value is the pair of the left and the right half of the columns of $h$; its pullback takes the pair
#   of their gradients and returns `dh`;
# - `bernoulli(logits, x=x)`: $\log p(x)$ of each row; its pullback returns `dlogits`.

# %% [raw]
# # BEGIN SOLUTION

# %%
def bound(encoder, decoder, *, x, eps):
    """L(x) = log p(x|z) − KL(q(z|x) ‖ p(z)), z = μ + σ·ε.     x (N,X), eps (N,Z) -> (N,)"""
    # BEGIN SOLUTION NO PROMPT
    h, encoder_pullback = mlp(encoder, x)
    (mu, logvar), halves_pullback = halves(h)
    z, sample_pullback = reparameterise(mu, logvar, eps=eps)
    logits, decoder_pullback = mlp(decoder, z)
    log_p, bernoulli_pullback = bernoulli(logits, x=x)
    kl, kl_pullback = standard_gaussian_kl(mu, logvar)

    def pullback(dL):
        ddecoder, dz = decoder_pullback(bernoulli_pullback(dL))
        dmu, dlogvar = sample_pullback(dz)
        dmu_kl, dlogvar_kl = kl_pullback(-dL)
        dencoder, _ = encoder_pullback(halves_pullback((dmu + dmu_kl, dlogvar + dlogvar_kl)))
        return dencoder, ddecoder
    return log_p - kl, pullback
    # END SOLUTION
    """ # BEGIN PROMPT
    raise NotImplementedError("bound is not written yet")
    """  # END PROMPT

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
def test_nothing_told(bound):
    import checks
    import numpy as np
    from microgmdgm.distributions import reparameterise, standard_gaussian_kl
    parts = {"reparameterise": reparameterise, "standard_gaussian_kl": standard_gaussian_kl}
    encoder = [np.zeros(shape) for shape in ((5, 4), (1, 4), (4, 6), (1, 6))]
    decoder = [np.zeros(shape) for shape in ((3, 4), (1, 4), (4, 5), (1, 5))]
    rng = np.random.default_rng(1)
    with checks.given(bound, **parts):  # an error in yours has cost its points already
        value, _ = checks.both(bound, encoder, decoder, x=np.eye(5)[:2], eps=rng.standard_normal((2, 3)))
    value = checks.array(value, (2,), "the bound, one number for each image,")
    assert checks.close(value, -5 * np.log(2)), \
        "the bound: where all weights are 0, z tells nothing and costs nothing, and 5 pixels have log p(x) = -5 log 2"

# %%
def test_gradients(bound):
    import checks
    import numpy as np
    from microgmdgm.distributions import reparameterise, standard_gaussian_kl
    rng = np.random.default_rng(2)
    encoder = [0.5 * rng.standard_normal(shape) for shape in ((5, 9), (1, 9), (9, 6), (1, 6))]
    decoder = [0.5 * rng.standard_normal(shape) for shape in ((3, 9), (1, 9), (9, 5), (1, 5))]
    x, eps = rng.integers(0, 2, (7, 5)).astype(float), rng.standard_normal((7, 3))
    parts = {"reparameterise": reparameterise, "standard_gaussian_kl": standard_gaussian_kl}
    with checks.given(bound, **parts):  # an error in yours has cost its points already
        rows = checks.compared(bound, encoder, decoder, x=x, eps=eps)
    names = {f"{network}[{i}]" for network in ("encoder", "decoder") for i in range(4)}
    wrong = names - {row.name for row in rows} | {row.name for row in rows if not row.ok}
    assert not wrong, f"the gradient with respect to {', '.join(sorted(wrong))} is not that of your value"

# %%
# HIDDEN
def test_two_terms(bound, reparameterise, standard_gaussian_kl):
    import checks
    import numpy as np
    from microgmdgm.layers import mlp
    from scipy.stats import bernoulli as scipy_bernoulli
    rng = np.random.default_rng(3)
    encoder = [0.5 * rng.standard_normal(shape) for shape in ((5, 4), (1, 4), (4, 6), (1, 6))]
    decoder = [0.5 * rng.standard_normal(shape) for shape in ((3, 4), (1, 4), (4, 5), (1, 5))]
    x, eps = rng.integers(0, 2, (7, 5)).astype(float), rng.standard_normal((7, 3))
    h, _ = mlp(encoder, x)
    z = checks.array(checks.both(reparameterise, h[:, :3], h[:, 3:], eps=eps)[0], (7, 3), "your z")
    kl = checks.array(checks.both(standard_gaussian_kl, h[:, :3], h[:, 3:])[0], (7,), "your KL")
    logits, _ = mlp(decoder, z)
    log_p = scipy_bernoulli.logpmf(x, 1 / (1 + np.exp(-logits))).sum(axis=1)
    value, _ = checks.both(bound, encoder, decoder, x=x, eps=eps)
    assert checks.close(value, log_p - kl), "the bound: it is not log p(x|z) at your z, less your KL"

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q5
# points: [1, 1]

# %% [markdown]
# ## Question 5: training
#
# The data are scikit-learn's digits, 8×8 pixels: 1,198 images for training and 599 for testing. A pixel's grey value,
# between 0 and 1, is the probability with which it is on; on and off are drawn anew each time an image is used. The
# parameters of encoder and decoder lie in one vector $\theta$. A `Layout` says where:
# `layout.views(theta)` gives the lists of arrays by name, and `layout.flatten(grads, theta)` puts gradients,
# a dictionary with the same names, into one vector like `theta`.
#
# Fill in the step: let the objective be the *mean* of $L(x)$ over the images of a batch; compute the bound `L` of the
# batch and the gradient $g$ of the objective with respect to $\theta$, and take Adam's step, whose number is `t`.

# %%
digits = data.load("digits")
grey, grey_test = (images.astype("float32") / 16 for images in (digits.x_train, digits.x_test))
X, Z, H = 64, 5, 64  # pixels, dimensions of z, hidden units
layout = Layout({  # for each array its shape, and the standard deviation of its weights at the start
    "q(z|x)": [((X, H), glorot(X, H)), ((1, H), 0), ((H, 2 * Z), glorot(H, 2 * Z)), ((1, 2 * Z), 0)],
    "p(x|z)": [((Z, H), glorot(Z, H)), ((1, H), 0), ((H, X), glorot(H, X)), ((1, X), 0)]})

# %% [raw]
# # BEGIN SOLUTION

# %%
def train(epochs, rate=3e-3, batch=100):
    """θ after so many passes over the training images, and the mean bound in each pass."""
    rng = np.random.default_rng(0)
    theta = layout.initial(rng)
    m, v, t, history = np.zeros_like(theta), np.zeros_like(theta), 0, []
    for epoch in range(epochs):
        bounds = []
        for rows in np.array_split(rng.permutation(len(grey)), len(grey) // batch):
            x = (rng.random((len(rows), X)) < grey[rows]).astype("float32")
            eps = rng.standard_normal((len(rows), Z), dtype="float32")
            params, t = layout.views(theta), t + 1
            # BEGIN SOLUTION NO PROMPT
            L, pullback = bound(params["q(z|x)"], params["p(x|z)"], x=x, eps=eps)
            dencoder, ddecoder = pullback(np.full(len(x), 1 / len(x), "float32"))
            g = layout.flatten({"q(z|x)": dencoder, "p(x|z)": ddecoder}, theta)
            theta, m, v = adam_step(theta, m, v, t, g, rate)
            # END SOLUTION
            """ # BEGIN PROMPT
            # to be filled in: the bound of the batch, the gradient, and Adam's step
            L = ...
            g = ...
            theta, m, v = ...
            """  # END PROMPT
            bounds.append(L.mean())
        history.append(np.mean(bounds))
    return theta, history

# %%
theta, history = train(epochs=60)
print(f"mean bound in the first pass {history[0]:.1f}, in the last {history[-1]:.1f} nats")

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
def test_bound_of_test_images(theta):
    import checks
    import numpy as np
    from microgmdgm import Model, data, models
    from microgmdgm.distributions import bernoulli, standard_gaussian_kl
    from microgmdgm.layers import halves, mlp
    digits, rng = data.load("digits"), np.random.default_rng(1)
    shapes = (64, 64), (1, 64), (64, 10), (1, 10), (5, 64), (1, 64), (64, 64), (1, 64)
    ends = np.cumsum([a * b for a, b in shapes])
    theta = checks.array(theta, (ends[-1],), "theta")
    arrays = [part.reshape(shape) for part, shape in zip(np.split(theta, ends), shapes)]
    x = (rng.random(digits.x_test.shape) < digits.x_test / 16).astype(float)
    (mu, logvar), _ = halves(mlp(arrays[:4], x)[0])
    z = mu + np.exp(0.5 * logvar) * rng.standard_normal(mu.shape)
    L = bernoulli(mlp(arrays[4:], z)[0], x=x)[0] - standard_gaussian_kl(mu, logvar)[0]
    assert L.mean() > -27, f"the bound of the test images must come above -27 nats; with your θ it is {L.mean():.1f}"

# %%
def test_z_is_used(theta):
    import checks
    import numpy as np
    from microgmdgm import data
    from microgmdgm.distributions import standard_gaussian_kl
    from microgmdgm.layers import halves, mlp
    shapes = (64, 64), (1, 64), (64, 10), (1, 10), (5, 64), (1, 64), (64, 64), (1, 64)
    ends = np.cumsum([a * b for a, b in shapes])
    theta = checks.array(theta, (ends[-1],), "theta")
    encoder = [part.reshape(shape) for part, shape in zip(np.split(theta, ends), shapes)][:4]
    (mu, logvar), _ = halves(mlp(encoder, data.load("digits").x_test / 16)[0])
    kl = standard_gaussian_kl(mu, logvar)[0].mean()
    assert 1 < kl < 30, f"z: its mean cost on test images must lie between 1 and 30 nats; with your θ it is {kl:.2f}"

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [markdown]
# ### What it has learnt
#
# Nothing to write here. The learning curve; test images with their reconstructions, the mean of $p(x|z)$ at
# $z=\mu(x)$; and images that the model makes up, from $z\sim p(z)$.

# %%
params, rng = layout.views(theta), np.random.default_rng(2)
mu = mlp(params["q(z|x)"], grey_test[:12])[0][:, :Z]
rows = {"test images": grey_test[:12], "reconstructions": sigmoid(mlp(params["p(x|z)"], mu)[0]),
        "z from the prior": sigmoid(mlp(params["p(x|z)"], rng.standard_normal((12, Z), dtype="float32"))[0])}
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 3.2), layout="constrained", width_ratios=(1, 2))
left.plot(range(1, len(history) + 1), history)
left.set(title="The bound while training", xlabel="epoch", ylabel="mean of L(x) (nats)")
tiles = np.stack(list(rows.values())).reshape(3, 12, 8, 8)
right.imshow(np.pad(tiles, ((0, 0), (0, 0), (1, 1), (1, 1))).swapaxes(1, 2).reshape(30, 120), cmap="gray_r")
right.set(title="Images, read and made up", xticks=[], yticks=[5, 15, 25], yticklabels=list(rows))
plt.show()

# %% [raw]
# # BEGIN QUESTION
# name: w1
# manual: true
# points: 2

# %% [markdown]
# ## Written question 1
#
# In the first epochs of some runs the KL falls to nearly 0 before it rises. What does the decoder draw then, what does
# the bound of an image amount to, and why is that a good thing to learn first? (Three or four sentences.)

# %% [raw]
# # BEGIN SOLUTION

# %% [markdown]
# With a KL of 0 $q(z|x)$ is the prior for every image, $z$ says nothing of $x$, and the best that the decoder can draw
# is the mean image: each pixel with its frequency in the data. The bound is then $\log p(x)$ of independent pixels. At
# the start the decoder cannot yet turn $z$ into anything useful, so that telling about $x$ costs nats and buys none;
# the mean image buys most at no cost.
#
# *Points: 1 for the mean image or independent pixels, 1 for the cost without a gain.*

# %% [raw]
# # END SOLUTION

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: w2
# manual: true
# points: 3

# %% [markdown]
# ## Written question 2
#
# Suppose the KL is left out of the objective, and the rest stays. What happens to $\sigma^2(x)$, to the
# reconstructions, and to the images made up from $z\sim p(z)$? Is what you have then still a bound on $\log p(x)$? Say
# why. You may try it. (Five or six sentences.)

# %% [raw]
# # BEGIN SOLUTION

# %% [markdown]
# Noise in $z$ only harms the reconstruction, so that $\sigma^2(x)$ shrinks towards 0, and $\mu(x)$ spreads out so that
# images are told apart more easily. The reconstructions get sharper. Nothing keeps the $\mu(x)$ near the prior any
# more: samples $z\sim p(z)$ fall into places where the decoder was never trained, and the images made up get worse. It
# is no bound: $\mathbb E_q[\log p(x|z)]$ is the bound *plus* the KL, and where the KL is larger than what the bound
# loses it lies above $\log p(x)$.
#
# *Points: 1 for σ² and reconstructions, 1 for samples, 1 for why it is no bound.*

# %% [raw]
# # END SOLUTION

# %% [raw]
# # END QUESTION
