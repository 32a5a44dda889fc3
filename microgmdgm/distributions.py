"""Densities, entropies and divergences, each with its pullback.

Everything stays in logs: a class probability is a log-softmax, a Bernoulli mean a logit, a variance its logarithm
`logvar`.  Nothing is clipped, no small number added in a logarithm.  Sums run over the last axis: a value per example.
"""

import math

from .backend import fused, namespace

LOG_2PI = math.log(2 * math.pi)


@fused
def deviation(x, mu, logvar):
    """(x − μ)/σ² and (x − μ)²/σ², element by element."""
    scaled = (x - mu) * namespace(logvar).exp(-logvar)
    return scaled, (x - mu) * scaled


def gaussian(mu, logvar, *, x):
    """log N(x; μ, σ²) = −½ Σ_d [log 2π + log σ² + (x − μ)² / σ²].     all (…,N,D) -> (…,N)"""
    xp = namespace(mu)
    scaled, squares = deviation(x, mu, logvar)

    def pullback(dlog_p):
        d = dlog_p[..., None]
        return d * scaled, 0.5 * d * (squares - 1)
    return -0.5 * xp.sum(LOG_2PI + logvar + squares, axis=-1), pullback


@fused
def log_p_bit(l, x):
    """x l − softplus(l), the log-probability of a bit x that is 1 with probability 1/(1 + e^−l).
    softplus(l) = max(l, 0) + log(1 + e^−|l|) neither overflows nor loses small values."""
    xp = namespace(l)
    return x * l - (xp.maximum(l, 0) + xp.log1p(xp.exp(-xp.abs(l))))


def bernoulli(logits, *, x):
    """log p(x) = Σ_d [x l − softplus(l)], p = 1/(1 + e^−l).     all (…,N,D) -> (…,N)"""
    def pullback(dlog_p):
        return dlog_p[..., None] * (x - sigmoid(logits))
    return namespace(logits).sum(log_p_bit(logits, x), axis=-1), pullback


@fused
def sigmoid(l):
    """1 / (1 + e^−l) = ½ + ½ tanh(l/2), which cannot overflow."""
    return 0.5 + 0.5 * namespace(l).tanh(0.5 * l)


def reparameterise(mu, logvar, *, eps):
    """z = μ + σ·ε, ε ~ N(0, I).  Eq. 1.     all (…,P,Z)"""
    noise = namespace(mu).exp(0.5 * logvar) * eps

    def pullback(dz):
        return dz, 0.5 * dz * noise
    return mu + noise, pullback


def gaussian_kl(mu, logvar, mu0, logvar0):
    """KL(N(μ, σ²) ‖ N(μ0, σ0²)) = ½ Σ_d [log σ0²/σ² + (σ² + (μ − μ0)²)/σ0² − 1].     (…,P,Z) -> (…,P)"""
    xp = namespace(mu)
    ratio = xp.exp(logvar - logvar0)
    scaled, squares = deviation(mu, mu0, logvar0)

    def pullback(dkl):
        d = dkl[..., None]
        dmu, dlogvar = d * scaled, 0.5 * d * (ratio - 1)
        return dmu, dlogvar, -dmu, 0.5 * d * (1 - ratio - squares)
    return 0.5 * xp.sum(logvar0 - logvar + ratio + squares - 1, axis=-1), pullback


def standard_gaussian_kl(mu, logvar):
    """KL(N(μ, σ²) ‖ N(0, I)) = ½ Σ_d [σ² + μ² − 1 − log σ²].     (…,P,Z) -> (…,P)"""
    xp = namespace(mu)
    var = xp.exp(logvar)

    def pullback(dkl):
        d = dkl[..., None]
        return d * mu, 0.5 * d * (var - 1)
    return 0.5 * xp.sum(var + mu * mu - 1 - logvar, axis=-1), pullback


@fused
def log_sum_exp(l):
    """log Σ_k e^{l_k}, of l whose largest is 0.     (…,K) -> (…)"""
    xp = namespace(l)
    return xp.log(xp.sum(xp.exp(l), axis=-1))


def log_softmax(logits):
    """log q_k = l_k − log Σ_j e^{l_j}.     (…,N,K) -> (…,N,K)"""
    xp = namespace(logits)
    shifted = logits - xp.max(logits, axis=-1, keepdims=True)
    log_q = shifted - log_sum_exp(shifted)[..., None]

    def pullback(dlog_q):
        return dlog_q - xp.exp(log_q) * xp.sum(dlog_q, axis=-1, keepdims=True)
    return log_q, pullback


@fused
def surprise(log_q, log_p):
    """−Σ_k q_k log p_k.     (…,K), (…,K) -> (…)"""
    xp = namespace(log_p)  # log q may be a constant
    return -xp.sum(xp.exp(log_q) * log_p, axis=-1)


def entropy(log_q):
    """H(q) = −Σ_k q_k log q_k.     log q (…,N,K) -> (…,N)"""
    def pullback(dH):
        return -dH[..., None] * namespace(log_q).exp(log_q) * (1 + log_q)
    return surprise(log_q, log_q), pullback


def cross_entropy(log_q, log_p):
    """CE(q, p) = −Σ_k q_k log p_k = H(q) + KL(q ‖ p).     log q, log p (…,N,K) -> (…,N)"""
    def pullback(dce):
        d = -dce[..., None] * namespace(log_p).exp(log_q)
        return d * log_p, d
    return surprise(log_q, log_p), pullback
