"""What the fast recipe adds to Eq. 2: q(y|x) should not change under small changes of x,
and should use all classes about as often as the prior says.

    −γ [ c (½ CE(q(·|tx), q(·|t′x)) + ½ CE(q(·|t′x), q(·|tx)))      consistency
         + s CE(q(·|tx), q(·|tx + r))                               smoothness
         + β KL(q̄ ‖ p̃),  q̄ = mean q(y|·) ]                           balance

t and t′ are random maps of the image (`augmentation.affine`); r is the small change to which q(y|tx) is most
sensitive, the virtual adversarial direction of Miyato et al. (2018).  In clustering: Hu et al. (2017), IMSAT.  With
p(y) as p̃, balance is the aggregate part of KL(q(y|x) ‖ p(y)) of Eq. 10.  But nobody knows how frequent classes without
labels are: where new ones turn out to be rare p̃ is q̄ itself, kept `within` a factor of p(y).
"""

from .backend import namespace
from .distributions import cross_entropy
from .models import log_prior, log_q_y


def mean_cross_entropy(log_q, log_q2):
    """Mean over rows of CE(q, q2).     (…,N,K), (…,N,K) -> (…)"""
    xp = namespace(log_q2)
    ce, ce_pullback = cross_entropy(log_q, log_q2)

    def pullback(d):
        return ce_pullback(d[..., None] / ce.shape[-1])
    return xp.mean(ce, axis=-1), pullback


def consistency(log_q, log_q2):
    """½ CE(q, q2) + ½ CE(q2, q), means over rows.     (…,N,K), (…,N,K) -> (…)"""
    there, there_pullback = mean_cross_entropy(log_q, log_q2)
    back, back_pullback = mean_cross_entropy(log_q2, log_q)

    def pullback(d):
        dq, dq2 = there_pullback(0.5 * d)
        dq2_back, dq_back = back_pullback(0.5 * d)
        return dq + dq_back, dq2 + dq2_back
    return 0.5 * there + 0.5 * back, pullback


def within(p, around, tolerance):
    """p kept between around · tolerance and around / tolerance, scaled to sum to 1.     p, around (…,K) -> (…,K)"""
    xp = namespace(p)
    near = xp.clip(p, around * tolerance, around / tolerance)
    return near / xp.sum(near, axis=-1, keepdims=True)


def balance(log_q, *, prior, tolerance=1.0):
    """KL(q̄ ‖ p̃), q̄ the mean over rows of q, p̃ = within(q̄, p(y), tolerance) and constant.     (…,N,K) -> (…)"""
    xp = namespace(log_q)
    largest = xp.max(log_q, axis=-2, keepdims=True)  # else the mean of a class that no row has rounds to 0
    log_mean = largest + xp.log(xp.mean(xp.exp(log_q - largest), axis=-2, keepdims=True))
    mean = xp.exp(log_mean)
    log_ratio = log_mean - xp.log(within(mean, xp.exp(log_prior(prior, log_q)), tolerance))

    def pullback(d):
        return d[..., None, None] * xp.exp(log_q) * (log_ratio + 1) / log_q.shape[-2]
    return xp.sum(mean * log_ratio, axis=(-2, -1)), pullback


def adversarial(layers, log_q, *, x, d, length):
    """r = length · g/‖g‖,  g = ∇_d KL(q(y|x) ‖ q(y|x + d)), one power iteration from a random
    direction d of length 1.     log q (…,N,K), x, d (…,N,X) -> (…,N,X), a constant"""
    xp = namespace(x)
    d = d / xp.sqrt(xp.sum(d * d, axis=-1, keepdims=True))
    log_q_d, pullback = log_q_y(layers, x + d, wrt="x")
    _, g = pullback(-xp.exp(log_q))  # ∂KL / ∂ log q(y|x + d) = −q(y|x)
    norm = xp.sqrt(xp.sum(g * g, axis=-1, keepdims=True))
    return length * g / xp.where(norm > 0, norm, xp.ones((), dtype=norm.dtype))
