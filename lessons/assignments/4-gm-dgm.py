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
# # Assignment 4. GM-DGM and the semi-unsupervised experiment
#
# | | |
# |---|---|
# | **You need** | lessons 8 and 9; assignments 1 to 3 |
# | **Time** | about 6 hours; training takes well under a minute |
# | **Points** | 25: 20 by tests, 5 for the written questions |
# | **Hand in** | this notebook, saved after *Restart kernel and run all* |
#
# You write what distinguishes the paper's model, GM-DGM, from M2: one Gaussian a class as the prior of $z$. Then you
# repeat the paper's experiment in small: five digits have a few labels, five have none, and the model has to find them.
#
# **Rules.** Write the functions asked for yourself, in NumPy. The package `microgmdgm` has functions of the same names:
# calling them, or copying them, earns nothing. What the second cell below imports you may use. After each question
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
from microgmdgm import Model, check_pullback, data
from microgmdgm.adam import Adam
from microgmdgm.distributions import bernoulli, reparameterise, sigmoid
from microgmdgm.evaluation import monitor
from microgmdgm.layers import class_mlp, halves, mlp
from microgmdgm.marginal import exact
from microgmdgm.models import at, log_q_y, unlabelled_bound
from microgmdgm.parameters import add

# %% [markdown]
# The contract is that of assignment 1: $\mathrm da=\partial F/\partial a$ for the objective $F$; a function returns its
# value and `pullback`, which takes the gradient with respect to the value and returns those with respect to the
# arguments before the `*`.
#
# **The model.** An image $x$, a row of $X$ pixels that are on or off, comes about in three steps (Eq. 3–6 of the
# paper): a class $y$, one of $0,\dots,K-1$, from $p(y)=\pi_y$, in code `prior[y]`; a latent $z$, a row of $Z$ numbers,
# from the Gaussian of that class, $p(z|y)=\mathcal N(z;\mu_y,\sigma_y^2)$; and the pixels from $p(x|z)$, a Bernoulli
# density whose logits a network computes from $z$ alone. The encoders are $q(y|x)$ and
# $q(z|x,y)=\mathcal N(z;\mu,\sigma^2)$, with $\mu$ and $\sigma^2$ computed from $x$ and $y$.

# %% [raw]
# # BEGIN QUESTION
# name: q1
# points: [1, 2, 2]

# %% [markdown]
# ## Question 1: from one Gaussian to another
#
# For each of $P$ rows there are two Gaussians in $Z$ dimensions, $q=\mathcal N(\mu,\sigma^2)$ and
# $p=\mathcal N(\mu_0,\sigma_0^2)$, with $\log\sigma^2$ and $\log\sigma_0^2$ in `logvar` and `logvar0`. Write
# `gaussian_kl(mu, logvar, mu0, logvar0)`: the value is
#
# $$\mathrm{KL}(q\,\|\,p)=\mathbb E_{z\sim q}\big[\log q(z)-\log p(z)\big]$$
#
# of each row in closed form, $(P,)$. All four arguments are $(P,Z)$, and all four get a gradient.

# %% [raw]
# # BEGIN SOLUTION

# %%
def gaussian_kl(mu, logvar, mu0, logvar0):
    """KL(N(μ, σ²) ‖ N(μ0, σ0²)) of each row.     all (P,Z) -> (P,)"""
    # BEGIN SOLUTION NO PROMPT
    ratio = np.exp(logvar - logvar0)
    scaled = (mu - mu0) * np.exp(-logvar0)
    squares = (mu - mu0) * scaled

    def pullback(dkl):
        d = dkl[:, None]
        return d * scaled, 0.5 * d * (ratio - 1), -d * scaled, 0.5 * d * (1 - ratio - squares)
    return 0.5 * (logvar0 - logvar + ratio + squares - 1).sum(axis=-1), pullback
    # END SOLUTION
    """ # BEGIN PROMPT
    raise NotImplementedError("gaussian_kl is not written yet")
    """  # END PROMPT

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
def test_zero(gaussian_kl):
    import checks
    import numpy as np
    mu, logvar = np.random.default_rng(1).standard_normal((2, 3, 4))
    value, _ = checks.both(gaussian_kl, mu, logvar, mu, logvar)
    value = checks.array(value, (3,), "the KL, one number for each row,")
    assert checks.close(value, 0), "the KL: it must be 0 for equal Gaussians"

# %%
def test_gradients(gaussian_kl):
    import checks
    import numpy as np
    arguments = np.random.default_rng(2).standard_normal((4, 4, 5))
    rows, names = checks.compared(gaussian_kl, *arguments), {"mu", "logvar", "mu0", "logvar0"}
    wrong = names - {row.name for row in rows} | {row.name for row in rows if not row.ok}
    assert not wrong, f"the gradient with respect to {', '.join(sorted(wrong))} is not that of your value"

# %%
# HIDDEN
def test_integral(gaussian_kl):
    import checks
    import numpy as np
    from scipy.stats import norm
    mu, logvar, mu0, logvar0 = np.random.default_rng(3).standard_normal((4, 2, 3))
    (sigma, sigma0), step = np.sqrt(np.exp([logvar, logvar0])), 0.01
    z = mu + sigma * np.arange(-9, 9, step)[:, None, None]
    log_q, log_p = norm.logpdf(z, mu, sigma), norm.logpdf(z, mu0, sigma0)
    expected = (np.exp(log_q) * (log_q - log_p) * sigma * step).sum(axis=(0, 2))
    found = checks.array(checks.both(gaussian_kl, mu, logvar, mu0, logvar0)[0], (2,), "the KL")
    assert np.all(found > 0), "the KL: it must be positive for different Gaussians"
    assert checks.close(found, expected), "the KL: it is not the integral of q (log q - log p), summed over dimensions"

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q2
# points: [1, 2, 1]

# %% [markdown]
# ## Question 2: one Gaussian a class
#
# The prior of $z$ is a list of two learnt arrays: `p_z_given_y[0]` holds the means $\mu_y$ of all classes,
# `p_z_given_y[1]` the $\log\sigma_y^2$, both $(K,Z)$. For $P$ pairs of an image and a class there are $\mu$ and
# $\log\sigma^2$ of $q(z|x,y)$, `mu` and `logvar` $(P,Z)$, and the class `y` $(P,)$. Write
# `kl_z(p_z_given_y, mu, logvar, *, y)`: the value is $\mathrm{KL}(q(z|x,y)\,\|\,p(z|y))$ of each pair, $(P,)$. The
# pullback returns a list of the two gradients $(K,Z)$, then `dmu` and `dlogvar`. Mind that a class may occur in many
# pairs, or in none.

# %% [raw]
# # BEGIN SOLUTION

# %%
def kl_z(p_z_given_y, mu, logvar, *, y):
    """KL(q(z|x,y) ‖ p(z|y)).  Eq. 5.     [(K,Z), (K,Z)], μ and log σ² (P,Z), y (P,) -> (P,)"""
    # BEGIN SOLUTION NO PROMPT
    means, logvars = p_z_given_y
    kl, kl_pullback = gaussian_kl(mu, logvar, means[y], logvars[y])

    def pullback(dkl):
        dmu, dlogvar, dmu_y, dlogvar_y = kl_pullback(dkl)
        dmeans, dlogvars = np.zeros_like(means), np.zeros_like(logvars)
        np.add.at(dmeans, y, dmu_y)
        np.add.at(dlogvars, y, dlogvar_y)
        return [dmeans, dlogvars], dmu, dlogvar
    return kl, pullback
    # END SOLUTION
    """ # BEGIN PROMPT
    raise NotImplementedError("kl_z is not written yet")
    """  # END PROMPT

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
def test_own_class(kl_z):
    import checks
    import numpy as np
    from microgmdgm.distributions import gaussian_kl
    means, logvars = np.random.default_rng(1).standard_normal((2, 3, 4))
    y = np.array([0, 2, 2, 1, 0])
    with checks.given(kl_z, gaussian_kl=gaussian_kl):  # an error in yours has cost its points already
        value, _ = checks.both(kl_z, [means, logvars], means[y], logvars[y], y=y)
    value = checks.array(value, (5,), "the KL to p(z|y), one number for each pair,")
    assert checks.close(value, 0), "the KL to p(z|y): it must be 0 where q(z|x,y) is the Gaussian of the pair's class"

# %%
def test_gradients(kl_z):
    import checks
    import numpy as np
    from microgmdgm.distributions import gaussian_kl
    rng = np.random.default_rng(2)
    prior, (mu, logvar) = list(rng.standard_normal((2, 4, 3))), rng.standard_normal((2, 6, 3))
    with checks.given(kl_z, gaussian_kl=gaussian_kl):  # an error in yours has cost its points already
        rows = checks.compared(kl_z, prior, mu, logvar, y=np.array([0, 2, 2, 1, 0, 0]))
    names = {"p_z_given_y[0]", "p_z_given_y[1]", "mu", "logvar"}
    wrong = sorted(names - {row.name for row in rows} | {row.name for row in rows if not row.ok})
    assert not wrong, f"the gradient with respect to {', '.join(wrong)} is not that of your value"

# %%
# HIDDEN
def test_other_class(kl_z, gaussian_kl):
    import checks
    import numpy as np
    rng = np.random.default_rng(3)
    (means, logvars), (mu, logvar), y = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 5, 4)), [0, 2, 2, 1, 0]
    value = checks.array(checks.both(kl_z, [means, logvars], mu, logvar, y=np.array(y))[0], (5,), "the KL to p(z|y)")
    for n, k in enumerate(y):
        expected, _ = checks.both(gaussian_kl, mu[n:n + 1], logvar[n:n + 1], means[k:k + 1], logvars[k:k + 1])
        assert checks.close(value[n], expected), "the KL to p(z|y): of a pair it is your KL to its class's Gaussian"

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q3
# points: [1, 2, 1]

# %% [markdown]
# ## Question 3: the bound with a label
#
# With one sample $z=\mu+\sigma\cdot\varepsilon$ of $q(z|x,y)$ the bound of a pair of an image and a class is (Eq. 7–8)
#
# $$L(x,y)=\log p(x|z)-\mathrm{KL}(q(z|x,y)\,\|\,p(z|y))+\log p(y).$$
#
# Write `bound_given_y(params, *, x, y, eps, prior)`: `x` $(P,X)$, `y` $(P,)$, the noise `eps` $(P,Z)$, `prior` $(K,)$,
# an array, and the value $(P,)$. `params` is a dictionary: `params["q(z|x,y)"]` are the weights of the encoder,
# `params["p(z|y)"]` is the list of question 2, and `params["p(x|z)"]` are the weights of the decoder. The pullback
# returns one dictionary of gradients with these three keys. Of the package you need `class_mlp(layers, x, y=y)` for the
# encoder, which gives $\mu$ and $\log\sigma^2$ side by side as in assignment 3, and `mlp(layers, z)` for the decoder,
# as in assignment 2; and `halves`, `reparameterise` and `bernoulli`.

# %% [raw]
# # BEGIN SOLUTION

# %%
def bound_given_y(params, *, x, y, eps, prior):
    """L(x,y) = log p(x|z) − KL(q(z|x,y) ‖ p(z|y)) + log p(y).  Eq. 7–8.     x (P,X), y (P,), eps (P,Z) -> (P,)"""
    # BEGIN SOLUTION NO PROMPT
    h, encode_pullback = class_mlp(params["q(z|x,y)"], x, y=y)
    (mu, logvar), halves_pullback = halves(h)
    z, sample_pullback = reparameterise(mu, logvar, eps=eps)
    logits, decode_pullback = mlp(params["p(x|z)"], z)
    log_p, bernoulli_pullback = bernoulli(logits, x=x)
    kl, kl_pullback = kl_z(params["p(z|y)"], mu, logvar, y=y)

    def pullback(dL):
        ddecoder, dz = decode_pullback(bernoulli_pullback(dL))
        dmu, dlogvar = sample_pullback(dz)
        dprior, dmu_kl, dlogvar_kl = kl_pullback(-dL)
        dencoder, _ = encode_pullback(halves_pullback((dmu + dmu_kl, dlogvar + dlogvar_kl)))
        return {"q(z|x,y)": dencoder, "p(z|y)": dprior, "p(x|z)": ddecoder}
    return log_p - kl + np.log(prior)[y], pullback
    # END SOLUTION
    """ # BEGIN PROMPT
    raise NotImplementedError("bound_given_y is not written yet")
    """  # END PROMPT

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
def test_nothing_told(bound_given_y):
    import checks
    import numpy as np
    from microgmdgm import Model
    def no_kl(p_z_given_y, mu, logvar, *, y):
        return np.zeros(len(y)), None
    prior = np.array([0.5, 0.3, 0.2])
    model = Model("gm-dgm", tuple(prior), X=5, Z=2, H=9, hidden_layers=1)
    params = model.layout.views(np.zeros(model.layout.size))
    eps = np.random.default_rng(1).standard_normal((4, 2))
    with checks.given(bound_given_y, kl_z=no_kl):  # as it must be here; yours has its own tests
        value, _ = checks.both(bound_given_y, params, x=np.eye(5)[:4], y=np.array([0, 1, 2, 0]), eps=eps, prior=prior)
    value = checks.array(value, (4,), "the bound, one number for each pair,")
    assert checks.close(value, -5 * np.log(2) + np.log(prior)[[0, 1, 2, 0]]), \
        "the bound: where all weights are 0, all that is left is -5 log 2 of 5 pixels, and the class"

# %%
def test_gradients(bound_given_y):
    import checks
    import numpy as np
    from microgmdgm import Model, models
    prior, rng = np.array([0.5, 0.3, 0.2]), np.random.default_rng(2)
    model = Model("gm-dgm", tuple(prior), X=5, Z=2, H=9, hidden_layers=1)
    def kl_z(p_z_given_y, mu, logvar, *, y):
        kl, kl_pullback = models.kl_z(model, {"p(z|y)": p_z_given_y}, mu, logvar, y=y)
        def pullback(dkl):
            dprior, dmu, dlogvar = kl_pullback(dkl)
            return dprior["p(z|y)"], dmu, dlogvar
        return kl, pullback
    params = model.layout.views(0.5 * rng.standard_normal(model.layout.size))
    params = {name: params[name] for name in ("q(z|x,y)", "p(z|y)", "p(x|z)")}
    x, y, eps = rng.integers(0, 2, (7, 5)).astype(float), rng.integers(0, 3, 7), rng.standard_normal((7, 2))
    with checks.given(bound_given_y, kl_z=kl_z):  # an error in yours has cost its points already
        rows = checks.compared(bound_given_y, params, x=x, y=y, eps=eps, prior=prior)
    names = {f"params[{name}][{i}]" for name in params for i in range(len(params[name]))}
    wrong = sorted(names - {row.name for row in rows} | {row.name for row in rows if not row.ok})
    assert not wrong, f"the gradient with respect to {', '.join(wrong)} is not that of your value"

# %%
# HIDDEN
def test_three_terms(bound_given_y, kl_z):
    import checks
    import numpy as np
    from microgmdgm import Model
    from microgmdgm.layers import class_mlp, mlp
    from scipy.stats import bernoulli
    prior, rng = np.array([0.5, 0.3, 0.2]), np.random.default_rng(3)
    model = Model("gm-dgm", tuple(prior), X=5, Z=2, H=9, hidden_layers=1)
    params = model.layout.views(0.5 * rng.standard_normal(model.layout.size))
    x, y, eps = rng.integers(0, 2, (7, 5)).astype(float), rng.integers(0, 3, 7), rng.standard_normal((7, 2))
    h, _ = class_mlp(params["q(z|x,y)"], x, y=y)
    z = h[:, :2] + np.sqrt(np.exp(h[:, 2:])) * eps
    log_p = bernoulli.logpmf(x, 1 / (1 + np.exp(-mlp(params["p(x|z)"], z)[0]))).sum(axis=1)
    kl = checks.array(checks.both(kl_z, params["p(z|y)"], h[:, :2], h[:, 2:], y=y)[0], (7,), "your KL")
    value, _ = checks.both(bound_given_y, params, x=x, y=y, eps=eps, prior=prior)
    assert checks.close(value, log_p - kl + np.log(prior)[y]), "the bound: its three terms, with your KL, do not add up"

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q4
# points: [1, 1, 1, 1]

# %% [markdown]
# ## Question 4: cluster-and-label
#
# A value of the learnt $y$ is called a **slot**. Only the slots that had labels have a name; the paper names each slot
# by the true class that is most common in it, and counts how many images are then right. Write three functions, without
# pullbacks:
#
# - `contingency(slots, classes, K, C)`: from slots (0 to $K-1$) and true classes (0 to $C-1$) of $N$ images, both
#   $(N,)$, a table of counts $(C,K)$: how many images of each class lie in each slot;
# - `majority_map(counts)`: the most common class of each slot, $(K,)$; $-1$ for a slot without images;
# - `accuracies(counts, slot_map, labelled_classes)`: a dictionary with `"accuracy"`, the share of all images whose slot
#   has the name of their class, and the same among the images of the labelled classes, `"accuracy_labelled_classes"`,
#   and among those of all others, `"accuracy_unlabelled_classes"`. `slot_map` $(K,)$ may come from other images;
#   `labelled_classes` is a list.

# %% [raw]
# # BEGIN SOLUTION

# %%
def contingency(slots, classes, K, C):
    """How many images of each class lie in each slot.     slots, classes (N,) -> (C,K)"""
    # BEGIN SOLUTION NO PROMPT
    counts = np.zeros((C, K), int)
    np.add.at(counts, (classes, slots), 1)
    return counts
    # END SOLUTION
    """ # BEGIN PROMPT
    raise NotImplementedError("contingency is not written yet")
    """  # END PROMPT


def majority_map(counts):
    """The most common class of each slot, −1 for an empty one.     (C,K) -> (K,)"""
    # BEGIN SOLUTION NO PROMPT
    return np.where(counts.sum(axis=0) > 0, counts.argmax(axis=0), -1)
    # END SOLUTION
    """ # BEGIN PROMPT
    raise NotImplementedError("majority_map is not written yet")
    """  # END PROMPT


def accuracies(counts, slot_map, labelled_classes):
    """Shares of images that are right, overall and by kind of class.     counts (C,K), slot_map (K,) -> dict"""
    # BEGIN SOLUTION NO PROMPT
    classes = np.arange(len(counts))
    right = (counts * (slot_map == classes[:, None])).sum(axis=1)
    known = np.isin(classes, labelled_classes)
    return {"accuracy": right.sum() / counts.sum(),
            "accuracy_labelled_classes": right[known].sum() / counts[known].sum(),
            "accuracy_unlabelled_classes": right[~known].sum() / counts[~known].sum()}
    # END SOLUTION
    """ # BEGIN PROMPT
    raise NotImplementedError("accuracies is not written yet")
    """  # END PROMPT

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
def test_counts(contingency):
    import checks
    import numpy as np
    counts = checks.answered(contingency, np.array([0, 0, 3, 0]), np.array([1, 1, 0, 0]), 4, 2)
    counts = checks.array(counts, (2, 4), "the table of counts, a row a class, a column a slot,")
    assert np.array_equal(counts, [[1, 0, 0, 1], [2, 0, 0, 0]]), "the table of counts: a row a class, a column a slot"

# %%
def test_names(majority_map):
    import checks
    import numpy as np
    found = checks.answered(majority_map, np.array([[3, 1, 0], [0, 2, 5], [1, 1, 0]]))
    found = checks.array(found, (3,), "the names of the slots")
    assert np.array_equal(found, [0, 1, 1]), "the names of the slots: the most common class in each"

# %%
def test_accuracies(accuracies):
    import checks
    import numpy as np
    counts = np.array([[8, 2, 0, 0], [1, 2, 3, 1], [0, 0, 0, 3]])
    expected = {"accuracy": 16 / 20, "accuracy_labelled_classes": 8 / 10, "accuracy_unlabelled_classes": 8 / 10}
    found = checks.entries(checks.answered(accuracies, counts, np.array([0, 1, 1, 2]), [0]), expected, "accuracies")
    for name, value in expected.items():
        assert np.isclose(found[name], value), f"{name}: of 20 images in a table, {value} should be right"
    uneven = checks.answered(accuracies, np.array([[9, 0], [0, 1], [1, 9]]), np.array([0, 1]), [2])
    uneven = checks.entries(uneven, expected, "accuracies")
    assert np.isclose(uneven["accuracy_unlabelled_classes"], 1), "accuracy_unlabelled_classes: classes 0 and 1"
    assert np.isclose(uneven["accuracy"], 0.5), "accuracy: a share of all images, however uneven the classes"

# %%
# HIDDEN
def test_empty_slot(majority_map):
    import checks
    import numpy as np
    found = checks.array(checks.answered(majority_map, np.array([[3, 0], [1, 0]])), (2,), "the names of the slots")
    assert np.array_equal(found, [0, -1]), "the name of a slot without images"

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q5
# points: [1, 1, 1]

# %% [markdown]
# ## Question 5: the experiment
#
# The digits 0, 1, 2, 8 and 9 have ten labels each; 3, 4, 5, 6 and 7 have none. There are $K=15$ slots: the first five
# belong to the labelled digits, in that order, and have $\pi_y=1/10$; the ten others are free, and have $1/20$ each.
#
# The objective is Eq. 2 with means, as in assignment 3, with the exact sum over $y$. It is given below, and calls your
# `bound_given_y`. (The package's `exact` lists the $K$ pairs of every image, and its `unlabelled_bound` adds them up by
# that list.) Training is given too; after each pass over the unlabelled images it notes $I(x;y)$ of the test images,
# the mutual information of assignment 3.

# %%
def objective(params, *, x_u, x_l, y_l, eps_u, eps_l, alpha, prior):
    """F = mean of L(x) over x_u + mean of L(x,y) + α log q(y|x) over (x_l, y_l), and its pullback."""
    N_u, N_l = len(x_u), len(x_l)
    log_q, q_pullback = log_q_y(params["q(y|x)"], np.concatenate([x_u, x_l]))
    pairs = exact(log_q[:N_u])
    P = len(pairs.y)
    x, y, eps = (np.concatenate(both) for both in ((x_u[pairs.example], x_l), (pairs.y, y_l), (eps_u, eps_l)))
    bound, bound_pullback = bound_given_y(params, x=x, y=y, eps=eps, prior=prior)
    L_x, L_x_pullback = unlabelled_bound(log_q[:N_u], bound[:P], y=pairs.y, example=pairs.example, weight=pairs.weight)
    label, at_pullback = at(log_q[N_u:], y_l)

    def pullback(dF):
        dlog_q, dbound = L_x_pullback(dF / N_u)
        dL_xy = np.full(N_l, dF / N_l, bound.dtype)
        dlog_q = np.concatenate([dlog_q, at_pullback(alpha * dL_xy)])
        return add({"q(y|x)": q_pullback(dlog_q)[0]}, bound_pullback(np.concatenate([dbound, dL_xy])))
    return L_x / N_u + (bound[P:] + alpha * label).sum() / N_l, pullback

# %%
digits, known = data.load("digits"), [0, 1, 2, 8, 9]
C = digits.C  # true classes
prior = np.array(data.slot_prior(C, len(known), extra=5), "float32")
K = len(prior)
grey, grey_test = (images.astype("float32") / digits.white for images in (digits.x_train, digits.x_test))
X, Z = grey.shape[1], 10
layout = Model("gm-dgm", tuple(prior.tolist()), X=X, Z=Z, H=100, hidden_layers=1).layout


def train(epochs, alpha=1.0, rate=4e-3, batch=100):
    """θ after so many passes over the unlabelled images, and I(x;y) of the test images after each."""
    rng, information = np.random.default_rng(0), []
    labelled, labels = data.hide_labels(digits.y_train, known, 10, rng)
    unlabelled = np.setdiff1d(np.arange(len(grey)), labelled)
    theta = layout.initial(rng)
    adam = Adam.like(theta)
    for epoch in range(epochs):
        for rows in np.array_split(rng.permutation(unlabelled), len(unlabelled) // batch):
            x_u, x_l = ((rng.random((len(r), X)) < grey[r]).astype("float32") for r in (rows, labelled))
            eps_u, eps_l = (rng.standard_normal((n, Z), dtype="float32") for n in (len(x_u) * K, len(x_l)))
            F, pullback = objective(layout.views(theta), x_u=x_u, x_l=x_l, y_l=labels, eps_u=eps_u, eps_l=eps_l,
                                    alpha=alpha, prior=prior)
            adam.ascend(theta, layout.flatten(pullback(np.float32(1)), theta), rate)
        log_q, _ = log_q_y(layout.views(theta)["q(y|x)"], grey_test)
        information.append(monitor(np.exp(log_q), prior)["mutual_information"])
    return theta, information

# %%
theta, information = train(epochs=80)

# %% [markdown]
# The slot of an image is the most probable $y$ under $q(y|x)$. Fill in two dictionaries of `accuracies` over the *test*
# images: `by_test`, with the slots named from the test images themselves, the paper's protocol; and `by_train`, with
# the slots named from the training images.

# %% [raw]
# # BEGIN SOLUTION

# %%
log_q_train, _ = log_q_y(layout.views(theta)["q(y|x)"], grey)
log_q_test, _ = log_q_y(layout.views(theta)["q(y|x)"], grey_test)
# BEGIN SOLUTION NO PROMPT
counts_train = contingency(log_q_train.argmax(axis=1), digits.y_train, K, C)
counts_test = contingency(log_q_test.argmax(axis=1), digits.y_test, K, C)
by_test = accuracies(counts_test, majority_map(counts_test), known)
by_train = accuracies(counts_test, majority_map(counts_train), known)
# END SOLUTION
""" # BEGIN PROMPT
# to be filled in
by_test = ...
by_train = ...
"""  # END PROMPT
for name in by_test:
    print(f"{name:<28} named from test images {by_test[name]:.1%}, from training images {by_train[name]:.1%}")

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
def test_slots_found(log_q_test, digits, prior):
    import checks
    import numpy as np
    from microgmdgm.evaluation import monitor
    log_q_test = checks.array(log_q_test, (len(digits.y_test), len(prior)), "log_q_test")
    figures = monitor(np.exp(log_q_test), prior)
    assert figures["mutual_information"] > 1.3 and figures["slots_used"] > len(prior) / 2, \
        f"q(y|x): {figures['slots_used']} slots in use, I(x;y) {figures['mutual_information']:.2f} nats: too few"

# %%
def test_never_labelled(by_test):
    import checks
    by_test = checks.entries(by_test, ("accuracy_unlabelled_classes", "accuracy_labelled_classes"), "by_test")
    found = by_test["accuracy_unlabelled_classes"]
    assert 0.6 < found <= 1, f"by_test: the never-labelled digits, of which {found:.0%} are right; 60 % must be"
    found = by_test["accuracy_labelled_classes"]
    assert 0.8 < found <= 1, f"by_test: the labelled digits, of which {found:.0%} are right; 80 % must be"

# %%
# HIDDEN
def test_maps(by_test, by_train, log_q_train, log_q_test):
    import checks
    import numpy as np
    from microgmdgm import data
    digits, names = data.load("digits"), {}
    for kind, log_q, classes in (("train", log_q_train, digits.y_train), ("test", log_q_test, digits.y_test)):
        slots = checks.array(log_q, (len(classes), None), f"log_q_{kind}").argmax(axis=1)
        names[kind] = [np.bincount(classes[slots == k]).argmax() if (slots == k).any() else -1
                       for k in range(log_q.shape[1])]
    for kind, found in (("train", by_train), ("test", by_test)):
        right = (np.array(names[kind])[np.argmax(log_q_test, axis=1)] == digits.y_test).mean()
        found = checks.entries(found, ("accuracy",), f"by_{kind}")
        assert np.isclose(found["accuracy"], right), f"by_{kind}: slots named from the {kind} images, tests counted"

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [markdown]
# ### What it has found
#
# Nothing to write here. $I(x;y)$ while training; where the test images of each digit lie; and for each slot an image
# that the model makes up, the mean of $p(x|z)$ at $z=\mu_y$.

# %%
figure, (left, middle) = plt.subplots(1, 2, figsize=(12, 4), layout="constrained", width_ratios=(1, 1.5))
left.plot(range(1, len(information) + 1), information)
left.set(title="The monitor", xlabel="epoch", ylabel="I(x;y) on test images (nats)")
counts = contingency(log_q_test.argmax(axis=1), digits.y_test, K, C)
middle.imshow(counts, cmap="Blues")
for c, k in zip(*np.nonzero(counts)):
    middle.text(k, c, counts[c, k], ha="center", va="center", fontsize=8, color="w" if counts[c, k] > 30 else "k")
middle.set(title=f"Test images: true digit and slot (first those of {known})", xlabel="slot", ylabel="true digit",
           xticks=range(K), yticks=range(C))
figure, ax = plt.subplots(figsize=(12, 1.3), layout="constrained")
params = layout.views(theta)
drawn = sigmoid(mlp(params["p(x|z)"], params["p(z|y)"][0])[0]).reshape(K, *digits.image_shape)
h, w = (side + 2 for side in digits.image_shape)
ax.imshow(np.pad(drawn, ((0, 0), (1, 1), (1, 1))).swapaxes(0, 1).reshape(h, w * K), cmap="gray_r")
ax.set(title="What each slot looks like", xticks=w * (np.arange(K) + 0.5), xticklabels=range(K), yticks=[],
       xlabel="slot")
plt.show()

# %% [raw]
# # BEGIN QUESTION
# name: w1
# manual: true
# points: 2

# %% [markdown]
# ## Written question 1
#
# Read your table of slots. Which never-labelled digits have slots of their own, which share one, and which lie in a
# slot of a labelled digit? Take one mistake that you see and say why the objective does not mind it much. (Four
# sentences.)

# %% [raw]
# # BEGIN SOLUTION

# %% [markdown]
# The answer depends on the run. Most never-labelled digits fill one or two free slots each, as the prior suggests: ten
# slots of 1/20 for five digits of 1/10. Some images of a never-labelled digit lie in the slot of a labelled digit that
# looks alike. The bound counts nats of reconstruction and of the two KL terms: an image that is drawn well
# from a neighbouring Gaussian costs little more there, and no label says that it should be elsewhere.
#
# *Points: 1 for reading the table rightly, 1 for the reason in terms of the bound.*

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
# Name two ways to get a higher figure by the paper's protocol (`by_test`) without a better model, and say for each how
# a reader could notice. Then: what would you have to run, and what would you keep the same, before you claim that
# GM-DGM does better here than M2? (Six sentences.)

# %% [raw]
# # BEGIN SOLUTION

# %% [markdown]
# More slots: naming each by its majority can only gain from a split, up to a slot for each image; the number of slots
# has to be reported, and the one-to-one accuracy falls. Naming slots from the images that are scored: `by_train` beside
# `by_test` shows what the names are worth (much the same here: 15 slots leave little room). Others: the best epoch or
# the best of ten runs by test accuracy; a reader asks for the last epoch, and for the mean and standard deviation over
# all runs. To compare with M2: the same networks, labels, prior, number of slots, optimiser, α and epochs for both,
# several seeds each that share the labels, and the difference set beside the spread over seeds. Settings tuned for one
# of the models alone would favour it.
#
# *Points: 1 for each way with how to notice it, 1 for a fair comparison with several seeds.*

# %% [raw]
# # END SOLUTION

# %% [raw]
# # END QUESTION
