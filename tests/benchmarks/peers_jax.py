"""The same step in JAX, jitted as a whole, with plain pytrees: {network: [array, …]}, as ours."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np


def mlp(layers, x):
    """dense, relu, …, dense.     layers [W, b, W, b, …]"""
    *hidden, W, b = layers
    for V, c in zip(hidden[::2], hidden[1::2]):
        x = jax.nn.relu(x @ V + c)
    return x @ W + b


def bound(params, log_p_y, x, y, h, eps):
    """L(x,y), Eq. 8, h the first layer of q(z|x,y) before its ReLU."""
    mu, logvar = jnp.split(mlp(params["q(z|x,y)"][3:], jax.nn.relu(h)), 2, axis=-1)
    z = mu + jnp.exp(0.5 * logvar) * eps
    logits = mlp(params["p(x|z)"], z)
    log_p_x = (x * logits - jax.nn.softplus(logits)).sum(-1)
    mu0, logvar0 = (table[y] for table in params["p(z|y)"])
    kl = 0.5 * (logvar0 - logvar + jnp.exp(logvar - logvar0) + (mu - mu0) ** 2 / jnp.exp(logvar0) - 1).sum(-1)
    return log_p_x - kl + log_p_y[y]


def objective(params, x, labels, eps, log_p_y, alpha, decay):
    """Eq. 2 with the prior on the weights, the first layer of q(z|x,y) shared."""
    U, K = len(x) - len(labels), len(log_p_y)
    log_q = jax.nn.log_softmax(mlp(params["q(y|x)"], x))
    Wx, Wy, b, *_ = params["q(z|x,y)"]
    from_x, from_y = x @ Wx, Wy + b
    every_y = bound(params, log_p_y, x[:U, None], jnp.arange(K), from_x[:U, None] + from_y,
                    eps[:U * K].reshape(U, K, -1))
    given_y = bound(params, log_p_y, x[U:], labels, from_x[U:] + from_y[labels], eps[U * K:])
    label = jnp.take_along_axis(log_q[U:], labels[:, None], axis=-1).mean()
    prior = sum((a ** 2).sum() for a in jax.tree.leaves(params) if len(a) > 1)
    return ((jnp.exp(log_q[:U]) * (every_y - log_q[:U])).sum() / U + given_y.mean() + alpha * label
            - 0.5 * decay * prior)


@partial(jax.jit, donate_argnums=(0, 1, 2), static_argnames="clip")
def training_step(params, m, v, t, batch, clip, rate):
    """Adam on the clipped gradient."""
    g = jax.tree.map(lambda g: jnp.clip(g, -clip, clip), jax.grad(objective)(params, *batch))
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
    rate, root = rate / (1 - 0.9 ** t), 1 / jnp.sqrt(1 - 0.999 ** t)
    params = jax.tree.map(lambda p, m, v: p + rate * m / (jnp.sqrt(v) * root + 1e-8), params, m, v)
    return params, m, v, t + 1


class Jitted:
    def __init__(self, problem):
        batch, layout = problem.batch, problem.model.layout
        self.problem = problem
        params = jax.tree.map(jnp.array, layout.views(problem.theta))
        self.state = params, jax.tree.map(jnp.zeros_like, params), jax.tree.map(jnp.zeros_like, params), 1.0
        self.batch = (*map(jnp.asarray, (batch.x, batch.labels, batch.eps)), jnp.log(jnp.array(problem.model.prior)),
                      problem.alpha, problem.decay)

    def flat(self, tree):
        return self.problem.model.layout.flatten(jax.tree.map(np.asarray, tree), like=self.problem.theta)

    def value_and_gradient(self):
        value, gradient = jax.jit(jax.value_and_grad(objective))(self.state[0], *self.batch)
        return float(value), self.flat(gradient)

    def step(self):
        self.state = training_step(*self.state, self.batch, self.problem.clip, self.problem.rate)
        jax.block_until_ready(self.state)

    def parameters(self):
        return self.flat(self.state[0])
