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
# # Assignment 1. Densities, and gradients by hand
#
# | | |
# |---|---|
# | **You need** | lessons 1 and 2; NumPy; the chain rule |
# | **Time** | about 4 hours |
# | **Points** | 25: 20 by tests, 5 for the written questions |
# | **Hand in** | this notebook, saved after *Restart kernel and run all* |
#
# You write the densities and layers that all later models are made of, each with its gradient, and check them.
#
# **Rules.** Write every function yourself, in NumPy. The package `microgmdgm` has functions of the same names: calling
# them, or copying them, earns nothing. You may call what you have written further up, and `check_pullback` as often
# as you like. After each question `grader.check` runs its public tests; some points hang on further tests that run
# when your notebook is graded.

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

# %% [markdown]
# ## The contract: value and pullback
#
# Let $F$ be the one number that is to become large, the *objective*. For an array $a$ on the way to $F$ we write
# $\mathrm da$, in code `da`, for the gradient $\partial F/\partial a$, an array of the shape of $a$.
#
# Every function here returns two things: its **value**, and a function called `pullback`. Given the gradient of $F$
# with respect to the value, `pullback` returns the gradients with respect to the arguments, in their order. Arguments
# that are data and need no gradient are passed by name, after the `*`. An example, $s_n=\sum_d a_{nd}^2$ for each of
# $N$ rows of $D$ numbers:

# %%
def sum_of_squares(a):
    """s_n = Σ_d a_nd².     a (N,D) -> s (N,)"""
    def pullback(ds):
        return 2 * a * ds[:, None]
    return (a**2).sum(axis=-1), pullback


rows = check_pullback(sum_of_squares, np.random.default_rng(0).standard_normal((3, 4)))

# %% [markdown]
# `check_pullback` has compared our gradient with that of autograd, which differentiates the code of your value, and
# with differences. Two things stop autograd: writing into an array (`a[0] = …`, `out=…`) on the way to the value, and
# turning arrays into Python numbers.

# %% [raw]
# # BEGIN QUESTION
# name: q1
# points: [1, 2, 1]

# %% [markdown]
# ## Question 1: a Gaussian
#
# An example $x$ is a row of $D$ real numbers $x_d$; $N$ examples are an array $(N,D)$. Under a Gaussian with means
# $\mu_d$ and variances $\sigma_d^2$ the log-density of an example is
#
# $$\log\mathcal N(x;\mu,\sigma^2)
# =-\tfrac12\sum_{d=1}^D\Big[\log2\pi+\log\sigma_d^2+\frac{(x_d-\mu_d)^2}{\sigma_d^2}\Big].$$
#
# `mu` holds $\mu$ and `logvar` holds $\log\sigma^2$, the logarithm of the *variance*; both are $(N,D)$, like `x`. Write
# `gaussian(mu, logvar, *, x)`. Its value has the shape $(N,)$, and its pullback returns `dmu` and `dlogvar`.

# %% [raw]
# # BEGIN SOLUTION

# %%
def gaussian(mu, logvar, *, x):
    """log N(x; μ, σ²), summed over d.     all (N,D) -> (N,)"""
    # BEGIN SOLUTION NO PROMPT
    precision = np.exp(-logvar)
    scaled = (x - mu) * precision
    squares = (x - mu) * scaled

    def pullback(dlog_p):
        d = dlog_p[:, None]
        return d * scaled, 0.5 * d * (squares - 1)
    return -0.5 * (np.log(2 * np.pi) + logvar + squares).sum(axis=-1), pullback
    # END SOLUTION
    """ # BEGIN PROMPT
    raise NotImplementedError("gaussian is not written yet")
    """  # END PROMPT

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
def test_standard(gaussian):
    import checks
    import numpy as np
    value, _ = checks.both(gaussian, np.zeros((2, 3)), np.zeros((2, 3)), x=np.zeros((2, 3)))
    value = checks.array(value, (2,), "the value, one number for each example,")
    assert checks.close(value, -1.5 * np.log(2 * np.pi)), "the value: log N(0; 0, I) of 3 dimensions is -3/2 log 2π"

# %%
def test_gradients(gaussian):
    import checks
    import numpy as np
    mu, logvar, x = np.random.default_rng(1).standard_normal((3, 4, 5))
    rows = checks.compared(gaussian, mu, logvar, x=x)
    wrong = {"mu", "logvar"} - {row.name for row in rows} | {row.name for row in rows if not row.ok}
    assert not wrong, f"the gradient with respect to {' and '.join(sorted(wrong))} is not that of your value"

# %%
# HIDDEN
def test_scipy(gaussian):
    import checks
    import numpy as np
    from scipy.stats import norm
    mu, logvar, x = np.random.default_rng(2).standard_normal((3, 6, 4))
    expected = norm.logpdf(x, mu, np.sqrt(np.exp(logvar))).sum(axis=1)
    value, _ = checks.both(gaussian, mu, logvar, x=x)
    assert checks.close(value, expected), "the value: scipy's log-density differs where σ ≠ 1"

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q2
# points: [1, 1, 1, 1]

# %% [markdown]
# ## Question 2: pixels that are on or off
#
# Now every $x_d$ is 0 or 1. A network gives a *logit* $l_d$, any real number, for each, and
# $p(x_d=1)=1/(1+e^{-l_d})$. The $x_d$ are independent given the logits, so that
#
# $$\log p(x)=\sum_{d=1}^D\big[x_d\,l_d-\log(1+e^{l_d})\big].$$
#
# Write `bernoulli(logits, *, x)`, with `logits` and `x` $(N,D)$, the value $(N,)$ and one gradient, `dlogits`. It must
# be right also where $|l_d|$ is large, 1000 say: lesson 1 shows how.

# %% [raw]
# # BEGIN SOLUTION

# %%
def bernoulli(logits, *, x):
    """log p(x) = Σ_d [x_d l_d − log(1 + e^l_d)].     both (N,D) -> (N,)"""
    # BEGIN SOLUTION NO PROMPT
    softplus = np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits)))

    def pullback(dlog_p):
        p = 0.5 + 0.5 * np.tanh(0.5 * logits)
        return dlog_p[:, None] * (x - p)
    return (x * logits - softplus).sum(axis=-1), pullback
    # END SOLUTION
    """ # BEGIN PROMPT
    raise NotImplementedError("bernoulli is not written yet")
    """  # END PROMPT

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
def test_fair_coins(bernoulli):
    import checks
    import numpy as np
    value, _ = checks.both(bernoulli, np.zeros((2, 3)), x=np.eye(3)[:2])
    value = checks.array(value, (2,), "the value, one number for each example,")
    assert checks.close(value, -3 * np.log(2)), "the value: three fair coins have log p(x) = -3 log 2"

# %%
def test_gradient(bernoulli):
    import checks
    import numpy as np
    rng = np.random.default_rng(1)
    rows = checks.compared(bernoulli, rng.standard_normal((4, 5)), x=rng.integers(0, 2, (4, 5)))
    assert rows and all(row.ok for row in rows), "the gradient with respect to logits is not that of your value"

# %%
# HIDDEN
def test_scipy(bernoulli):
    import checks
    import numpy as np
    from scipy.stats import bernoulli as scipy_bernoulli
    rng = np.random.default_rng(2)
    logits, x = rng.standard_normal((6, 4)), rng.integers(0, 2, (6, 4))
    expected = scipy_bernoulli.logpmf(x, 1 / (1 + np.exp(-logits))).sum(axis=1)
    assert checks.close(checks.both(bernoulli, logits, x=x)[0], expected), "the value: scipy's log-probability differs"

# %%
# HIDDEN
def test_far_logits(bernoulli):
    import checks
    import numpy as np
    with np.errstate(all="ignore"):
        value, pullback = checks.both(bernoulli, np.array([[1000.0], [-1000.0], [1000.0]]),
                                      x=np.array([[0.0], [1.0], [1.0]]))
        gradient, = checks.gradients(pullback, np.ones(3), {"dlogits": (3, 1)})
    assert checks.close(value, [-1000, -1000, 0]), "the value at logits of ±1000: -1000 where x is the other, else 0"
    assert checks.close(np.abs(gradient).ravel(), [1, 1, 0]), "the gradient at logits of ±1000: its size is 1, 1 and 0"

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q3
# points: [1, 2]

# %% [markdown]
# ## Question 3: the dense layer
#
# $N$ examples of $I$ inputs each are the rows of $x$ $(N,I)$. With weights $W$ $(I,O)$ and biases $b$ $(1,O)$ the
# layer gives $a=xW+b$, $O$ outputs an example. Write `dense(W, b, x)`, whose pullback returns `dW`, `db` and `dx`,
# each of the shape of its argument.

# %% [raw]
# # BEGIN SOLUTION

# %%
def dense(W, b, x):
    """a = x W + b.     W (I,O), b (1,O), x (N,I) -> a (N,O)"""
    # BEGIN SOLUTION NO PROMPT
    def pullback(da):
        return x.T @ da, da.sum(axis=0, keepdims=True), da @ W.T
    return x @ W + b, pullback
    # END SOLUTION
    """ # BEGIN PROMPT
    raise NotImplementedError("dense is not written yet")
    """  # END PROMPT

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
def test_value(dense):
    import checks
    import numpy as np
    W, b = np.random.default_rng(1).standard_normal((3, 2)), np.array([[10.0, -20.0]])
    value, _ = checks.both(dense, W, b, np.eye(3))
    value = checks.array(value, (3, 2))
    assert checks.close(value, W + b), "the value: for x the identity matrix it is W, with b added to each row"

# %%
def test_gradients(dense):
    import checks
    import numpy as np
    rng = np.random.default_rng(2)
    W, b, x = rng.standard_normal((3, 2)), rng.standard_normal((1, 2)), rng.standard_normal((5, 3))
    rows = checks.compared(dense, W, b, x)
    wrong = {"W", "b", "x"} - {row.name for row in rows} | {row.name for row in rows if not row.ok}
    assert not wrong, f"the gradient with respect to {' and '.join(sorted(wrong))} is not that of your value"

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q4
# points: [1, 1]

# %% [markdown]
# ## Question 4: the ReLU
#
# $h=\max(a,0)$, element by element, for $a$ of any shape. Write `relu(a)`, whose pullback takes `dh` and returns `da`.
# At $a=0$ exactly, where there is no derivative, let it be 0.

# %% [raw]
# # BEGIN SOLUTION

# %%
def relu(a):
    """h = max(a, 0), element by element."""
    # BEGIN SOLUTION NO PROMPT
    def pullback(dh):
        return dh * (a > 0)
    return np.maximum(a, 0), pullback
    # END SOLUTION
    """ # BEGIN PROMPT
    raise NotImplementedError("relu is not written yet")
    """  # END PROMPT

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
def test_value(relu):
    import checks
    import numpy as np
    value, _ = checks.both(relu, np.array([[-2.0, 0.0, 3.0]]))
    assert checks.close(checks.array(value, (1, 3)), [[0, 0, 3]]), "the value: negative inputs give 0, positive ones themselves"

# %%
def test_gradient(relu):
    import checks
    import numpy as np
    rows = checks.compared(relu, np.random.default_rng(1).standard_normal((4, 5)))
    assert rows and all(row.ok for row in rows), "the gradient with respect to a is not that of your value"
    _, pullback = checks.both(relu, np.zeros((1, 2)))
    da, = checks.gradients(pullback, np.ones((1, 2)), {"da": (1, 2)})
    assert np.all(da == 0), "the gradient with respect to a, at a = 0"

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q5
# points: [1, 1, 1]

# %% [markdown]
# ## Question 5: a check of your own
#
# How does one check a gradient without autograd? Let $F$ be a function of an array $\theta$. Change one element
# $\theta_i$ by a small step $h$ in both directions and leave the others alone; the *central difference*
#
# $$\frac{\partial F}{\partial\theta_i}\approx\frac{F(\theta+h\,e_i)-F(\theta-h\,e_i)}{2h},$$
#
# with $e_i$ 1 at element $i$ and 0 elsewhere, has an error of the order $h^2$. Write
# `difference_gradient(F, theta, h)`: an array of the shape of `theta` with the central difference at each element.
# `F` takes an array of that shape and returns a number. After the call `theta` must be as it was before.

# %% [raw]
# # BEGIN SOLUTION

# %%
def difference_gradient(F, theta, h=1e-5):
    """∂F/∂θ_i by central differences.     θ of any shape -> an array of that shape"""
    # BEGIN SOLUTION NO PROMPT
    gradient = np.zeros(theta.shape)
    for i in np.ndindex(*theta.shape):
        step = np.zeros(theta.shape)
        step[i] = h
        gradient[i] = (F(theta + step) - F(theta - step)) / (2 * h)
    return gradient
    # END SOLUTION
    """ # BEGIN PROMPT
    raise NotImplementedError("difference_gradient is not written yet")
    """  # END PROMPT

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
def test_linear(difference_gradient):
    import checks
    import numpy as np
    slope = np.random.default_rng(1).standard_normal((2, 3))
    found = checks.answered(difference_gradient, lambda theta: (slope * theta).sum(), np.ones((2, 3)), 0.1)
    found = checks.array(found, (2, 3), "the gradient")
    assert checks.close(found, slope), "the difference: it must be exact for a linear F, whatever the step"

# %%
def test_theta_is_left_alone(difference_gradient):
    import checks
    import numpy as np
    theta = np.arange(4.0)
    checks.answered(difference_gradient, lambda theta: (theta**2).sum(), theta, 0.1)
    assert np.array_equal(theta, np.arange(4.0)), "theta: after the call it must be as it was before"

# %%
# HIDDEN
def test_order(difference_gradient):
    import checks
    import numpy as np
    theta = np.array([1.0, 2.0])
    found = checks.answered(difference_gradient, lambda theta: (theta**2).sum(), theta, 0.1)
    assert checks.close(found, 2 * theta), "the difference: a central one is exact for a quadratic F too"

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q6
# points: [1, 2, 1]

# %% [markdown]
# ## Question 6: a classifier
#
# Two dense layers with a ReLU between them turn an image $x$ into $K$ logits $l_1,\dots,l_K$, one for each class $y$,
# and
#
# $$\log q(y|x)=l_y-\log\sum_{j=1}^Ke^{l_j}.$$
#
# Write `log_q_y(layers, x)` with your `dense` and `relu`. `layers` is the list $[W_1,b_1,W_2,b_2]$ of shapes $(I,H)$,
# $(1,H)$, $(H,K)$, $(1,K)$, with $H$ hidden units; `x` is $(N,I)$. The value is $(N,K)$, $\log q(y|x)$ of every class.
# The pullback returns `dlayers`, a list like `layers`, and `dx`. Forwards you go up the layers; the pullback goes down
# them. Logits of 1000 must do no harm.

# %% [raw]
# # BEGIN SOLUTION

# %%
def log_q_y(layers, x):
    """log q(y|x) = l_y − log Σ_j e^l_j.     layers [W1, b1, W2, b2], x (N,I) -> (N,K)"""
    # BEGIN SOLUTION NO PROMPT
    W1, b1, W2, b2 = layers
    a, first_pullback = dense(W1, b1, x)
    h, relu_pullback = relu(a)
    logits, second_pullback = dense(W2, b2, h)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_q = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))

    def pullback(dlog_q):
        dlogits = dlog_q - np.exp(log_q) * dlog_q.sum(axis=-1, keepdims=True)
        dW2, db2, dh = second_pullback(dlogits)
        dW1, db1, dx = first_pullback(relu_pullback(dh))
        return [dW1, db1, dW2, db2], dx
    return log_q, pullback
    # END SOLUTION
    """ # BEGIN PROMPT
    raise NotImplementedError("log_q_y is not written yet")
    """  # END PROMPT

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
def test_scipy(log_q_y):
    import checks
    import numpy as np
    from microgmdgm.layers import dense, mlp, relu
    from scipy.special import log_softmax
    rng = np.random.default_rng(1)
    layers, x = [rng.standard_normal(shape) for shape in ((4, 6), (1, 6), (6, 3), (1, 3))], rng.standard_normal((5, 4))
    with checks.given(log_q_y, dense=dense, relu=relu):  # an error in yours has cost its points already
        value, _ = checks.both(log_q_y, layers, x)
    value = checks.array(value, (5, 3))
    assert checks.close(np.exp(value).sum(axis=1), 1), "the value: the q(y|x) of an image must sum to 1"
    assert checks.close(value, log_softmax(mlp(layers, x)[0], axis=1)), "the value: scipy's log_softmax differs"

# %%
def test_gradients(log_q_y):
    import checks
    import numpy as np
    from microgmdgm.layers import dense, relu
    rng = np.random.default_rng(2)
    layers, x = [rng.standard_normal(shape) for shape in ((4, 6), (1, 6), (6, 3), (1, 3))], rng.standard_normal((5, 4))
    with checks.given(log_q_y, dense=dense, relu=relu):  # an error in yours has cost its points already
        rows = checks.compared(log_q_y, layers, x)
    names = {"x", "layers[0]", "layers[1]", "layers[2]", "layers[3]"}
    wrong = names - {row.name for row in rows} | {row.name for row in rows if not row.ok}
    assert not wrong, f"the gradient with respect to {' and '.join(sorted(wrong))} is not that of your value"

# %%
# HIDDEN
def test_far_logits(log_q_y):
    import checks
    import numpy as np
    from microgmdgm.layers import dense, relu
    layers = [np.eye(2), np.zeros((1, 2)), 1000 * np.eye(2), np.zeros((1, 2))]
    with np.errstate(all="ignore"), checks.given(log_q_y, dense=dense, relu=relu):
        value, _ = checks.both(log_q_y, layers, np.array([[1.0, 0.0]]))
    assert checks.close(value, [[0, -1000]]), "the value at logits of 1000 and 0: log q must be 0 and -1000"

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [markdown]
# ### Your classifier at work
#
# Nothing to write here, and no points. Ten labelled images of each digit, 8×8 pixels, and plain gradient ascent on the
# mean of $\log q(y|x)$ over them: $\theta\leftarrow\theta+\eta\,\mathrm d\theta$ for each array $\theta$ in `layers`,
# with the learning rate $\eta$. With the pullbacks right, it gets more than 80 % of the test images right.

# %%
digits, rng = data.load("digits"), np.random.default_rng(0)
chosen, y = data.hide_labels(digits.y_train, range(10), 10, rng)
x, x_test = digits.x_train[chosen] / 16, digits.x_test / 16
sizes = (0.15, (64, 32)), (0, (1, 32)), (0.2, (32, 10)), (0, (1, 10))  # standard deviation at the start, shape
layers = [sd * rng.standard_normal(shape) for sd, shape in sizes]
eta, accuracy = 0.5, []
for step in range(200):
    log_q, pullback = log_q_y(layers, x)
    dlayers, _ = pullback(np.eye(10)[y] / len(y))  # of F, the mean of log q(y|x), with respect to log q
    layers = [theta + eta * dtheta for theta, dtheta in zip(layers, dlayers)]
    accuracy.append(100 * (log_q_y(layers, x_test)[0].argmax(axis=1) == digits.y_test).mean())
figure, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
ax.plot(range(1, 201), accuracy)
ax.set(title="A classifier from 100 labels", xlabel="step", ylabel="accuracy on test images (%)", ylim=(0, 100))
plt.show()
print(f"after the last step {accuracy[-1]:.1f} %")

# %% [raw]
# # BEGIN QUESTION
# name: w1
# manual: true
# points: 2

# %% [markdown]
# ## Written question 1
#
# Every gradient of yours agrees with autograd. Name a mistake in `gaussian` that `check_pullback` cannot find, say why
# it cannot, and describe a test that finds it. (Three or four sentences.)

# %% [raw]
# # BEGIN SOLUTION

# %% [markdown]
# If the ½ is left out of the value and of the pullback, the pullback is the right gradient of the wrong value:
# `check_pullback` compares it with derivatives of *that* value and finds no difference. The same holds for a $\sigma$
# that is computed as $e^{\texttt{logvar}}$, or a forgotten $\log2\pi$. What finds it is a fact about the density
# itself: scipy's value, or that the density integrates to 1.
#
# *Points: 1 for a consistent mistake with the reason, 1 for a test of the value.*

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
# Let $F$ be the *mean* of $\log q(y|x)$ over $N$ labelled images. Someone adds a copy of every image and label to the
# data, so that there are $2N$. What happens to $F$, to $\mathrm dW_1$ and to the row of $\mathrm dx$ that belongs to
# one image? Where, in the chain of pullbacks, does the $1/N$ of the mean come in, and why must `dense` itself sum over
# the examples and not average? (Five or six sentences.)

# %% [raw]
# # BEGIN SOLUTION

# %% [markdown]
# $F$ and $\mathrm dW_1$ do not change: the mean over the images is the same function of the weights. The row of
# $\mathrm dx$ of one image is halved, since that image is now one of $2N$ in the mean. The $1/N$ enters once, at the
# top: $\mathrm d\log q$ is $1/N$ at each image's own class and 0 elsewhere. Each pullback below is linear in what it is
# given and passes it down. $W$ acts on the outputs of all examples, so that by the chain rule its gradient is the sum
# of their contributions. If `dense` averaged too, its $\mathrm dW$ would be divided by $N$ once more and be no gradient
# of $F$, and in a layer that sees several rows an example, as later models do, by another number still.
#
# *Points: 1 for F and dW₁, 1 for dx and the place of 1/N, 1 for the sum as the chain rule.*

# %% [raw]
# # END SOLUTION

# %% [raw]
# # END QUESTION
