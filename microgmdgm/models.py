"""The two models.  They share every network but one:

    GM-DGM   p(x, y, z) = p(x|z) p(z|y) p(y)       q(y, z|x) = q(z|x, y) q(y|x)      Eq. 3
    M2       p(x, y, z) = p(x|y, z) p(z) p(y)      q(y, z|x) = q(z|x, y) q(y|x)      section 2.2

with p(y) = Cat(π), p(z|y) = N(μ(y), σ²(y)) or p(z) = N(0, I), and p(x|·) Bernoulli or Gaussian.  To change the model,
change this file: `objectives` knows only `log_q_y`, `bound_given_y`, `unlabelled_bound`, and what draws a sample.
"""

from dataclasses import dataclass

import numpy as np

from . import distributions, settings
from .backend import constant, namespace
from .distributions import bernoulli, entropy, gaussian, gaussian_kl, log_softmax, reparameterise, standard_gaussian_kl
from .layers import class_mlp, halves, mlp, one_hot, pick, rows
from .parameters import Layout, add, glorot

MOST = 2**31  # parameters: in float32, with Adam's moments and the gradient, 32 GiB


@dataclass(frozen=True)
class Model:
    """The sizes of one model: X pixels, Z latent dimensions, H hidden units in each of
    `hidden_layers` layers, and π, the prior over the K classes, (K,) or one a run, (R,K).
    Raises ValueError for a setting that is not of its kind, and for more than `MOST` parameters."""
    name: settings.MODEL
    prior: tuple
    X: settings.COUNT
    Z: settings.SIZE = 100
    H: settings.SIZE = 500
    hidden_layers: settings.LAYERS = 2
    likelihood: settings.LIKELIHOOD = "bernoulli"
    output_sd: settings.SD = None   # of the initial weights of output layers and means of p(z|y); None: Glorot

    def __post_init__(self):
        settings.enforce(self)
        if not (np.min(self.prior, initial=1) > 0 and np.all(np.abs(np.sum(self.prior, axis=-1) - 1) < 1e-6)):
            raise ValueError(f"the prior over classes must be positive and sum to 1, not {self.prior}")
        if self.layout.size > MOST:
            raise ValueError(f"this model has {self.layout.size:,} parameters, more than {MOST:,}: fewer hidden units, "
                             "hidden layers or dimensions of z make it smaller")

    @property
    def K(self):
        return np.shape(self.prior)[-1]

    @property
    def layout(self):
        """Where each network's arrays lie in θ, and how they start (Glorot-normal)."""
        X, Z, H, K = self.X, self.Z, self.H, self.K
        hidden = [((H, H), glorot(H, H)), ((1, H), 0)] * (self.hidden_layers - 1)
        log_p_x_inputs = X if self.likelihood == "bernoulli" else 2 * X

        def after(inputs, outputs):
            """The layers of x -> hidden -> outputs; inputs a tuple where the first layer is split."""
            fan_in = sum(inputs)
            return [*(((I, H), glorot(fan_in, H)) for I in inputs), ((1, H), 0),
                    *hidden, ((H, outputs), self.output_sd or glorot(H, outputs)), ((1, outputs), 0)]
        networks = {"q(y|x)": after((X,), K), "q(z|x,y)": after((X, K), 2 * Z)}
        if self.name == "gm-dgm":
            networks["p(z|y)"] = [((K, Z), self.output_sd or glorot(K, Z)), ((K, Z), glorot(K, Z))]
            networks["p(x|z)"] = after((Z,), log_p_x_inputs)
        else:
            networks["p(x|y,z)"] = after((Z, K), log_p_x_inputs)
        return Layout(networks)


def log_q_y(layers, x, wrt="Wx"):
    """log q(y|x) = log Cat(y; π(x)).     x (…,N,X) -> (…,N,K)"""
    logits, mlp_pullback = mlp(layers, x, wrt)
    log_q, softmax_pullback = log_softmax(logits)

    def pullback(dlog_q):
        return mlp_pullback(softmax_pullback(dlog_q))
    return log_q, pullback


def kl_z(model, params, mu, logvar, *, y):
    """KL(q(z|x,y) ‖ p(z|y)), or ‖ p(z) for M2.  Eq. 5.     μ, log σ² (…,P,Z), y (…,P) -> (…,P)"""
    if model.name == "m2":
        kl, kl_pullback = standard_gaussian_kl(mu, logvar)

        def pullback(dkl):
            return {}, *kl_pullback(dkl)
        return kl, pullback

    mu_y, mu_pullback = pick(params["p(z|y)"][0], index=y)
    logvar_y, logvar_pullback = pick(params["p(z|y)"][1], index=y)
    kl, kl_pullback = gaussian_kl(mu, logvar, mu_y, logvar_y)

    def pullback(dkl):
        dmu, dlogvar, dmu_y, dlogvar_y = kl_pullback(dkl)
        return {"p(z|y)": [mu_pullback(dmu_y), logvar_pullback(dlogvar_y)]}, dmu, dlogvar
    return kl, pullback


def decode(model, params, z, *, y):
    """The parameters of p(x|z), or of p(x|y,z) for M2: logits, or μ and log σ² side by side.  Eq. 6.
    z (…,P,Z), y (…,P) -> (…,P,X) or (…,P,2X)"""
    if model.name == "m2":
        name, (h, mlp_pullback) = "p(x|y,z)", class_mlp(params["p(x|y,z)"], z, y=y)
    else:
        name, (h, mlp_pullback) = "p(x|z)", mlp(params["p(x|z)"], z)

    def pullback(dh):
        dlayers, dz = mlp_pullback(dh)
        return {name: dlayers}, dz
    return h, pullback


def mean_x(model, h):
    """The mean of p(x|z) from the output h of `decode`.     (…,P,X) or (…,P,2X) -> (…,P,X)"""
    if model.likelihood == "bernoulli":
        mean = distributions.sigmoid(h)
    else:
        (mean, logvar), halves_pullback = halves(h)

    def pullback(dmean):
        return (dmean * mean * (1 - mean) if model.likelihood == "bernoulli" else
                halves_pullback((dmean, namespace(h).zeros_like(logvar))))
    return mean, pullback


def prior_sample(model, params, *, y, eps):
    """z ~ p(z|y), or p(z) for M2.     y (…,P), eps (…,P,Z) -> (…,P,Z)"""
    if model.name == "m2":
        def pullback(dz):
            return {}
        return eps, pullback

    mu, mu_pullback = pick(params["p(z|y)"][0], index=y)
    logvar, logvar_pullback = pick(params["p(z|y)"][1], index=y)
    z, sample_pullback = reparameterise(mu, logvar, eps=eps)

    def pullback(dz):
        dmu, dlogvar = sample_pullback(dz)
        return {"p(z|y)": [mu_pullback(dmu), logvar_pullback(dlogvar)]}
    return z, pullback


def log_p_x(model, h, *, x):
    """log p(x|z) from the output h of `decode`.  Eq. 6.     x (…,P,X) -> (…,P)"""
    if model.likelihood == "bernoulli":
        return bernoulli(h, x=x)
    (mu, logvar), halves_pullback = halves(h)
    log_p, gaussian_pullback = gaussian(mu, logvar, x=x)

    def pullback(dlog_p):
        return halves_pullback(gaussian_pullback(dlog_p))
    return log_p, pullback


def encode(params, *, x, y, example=None):
    """μ and log σ² of q(z|x,y) for (example, class) pairs.     x (…,N,X), y (…,P) -> 2 × (…,P,Z)"""
    h, mlp_pullback = class_mlp(params["q(z|x,y)"], x, y=y, example=example, wrt="W")
    stats, halves_pullback = halves(h)

    def pullback(dstats):
        dlayers, _ = mlp_pullback(halves_pullback(dstats))
        return {"q(z|x,y)": dlayers}
    return stats, pullback


def log_prior(prior, like):
    """log p(y) of each class, for all rows.  Eq. 4.     -> (…,1,K), of the library and dtype of like"""
    return constant(prior, namespace(like), like.dtype, np.log)[..., None, :]


def bound_given_y(model, params, *, x, y, eps, example=None, kl_weight=1.0):
    """L(x,y) = E_q(z|x,y)[log p(x|z)] − KL(q(z|x,y) ‖ p(z|y)) + log p(y)      Eq. 7–8, one sample of z
    x (…,N,X); for each pair its class y (…,P), noise eps (…,P,Z) and row of x, example (…,P)
    (omit it if x has one row per pair) -> (…,P).  With a smaller kl_weight the KL counts less."""
    (mu, logvar), encode_pullback = encode(params, x=x, y=y, example=example)
    z, sample_pullback = reparameterise(mu, logvar, eps=eps)
    h, decode_pullback = decode(model, params, z, y=y)
    log_p, log_p_pullback = log_p_x(model, h, x=x if example is None else rows(x, example))
    kl, kl_pullback = kl_z(model, params, mu, logvar, y=y)
    log_p_y, _ = at(log_prior(model.prior, eps), y)

    def pullback(dbound):
        ddecode, dz = decode_pullback(log_p_pullback(dbound))
        dprior, dmu, dlogvar = kl_pullback(-kl_weight * dbound)
        dmu_z, dlogvar_z = sample_pullback(dz)
        return add(encode_pullback((dmu + dmu_z, dlogvar + dlogvar_z)), dprior, ddecode)
    return log_p - kl_weight * kl + log_p_y, pullback


def at(log_q, y):
    """log q at one class a row, log q(y_n|x_n).     log q (…,N,K), y (…,N) -> (…,N)"""
    xp = namespace(log_q)
    chosen = one_hot(y, log_q.shape[-1], log_q)

    def pullback(d):
        return d[..., None] * chosen
    return xp.sum(log_q * chosen, axis=-1), pullback


def unlabelled_bound(log_q, bound, *, y, example, weight):
    """Σ_x L(x) = Σ_x Σ_y q(y|x) [L(x,y) − log q(y|x)]      Eq. 9–10
    log q (…,N,K); for each pair L(x,y), y, example, weight (…,P) -> (…).  All K pairs of each example, with weight 1,
    give the exact sum; `marginal` also has sparser choices."""
    xp = namespace(log_q)
    log_q_x, pick_pullback = pick(log_q, index=example)
    log_q_pair, at_pullback = at(log_q_x, y)
    q = weight * xp.exp(log_q_pair)
    H, entropy_pullback = entropy(log_q)

    def pullback(d):
        d = d[..., None]
        return pick_pullback(at_pullback(d * q * bound)) + entropy_pullback(d), d * q
    return xp.sum(q * bound, axis=-1) + xp.sum(H, axis=-1), pullback
