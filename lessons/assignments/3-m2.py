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
# # Assignment 3. The sum over y, M2, and collapse
#
# | | |
# |---|---|
# | **You need** | lessons 6 and 7; assignments 1 and 2 |
# | **Time** | about 5 hours; training takes some ten seconds |
# | **Points** | 25: 20 by tests, 5 for the written questions |
# | **Hand in** | this notebook, saved after *Restart kernel and run all* |
#
# You write the two bounds of Kingma and Welling's model M2 and its objective, train it with and without labels, and
# show by the collapse monitor which of the two has learnt a class.
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
from microgmdgm.distributions import bernoulli, reparameterise, standard_gaussian_kl
from microgmdgm.evaluation import monitor
from microgmdgm.layers import class_mlp, halves
from microgmdgm.models import at, log_q_y
from microgmdgm.parameters import add

# %% [markdown]
# The contract is that of assignment 1: $\mathrm da=\partial F/\partial a$ for the objective $F$; a function returns its
# value and `pullback`, which takes the gradient with respect to the value and returns those with respect to the
# arguments before the `*`.
#
# **The model.** An image $x$, a row of $X$ pixels that are on or off, is drawn from a *class* $y$, one of
# $0,\dots,K-1$, and a latent $z$, a row of $Z$ numbers:
# $p(x,y,z)=p(x|y,z)\,p(y)\,p(z)$ with $p(z)=\mathcal N(0,I)$ and the prior $p(y)=\pi_y$, in code `prior[y]`. The
# encoders are $q(y|x)$, a classifier, and $q(z|x,y)=\mathcal N(z;\mu,\sigma^2)$ with $\mu$ and $\sigma^2$ computed from
# $x$ and $y$. The weights of the three networks come in a dictionary `params` with the keys `"q(y|x)"`, `"q(z|x,y)"`
# and `"p(x|y,z)"`.

# %% [raw]
# # BEGIN QUESTION
# name: q1
# points: [1, 1, 1]

# %% [markdown]
# ## Question 1: how unsure is q(y|x)?
#
# For each of $N$ images the entropy in nats is $H(q)=-\sum_yq(y)\log q(y)$. Write `entropy(log_q)` with
# $\log q$ $(N,K)$ and the value $(N,)$. The pullback returns `dlog_q`; treat the $K$ numbers $\log q(y)$ as free,
# though they belong to a distribution.

# %% [raw]
# # BEGIN SOLUTION

# %%
def entropy(log_q):
    """H(q) = −Σ_y q(y) log q(y).     log q (N,K) -> (N,)"""
    # BEGIN SOLUTION NO PROMPT
    q = np.exp(log_q)

    def pullback(dH):
        return -dH[:, None] * q * (1 + log_q)
    return -(q * log_q).sum(axis=-1), pullback
    # END SOLUTION
    """ # BEGIN PROMPT
    raise NotImplementedError("entropy is not written yet")
    """  # END PROMPT

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
def test_uniform(entropy):
    import checks
    import numpy as np
    value, _ = checks.both(entropy, np.full((2, 4), -np.log(4)))
    value = checks.array(value, (2,), "the entropy, one number for each image,")
    assert checks.close(value, np.log(4)), "the entropy: of a uniform q over 4 classes it is log 4"

# %%
def test_gradient(entropy):
    import checks
    import numpy as np
    rows = checks.compared(entropy, np.random.default_rng(1).standard_normal((3, 4)))
    assert rows and all(row.ok for row in rows), "the gradient with respect to log_q is not that of your value"

# %%
# HIDDEN
def test_scipy(entropy):
    import checks
    import numpy as np
    from scipy.stats import entropy as scipy_entropy
    q = np.random.default_rng(2).dirichlet(np.ones(5), 6)
    assert checks.close(checks.both(entropy, np.log(q))[0], scipy_entropy(q, axis=1)), "the entropy: scipy's differs"

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q2
# points: [2, 2, 2]

# %% [markdown]
# ## Question 2: the bound with a label
#
# Let there be $P$ pairs of an image and a class, in `x` $(P,X)$ and `y` $(P,)$. With one sample
# $z=\mu+\sigma\cdot\varepsilon$ of $q(z|x,y)$, from noise `eps` $(P,Z)$, the bound of a pair is
#
# $$L(x,y)=\log p(x|y,z)-\mathrm{KL}(q(z|x,y)\,\|\,p(z))+\log p(y),$$
#
# with the $\mathrm{KL}$ of two Gaussians of assignment 2 and the Bernoulli density $p(x|y,z)$ of the pixels.
# Write `bound_given_y(params, *, x, y, eps, prior)`, with `prior` $(K,)$, an array. The value is $(P,)$. The pullback
# returns one dictionary of gradients, with the keys `"q(z|x,y)"` and `"p(x|y,z)"` and lists like those in `params`;
# $q(y|x)$ has no part in it. Of the package you need
#
# - `class_mlp(layers, x, y=y)`: a network that sees each row of `x` and its class; the value is its output, and its
#   pullback returns `dlayers` and `dx`. The encoder gives $\mu$ and $\log\sigma^2$ side by side; the decoder is such a
#   network too, with $z$ in place of $x$, and gives logits;
# - `halves`, `bernoulli`, `reparameterise`, `standard_gaussian_kl`, as in assignment 2.

# %% [raw]
# # BEGIN SOLUTION

# %%
def bound_given_y(params, *, x, y, eps, prior):
    """L(x,y) = log p(x|y,z) − KL(q(z|x,y) ‖ p(z)) + log p(y).     x (P,X), y (P,), eps (P,Z) -> (P,)"""
    # BEGIN SOLUTION NO PROMPT
    h, encode_pullback = class_mlp(params["q(z|x,y)"], x, y=y)
    (mu, logvar), halves_pullback = halves(h)
    z, sample_pullback = reparameterise(mu, logvar, eps=eps)
    logits, decode_pullback = class_mlp(params["p(x|y,z)"], z, y=y)
    log_p, bernoulli_pullback = bernoulli(logits, x=x)
    kl, kl_pullback = standard_gaussian_kl(mu, logvar)

    def pullback(dL):
        ddecoder, dz = decode_pullback(bernoulli_pullback(dL))
        dmu, dlogvar = sample_pullback(dz)
        dmu_kl, dlogvar_kl = kl_pullback(-dL)
        dencoder, _ = encode_pullback(halves_pullback((dmu + dmu_kl, dlogvar + dlogvar_kl)))
        return {"q(z|x,y)": dencoder, "p(x|y,z)": ddecoder}
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
    prior = np.array([0.5, 0.3, 0.2])
    model = Model("m2", tuple(prior), X=5, Z=2, H=9, hidden_layers=1)
    params = model.layout.views(np.zeros(model.layout.size))
    eps = np.random.default_rng(1).standard_normal((4, 2))
    value, _ = checks.both(bound_given_y, params, x=np.eye(5)[:4], y=np.array([0, 1, 2, 0]), eps=eps, prior=prior)
    value = checks.array(value, (4,), "the bound, one number for each pair,")
    assert checks.close(value, -5 * np.log(2) + np.log(prior)[[0, 1, 2, 0]]), \
        "the bound: where all weights are 0, all that is left is -5 log 2 of 5 pixels, and the class"

# %%
def test_gradients(bound_given_y):
    import checks
    import numpy as np
    from microgmdgm import Model
    prior, rng = np.array([0.5, 0.3, 0.2]), np.random.default_rng(2)
    model = Model("m2", tuple(prior), X=5, Z=2, H=9, hidden_layers=1)
    params = model.layout.views(0.5 * rng.standard_normal(model.layout.size))
    params = {name: params[name] for name in ("q(z|x,y)", "p(x|y,z)")}
    x, y, eps = rng.integers(0, 2, (7, 5)).astype(float), rng.integers(0, 3, 7), rng.standard_normal((7, 2))
    rows = checks.compared(bound_given_y, params, x=x, y=y, eps=eps, prior=prior)
    names = {f"params[{name}][{i}]" for name in params for i in range(len(params[name]))}
    wrong = sorted(names - {row.name for row in rows} | {row.name for row in rows if not row.ok})
    assert not wrong, f"the gradient with respect to {', '.join(wrong)} is not that of your value"

# %%
# HIDDEN
def test_integral(bound_given_y):
    import checks
    import numpy as np
    from microgmdgm import Model
    from microgmdgm.layers import class_mlp
    from scipy.stats import bernoulli, norm
    prior, rng = np.array([0.5, 0.3, 0.2]), np.random.default_rng(3)
    model = Model("m2", tuple(prior), X=5, Z=1, H=9, hidden_layers=1)
    params = model.layout.views(0.5 * rng.standard_normal(model.layout.size))
    eps = np.linspace(-8, 8, 4001)
    x, y = np.tile([1.0, 0, 0, 1, 0], (4001, 1)), np.full(4001, 1)
    weight = norm.pdf(eps) * (eps[1] - eps[0])
    value, _ = checks.both(bound_given_y, params, x=x, y=y, eps=eps[:, None], prior=prior)
    value = checks.array(value, (4001,), "the bound")
    mu, logvar = class_mlp(params["q(z|x,y)"], x[:1], y=y[:1])[0][0]
    q = norm(mu, np.sqrt(np.exp(logvar)))
    z = np.linspace(mu - 8 * q.std(), mu + 8 * q.std(), 4001)
    logits, _ = class_mlp(params["p(x|y,z)"], z[:, None], y=y)
    log_p_x = bernoulli.logpmf(x, 1 / (1 + np.exp(-logits))).sum(axis=1)
    L = (q.pdf(z) * (log_p_x + norm.logpdf(z) + np.log(0.3) - q.logpdf(z))).sum() * (z[1] - z[0])
    assert checks.close((weight * value).sum(), L, atol=1e-3), \
        "the bound: its mean over ε must be the integral of q(z|x,y) log [p(x|y,z) p(z) p(y) / q(z|x,y)] over z"

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q3
# points: [1, 2, 2]

# %% [markdown]
# ## Question 3: the bound without a label
#
# Without its label $y$ is latent, and the bound sums over all classes:
#
# $$L(x)=\sum_{y}q(y|x)\,\big[L(x,y)-\log q(y|x)\big].$$
#
# Write `unlabelled_bound(log_q, L_xy)` with $\log q(y|x)$ and $L(x,y)$ both $(N,K)$; the value is $(N,)$, and the
# pullback returns `dlog_q` and `dL_xy`. Your `entropy` may help.

# %% [raw]
# # BEGIN SOLUTION

# %%
def unlabelled_bound(log_q, L_xy):
    """L(x) = Σ_y q(y|x) [L(x,y) − log q(y|x)].     both (N,K) -> (N,)"""
    # BEGIN SOLUTION NO PROMPT
    q = np.exp(log_q)

    def pullback(dL):
        d = dL[:, None]
        return d * q * (L_xy - log_q - 1), d * q
    return (q * (L_xy - log_q)).sum(axis=-1), pullback
    # END SOLUTION
    """ # BEGIN PROMPT
    raise NotImplementedError("unlabelled_bound is not written yet")
    """  # END PROMPT

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
def test_one_hot(unlabelled_bound):
    import checks
    import numpy as np
    L_xy = np.random.default_rng(1).standard_normal((3, 3))
    value, _ = checks.both(unlabelled_bound, np.where(np.eye(3), 0.0, -700.0), L_xy)
    value = checks.array(value, (3,), "the bound, one number for each image,")
    assert checks.close(value, np.diag(L_xy)), "the bound: where q(y|x) is sure of a class it is L(x,y) of that class"

# %%
def test_gradients(unlabelled_bound):
    import checks
    import numpy as np
    log_q, L_xy = np.random.default_rng(2).standard_normal((2, 4, 3))
    rows = checks.compared(unlabelled_bound, log_q, L_xy)
    wrong = {"log_q", "L_xy"} - {row.name for row in rows} | {row.name for row in rows if not row.ok}
    assert not wrong, f"the gradient with respect to {' and '.join(sorted(wrong))} is not that of your value"

# %%
# HIDDEN
def test_best_q(unlabelled_bound):
    import checks
    import numpy as np
    from scipy.special import log_softmax, logsumexp
    L_xy = np.random.default_rng(3).standard_normal((4, 3))
    value, _ = checks.both(unlabelled_bound, log_softmax(L_xy, axis=1), L_xy)
    assert checks.close(value, logsumexp(L_xy, axis=1)), \
        "the bound: with q(y|x) proportional to e^L(x,y) it is log of the sum of e^L(x,y) over y, its largest value"

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q4
# points: [1, 1, 1]

# %% [markdown]
# ## Question 4: the objective
#
# A batch has a set $D_u$ of $N_u$ images without a label, `x_u` $(N_u,X)$, and a set $D_\ell$ of $N_\ell$ images with
# one: `x_l` $(N_\ell,X)$ and their labels `y_l` $(N_\ell,)$. With means in place of the sums of the paper's Eq. 2, and
# with a weight $\alpha$ of the labels, `alpha`, the objective is
#
# $$F=\frac1{N_u}\sum_{x\in D_u}L(x)+\frac1{N_\ell}\sum_{(x,y)\in D_\ell}\big[L(x,y)+\alpha\log q(y|x)\big].$$
#
# The noise is `eps_u` $(N_uK,Z)$, the $K$ rows of the first image first, one for each class, and then those of the
# second; and `eps_l` $(N_\ell,Z)$. If $N_\ell$ is 0 the second mean is 0. Write
# `objective(params, *, x_u, x_l, y_l, eps_u, eps_l, alpha, prior)`. The value is one number. Its pullback
# takes one number and returns a dictionary of gradients with all three keys of `params`. Of the package you need
#
# - `log_q_y(layers, x)`: $\log q(y|x)$, $(N,K)$; its pullback returns `dlayers` and `dx`;
# - `at(log_q, y)`: $\log q(y_n|x_n)$, $(N,)$, of the class `y[n]` in each row; its pullback returns `dlog_q`;
# - `add(first, second, …)`: the sum of dictionaries of gradients.

# %% [raw]
# # BEGIN SOLUTION

# %%
def objective(params, *, x_u, x_l, y_l, eps_u, eps_l, alpha, prior):
    """F, Eq. 2 with means.     x_u (N_u,X), x_l (N_l,X), y_l (N_l,), eps_u (N_u K,Z), eps_l (N_l,Z) -> a number"""
    # BEGIN SOLUTION NO PROMPT
    (N_u, N_l), K = (len(x_u), len(x_l)), len(prior)
    log_q, q_pullback = log_q_y(params["q(y|x)"], x_u)
    L_pairs, pairs_pullback = bound_given_y(params, x=np.repeat(x_u, K, axis=0), y=np.tile(np.arange(K), N_u),
                                            eps=eps_u, prior=prior)
    L_x, L_x_pullback = unlabelled_bound(log_q, L_pairs.reshape(N_u, K))
    L_xy, L_xy_pullback = bound_given_y(params, x=x_l, y=y_l, eps=eps_l, prior=prior)
    log_q_l, q_l_pullback = log_q_y(params["q(y|x)"], x_l)
    label, at_pullback = at(log_q_l, y_l)
    n_l = max(N_l, 1)

    def pullback(dF):
        dlog_q, dL_pairs = L_x_pullback(np.ones(N_u, x_u.dtype) * dF / N_u)
        dL_xy = np.ones(N_l, x_u.dtype) * dF / n_l
        return add({"q(y|x)": q_pullback(dlog_q)[0]}, {"q(y|x)": q_l_pullback(at_pullback(alpha * dL_xy))[0]},
                   pairs_pullback(dL_pairs.reshape(-1)), L_xy_pullback(dL_xy))
    return L_x.sum() / N_u + L_xy.sum() / n_l + alpha * label.sum() / n_l, pullback
    # END SOLUTION
    """ # BEGIN PROMPT
    raise NotImplementedError("objective is not written yet")
    """  # END PROMPT

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
def test_two_means(objective, bound_given_y, unlabelled_bound):
    import checks
    import numpy as np
    from microgmdgm import Model
    from microgmdgm.models import log_q_y
    prior, rng = np.array([0.5, 0.3, 0.2]), np.random.default_rng(1)
    model = Model("m2", tuple(prior), X=5, Z=2, H=9, hidden_layers=1)
    params = model.layout.views(0.5 * rng.standard_normal(model.layout.size))
    x, y_l = rng.integers(0, 2, (6, 5)).astype(float), np.array([0, 2])
    eps_u, eps_l = rng.standard_normal((12, 2)), rng.standard_normal((2, 2))
    value, _ = checks.both(objective, params, x_u=x[:4], x_l=x[4:], y_l=y_l, eps_u=eps_u, eps_l=eps_l, alpha=0.0,
                           prior=prior)
    def L(x, y, eps):
        value, _ = checks.both(bound_given_y, params, x=x, y=y, eps=eps, prior=prior)
        return checks.array(value, (len(x),), "your L(x,y)")
    L_xy, L_l = [L(x[:4], np.full(4, y), eps_u[y::3]) for y in range(3)], L(x[4:], y_l, eps_l)
    L_x, _ = checks.both(unlabelled_bound, log_q_y(params["q(y|x)"], x[:4])[0], np.stack(L_xy, axis=1))
    value, L_x = checks.array(value, (), "the objective"), checks.array(L_x, (4,), "your L(x)")
    assert checks.close(value, L_x.mean() + L_l.mean()), \
        "the objective: for α = 0 it must be the mean of your L(x) plus the mean of your L(x,y)"

# %%
def test_gradients(objective):
    import checks
    import numpy as np
    from microgmdgm import Model, models
    prior, rng = np.array([0.5, 0.3, 0.2]), np.random.default_rng(2)
    model = Model("m2", tuple(prior), X=5, Z=2, H=9, hidden_layers=1)
    params = model.layout.views(0.5 * rng.standard_normal(model.layout.size))
    x, eps = rng.integers(0, 2, (6, 5)).astype(float), rng.standard_normal((14, 2))
    def stand_in(log_q, L_xy):  # not the bound, but its pullback fits it
        def pullback(d):
            return d[:, None] * L_xy, d[:, None] * log_q
        return (log_q * L_xy).sum(axis=-1), pullback
    def bound_given_y(params, *, x, y, eps, prior):
        return models.bound_given_y(model, params, x=x, y=y, eps=eps)
    parts = {"unlabelled_bound": stand_in, "bound_given_y": bound_given_y}
    with checks.given(objective, **parts):  # an error in yours has cost its points already
        rows = checks.compared(objective, params, x_u=x[:4], x_l=x[4:], y_l=np.array([0, 2]), eps_u=eps[:12],
                               eps_l=eps[12:], alpha=3.0, prior=prior)
    names = {f"params[{name}][{i}]" for name in params for i in range(len(params[name]))}
    wrong = sorted(names - {row.name for row in rows} | {row.name for row in rows if not row.ok})
    assert not wrong, f"the gradient with respect to {', '.join(wrong)} is not that of your value"

# %%
# HIDDEN
def test_alpha(objective):
    import checks
    import numpy as np
    from microgmdgm import Model
    from microgmdgm.models import log_q_y
    prior, rng = np.array([0.5, 0.3, 0.2]), np.random.default_rng(3)
    model = Model("m2", tuple(prior), X=5, Z=2, H=9, hidden_layers=1)
    params = model.layout.views(0.5 * rng.standard_normal(model.layout.size))
    x, eps = rng.integers(0, 2, (6, 5)).astype(float), rng.standard_normal((14, 2))
    def F(alpha):
        value, _ = checks.both(objective, params, x_u=x[:4], x_l=x[4:], y_l=np.array([0, 2]), eps_u=eps[:12],
                               eps_l=eps[12:], alpha=alpha, prior=prior)
        return checks.array(value, (), "the objective")
    log_q, _ = log_q_y(params["q(y|x)"], x[4:])
    assert checks.close(F(1.0) - F(0.0), (log_q[0, 0] + log_q[1, 2]) / 2), \
        "the label term: the objective must grow with α by the mean of log q(y|x) of the labels"

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q5
# points: [1, 1, 1]

# %% [markdown]
# ## Question 5: collapse, shown by the monitor
#
# The digits again, 8×8 pixels, $K=10$ classes, all equally likely. You train M2 twice, without any label and with ten
# labels of each digit. After each epoch, a pass over the unlabelled images, two figures of the test images are kept:
#
# - `information`, the mutual information $I(x;y)=H(\bar q)-\frac1N\sum_xH(q(y|x))$ with
#   $\bar q(y)=\frac1N\sum_xq(y|x)$, in nats: 0 if $y$ says nothing of $x$, and at most $\log K$. It is the entry
#   `"mutual_information"` of `monitor(q, prior)`, which takes $q(y|x)$ $(N,K)$, not its logarithm;
# - `L_x`, the mean of your $L(x)$ with noise `eps_test` $(NK,Z)$, in the order of question 4.
#
# Fill in the gradient of the step, and both figures. `layout.views(theta)` gives `params` and
# `layout.flatten(grads, theta)` makes one vector of a dictionary of gradients.

# %%
digits, K = data.load("digits"), 10
prior = np.full(K, 1 / K, "float32")
grey, grey_test = (images.astype("float32") / 16 for images in (digits.x_train, digits.x_test))
layout = Model("m2", tuple(float(p) for p in prior), X=64, Z=10, H=64, hidden_layers=1).layout

# %% [raw]
# # BEGIN SOLUTION

# %%
def figures(theta, x_test, eps_test):
    """(L_x, information) of the test images."""
    params = layout.views(theta)
    # BEGIN SOLUTION NO PROMPT
    log_q, _ = log_q_y(params["q(y|x)"], x_test)
    L_pairs, _ = bound_given_y(params, x=np.repeat(x_test, K, axis=0), y=np.tile(np.arange(K), len(x_test)),
                               eps=eps_test, prior=prior)
    L_x = unlabelled_bound(log_q, L_pairs.reshape(-1, K))[0].mean()
    information = monitor(np.exp(log_q), prior)["mutual_information"]
    # END SOLUTION
    """ # BEGIN PROMPT
    L_x = ...
    information = ...
    """  # END PROMPT
    return L_x, information

# %%
def train(labels_per_class, epochs, alpha=30.0, rate=4e-3, batch=100):
    """(L_x, information) after each epoch, (epochs, 2)."""
    rng, history = np.random.default_rng(0), []
    labelled, labels = data.hide_labels(digits.y_train, range(10), labels_per_class, rng)
    unlabelled = np.setdiff1d(np.arange(len(grey)), labelled)
    x_test = (rng.random(grey_test.shape) < grey_test).astype("float32")
    eps_test = rng.standard_normal((len(x_test) * K, 10), dtype="float32")
    theta = layout.initial(rng)
    adam = Adam.like(theta)
    for epoch in range(epochs):
        for rows in np.array_split(rng.permutation(unlabelled), len(unlabelled) // batch):
            chosen = rng.integers(0, len(labels), min(len(labels), batch // 2))
            x_u, x_l = ((rng.random((len(r), 64)) < grey[r]).astype("float32") for r in (rows, labelled[chosen]))
            y_l = labels[chosen]
            eps_u, eps_l = (rng.standard_normal((n, 10), dtype="float32") for n in (len(x_u) * K, len(x_l)))
            params = layout.views(theta)
            # BEGIN SOLUTION NO PROMPT
            F, pullback = objective(params, x_u=x_u, x_l=x_l, y_l=y_l, eps_u=eps_u, eps_l=eps_l,
                                    alpha=alpha, prior=prior)
            g = layout.flatten(pullback(np.float32(1)), theta)
            # END SOLUTION
            """ # BEGIN PROMPT
            # to be filled in: the gradient of the objective with respect to θ
            g = ...
            """  # END PROMPT
            adam.ascend(theta, g, rate)
        history.append(figures(theta, x_test, eps_test))
    return np.array(history)

# %%
without_labels, with_labels = train(0, epochs=25), train(10, epochs=25)
for name, history in (("without labels", without_labels), ("ten labels a digit", with_labels)):
    print(f"{name:<18} L(x) {history[-1, 0]:.1f} nats, I(x;y) {history[-1, 1]:.2f} nats")

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
def test_collapse(without_labels):
    import checks
    import numpy as np
    without_labels = checks.array(without_labels, (None, 2), "without_labels")
    assert without_labels[-1, 0] > -27, "L(x): without labels, at the end, it must come above -27 nats"
    assert abs(without_labels[-1, 1]) < 0.5 * np.log(2), \
        "I(x;y): without labels, at the end, it must lie below ½ log 2: y has collapsed"

# %%
def test_labels(with_labels):
    import checks
    import numpy as np
    with_labels = checks.array(with_labels, (None, 2), "with_labels")
    assert with_labels[-1, 0] > -27, "L(x): with labels, at the end, it must come above -27 nats"
    assert 1.5 < with_labels[-1, 1] <= np.log(10), "I(x;y): with labels it must end between 1.5 and log 10 nats"

# %%
# HIDDEN
def test_the_bound_hardly_shows_it(without_labels, with_labels):
    import checks
    without_labels = checks.array(without_labels, (None, 2), "without_labels")
    with_labels = checks.array(with_labels, (None, 2), "with_labels")
    apart = abs(without_labels[-1, 0] - with_labels[-1, 0])
    assert apart < 2, f"L(x): the two runs must end less than 2 nats apart; yours are {apart:.1f} apart"

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [markdown]
# ### Both runs, side by side
#
# Nothing to write here.

# %%
figure, axes = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
labels = ("The bound", "L(x), mean over test images (nats)"), ("The monitor", "I(x;y) on test images (nats)")
for column, (ax, (title, ylabel)) in enumerate(zip(axes, labels)):
    for name, history, style in (("without labels", without_labels, "-"), ("ten labels a digit", with_labels, "--")):
        ax.plot(range(1, len(history) + 1), history[:, column], style, linewidth=2, label=name)
    ax.set(title=title, xlabel="epoch", ylabel=ylabel)
axes[1].axhline(np.log(10), color="0.6", linewidth=1)
axes[1].text(1, np.log(10) - 0.13, "log 10", color="0.35")
axes[0].legend(loc="lower right")
plt.show()

# %% [raw]
# # BEGIN QUESTION
# name: w1
# manual: true
# points: 3

# %% [markdown]
# ## Written question 1
#
# Describe both panels of your figure. Then explain in your own words why, without labels, $q(y|x)$ ends at the prior
# and stays there: what do the $L(x,y)$ of an image look like for the different classes at the start, which $q(y|x)$ is
# then the best, and what does that $q(y|x)$ teach the decoder? (Five to seven sentences.)

# %% [raw]
# # BEGIN SOLUTION

# %% [markdown]
# The bounds of both runs rise alike and end within about a nat of each other; $I(x;y)$ rises towards $\log 10$ with
# labels and stays near 0 without. At the start the decoder's use of $y$ has nothing to do with the digit, so that the
# $L(x,y)$ of an image are about equal for all $y$. Then $L(x)$ is about $L(x,y)+H(q(y|x))$, and the uniform $q(y|x)$,
# which is the prior here, is the best. Under it every image trains the decoder with every class alike, so that the
# decoder gets no reason to tell classes apart, and the $L(x,y)$ stay equal. No small step out of this is a gain: $z$
# tells meanwhile what $y$ could have told, at the same price.
#
# *Points: 1 for the figure, 1 for equal L(x,y) and the uniform q as the best, 1 for the decoder and the fixed point.*

# %% [raw]
# # END SOLUTION

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: w2
# manual: true
# points: 2

# %% [markdown]
# ## Written question 2
#
# A model has $I(x;y)=\log10$ on test images of ten digits. Can you conclude that $y$ is the digit? And if $I(x;y)=0$,
# can you conclude that the model's images of different $y$ look alike? Give a reason or a counterexample for each.
# (Three or four sentences.)

# %% [raw]
# # BEGIN SOLUTION

# %% [markdown]
# No: $\log10$ says that the answers are sure and the ten classes equally common, whatever they group; ten thicknesses
# of the stroke would do. No again: $I(x;y)$ is a property of $q(y|x)$, not of the decoder. A classifier that always
# answers with the prior, or with one class, has $I=0$ also beside a decoder that draws ten different digits, for
# example one taken from a model trained with labels.
#
# *Points: 1 each.*

# %% [raw]
# # END SOLUTION

# %% [raw]
# # END QUESTION
