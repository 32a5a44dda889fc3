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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/microgmdgm/microgmdgm/blob/main/lessons/03-reparameterisation.ipynb)
#
# # 3. The reparameterisation trick
#
# **Claim.** Two estimates of the gradient of an expectation are both right on average. The reparameterised one
# (Eq. 1) varies less, by a factor that grows with the number of dimensions. And where the expectation has a closed
# form, as the KL divergence of two Gaussians has, no estimate is needed at all.
#
# **You need** lessons 1 and 2: the Gaussian log-density, value and pullback. 50 minutes; the computer needs some ten
# seconds.
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
import checks
import matplotlib.pyplot as plt
import numpy as np
from microgmdgm import distributions
from microgmdgm.plots import COLOURS

# %% [markdown]
# ## The problem
#
# A network proposes a Gaussian $q(z)=\mathcal N(z;\mu,\sigma^2)$ over $Z$ numbers $z_1,\dots,z_Z$ that nobody
# observes (*latent* variables), and we want to improve the mean of some function of them,
#
# $$F(\mu,\log\sigma^2)=\mathbb E_{q(z)}[f(z)]=\int q(z)\,f(z)\,\mathrm dz .$$
#
# The mean over many samples $z$ estimates $F$. But its gradient? A sample of $q$ changes when $\mu$ changes, and a
# random number generator has no derivative. There are two ways out.
#
# **The score function.** Differentiate $q$, not $z$: since $\partial q/\partial\mu=q\;\partial\log q/\partial\mu$,
#
# $$\frac{\partial F}{\partial\mu}=\mathbb E_{q(z)}\Big[f(z)\,\frac{\partial\log q(z)}{\partial\mu}\Big],\qquad
# \frac{\partial\log q(z)}{\partial\mu_d}=\frac{z_d-\mu_d}{\sigma_d^2}.$$
#
# **Reparameterisation, Eq. 1.** Draw noise that does not depend on $\mu$ and $\sigma$, and compute $z$ from it:
#
# $$\varepsilon\sim\mathcal N(0,I),\qquad z=\mu+\sigma\cdot\varepsilon,\qquad
# \frac{\partial F}{\partial\mu}=\mathbb E_{\varepsilon}\Big[\frac{\partial f(z)}{\partial z}\Big],\qquad
# \frac{\partial F}{\partial\log\sigma^2}=\mathbb E_{\varepsilon}\Big[\frac{\partial f(z)}{\partial z}\cdot
# \tfrac12\sigma\cdot\varepsilon\Big].$$
#
# The factor ½ is there because $\sigma=e^{\frac12\log\sigma^2}$.

# %% [markdown]
# **Yours: `sample_z(mu, logvar, eps)`**, Eq. 1 and its pullback. All three are $(N,Z)$; `eps` is an argument, so that the
# function itself is not random. The estimates below go through it.

# %% tags=["exercise"]
def sample_z(mu, logvar, eps):
    """z = μ + σ·ε, and its pullback.     all (N,Z) -> z (N,Z), dz -> (dmu, dlogvar)"""

# %% tags=["check"]
sample_z = checks.sample_z(sample_z)

# %% [markdown]
# <details><summary>A solution</summary>
#
# ```python
# def sample_z(mu, logvar, eps):
#     noise = np.exp(0.5 * logvar) * eps
#
#     def pullback(dz):
#         return dz, 0.5 * dz * noise
#     return mu + noise, pullback
# ```
# </details>
#
# In the package it is `distributions.reparameterise`.

# %%
rng = np.random.default_rng(0)
mu, logvar, eps = rng.standard_normal((3, 1, 2))
z, pullback = sample_z(mu, logvar, eps)
dmu, dlogvar = pullback(np.ones_like(z))  # where the objective is the sum of z
print("z              ", z, "  μ + σ·ε:", mu + np.exp(logvar / 2) * eps)
print("∂z / ∂ log σ²  ", dlogvar, "  ½ σ·ε:  ", 0.5 * np.exp(logvar / 2) * eps)

# %% [markdown]
# ## Both estimates, side by side
#
# Let $f(z)=\log\mathcal N(z;0,I)$, the log-density of a prior, whose exact gradient we know: $F$ depends on $\mu$
# as $-\tfrac12\sum_d\mu_d^2$, so that $\partial F/\partial\mu_d=-\mu_d$. One sample gives one estimate. We take the
# mean and the variance of many. Each way needs only a pullback that the package has: that of $f$ by $z$, and
# that of $\log q$ by $\mu$, which is the score. (The Gaussian's pullback is by its mean; its gradient by $z$ is the
# same with the other sign, since it depends on $z-\mu$ alone.)

# %%
def estimates(Z, samples, rng):
    """One-sample estimates of ∂F/∂μ₁: reparameterised, score function, the same with a baseline."""
    mu, logvar = np.full((samples, Z), 0.5), np.full((samples, Z), -1.0)
    z, z_pullback = sample_z(mu, logvar, rng.standard_normal((samples, Z)))
    f, f_pullback = distributions.gaussian(np.zeros_like(z), np.zeros_like(z), x=z)
    df_dz = -f_pullback(np.ones(samples))[0]
    log_q_pullback = distributions.gaussian(mu, logvar, x=z)[1]
    score, with_baseline = (log_q_pullback(g)[0] for g in (f, f - f.mean()))  # f · ∂ log q / ∂μ
    return z_pullback(df_dz)[0][:, 0], score[:, 0], with_baseline[:, 0]


WAYS = "reparameterised, Eq. 1", "score function", "score function, baseline"
for name, estimate in zip(WAYS, estimates(10, 100_000, rng)):
    error = estimate.std() / np.sqrt(len(estimate))
    print(f"{name:<25} mean {estimate.mean():.3f} ± {error:.3f} (exactly: -0.5)   variance {estimate.var():.2f}")

# %%
sizes = [1, 2, 5, 10, 20, 50, 100]
variances = np.array([[estimate.var() for estimate in estimates(Z, 20_000, rng)] for Z in sizes])
for name, variance in zip(WAYS[1:], variances.T[1:]):
    print(f"{name:<25} variance ratio " + ", ".join(f"{r:.0f}" for r in variance / variances[:, 0]))

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
styles = zip(WAYS, (COLOURS[0], COLOURS[4], COLOURS[1]), "os^")
for (name, colour, marker), variance, shown in zip(styles, variances.T, estimates(10, 20_000, rng)):
    left.loglog(sizes, variance, marker=marker, color=colour, label=name)
    right.hist(shown, np.linspace(-60, 60, 121), histtype="step", color=colour, linewidth=1.8, label=name)
left.set(title="Variance of one estimate of ∂F/∂μ₁", xlabel="Z, dimensions of z", ylabel="variance (nats²/unit² of μ)")
right.axvline(-0.5, color="black", linestyle=":", label="exact gradient, −0.5")
right.set(title="20,000 estimates, Z = 10", xlabel="estimate (nats per unit of μ)", ylabel="count", yscale="log")
left.legend(), right.legend()
plt.show()

# %% [markdown]
# The reparameterised estimate of $\partial F/\partial\mu_1$ looks only at the slope of $f$ along $z_1$. The score
# function multiplies the *whole value* of $f$, a sum over all dimensions, by the noise of one. Subtracting a constant
# from $f$ (a *baseline*, here the mean of $f$) does not change the mean of the estimate and helps much, but what is
# left still grows with $Z$. For the class $y$, which has no reparameterisation, lesson 6 avoids the matter: it sums
# over all classes.
#
# **Predict, change, run.** Add 100 to $f$: in `estimates`, `(f + 100, f - f.mean())`. No gradient can depend on a constant.
# Which of the three estimates change, in mean and in variance?
#
# <details><summary>What happens</summary>
#
# The mean of none, and the variance of one: the plain score function has 20,800 in place of 441, for it multiplies the
# 100 by its noise too. The baseline takes the constant out again, and the reparameterised estimate never saw it.
# </details>
#
# ## The closed form needs no samples
#
# How far is $q$ from another Gaussian $p(z)=\mathcal N(z;\mu_0,\sigma_0^2)$? The Kullback–Leibler divergence
#
# $$\mathrm{KL}(q\,\|\,p)=\mathbb E_{q(z)}[\log q(z)-\log p(z)]
# =\tfrac12\sum_d\Big[\log\frac{\sigma_{0d}^2}{\sigma_d^2}+\frac{\sigma_d^2+(\mu_d-\mu_{0d})^2}{\sigma_{0d}^2}-1\Big]$$
#
# is 0 where they agree and positive elsewhere. Its mean over $S$ samples comes near at the rate $1/\sqrt S$: each
# digit more costs a hundred times the samples.

# %% [markdown]
# **Yours: `divergence(mu, logvar, mu0, logvar0)`**, the right-hand side. All four are $(N,Z)$, and the value is $(N,)$; no
# pullback this time.

# %% tags=["exercise"]
def divergence(mu, logvar, mu0, logvar0):
    """KL(N(μ, σ²) ‖ N(μ0, σ0²)).     all (N,Z) -> (N,)"""

# %% tags=["check"]
divergence = checks.divergence(divergence)

# %% [markdown]
# <details><summary>A solution</summary>
#
# ```python
# def divergence(mu, logvar, mu0, logvar0):
#     ratio, squares = np.exp(logvar - logvar0), (mu - mu0)**2 * np.exp(-logvar0)
#     return 0.5 * (logvar0 - logvar + ratio + squares - 1).sum(axis=1)
# ```
# </details>

# %%
Z, S = 5, 100_000
count = np.arange(1, S + 1)
mu, logvar, mu0, logvar0 = rng.standard_normal((4, 1, Z))
exact = divergence(mu, logvar, mu0, logvar0)[0]
z, _ = sample_z(mu, logvar, rng.standard_normal((S, Z)))
ratios = distributions.gaussian(mu, logvar, x=z)[0] - distributions.gaussian(mu0, logvar0, x=z)[0]
mean, error = np.cumsum(ratios) / count, ratios.std() / np.sqrt(count)
print(f"closed form {exact:.4f}, mean of {S:,} samples {mean[-1]:.4f} ± {error[-1]:.4f} nats")

# %%
figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
ax.fill_between(count, exact - 2 * error, exact + 2 * error, color=COLOURS[5], alpha=0.4,
                label="closed form ± 2 standard errors")
ax.semilogx(count, mean, color=COLOURS[0], label="mean over S samples")
ax.axhline(exact, color="black", linestyle="--", linewidth=1, label=f"closed form, {exact:.3f} nats")
ax.set(title="KL of two Gaussians: the estimate and the closed form", xlabel="S, samples", ylabel="KL(q ‖ p) in nats",
       xlim=(5, S), ylim=(exact - 10, exact + 10))
ax.legend()
plt.show()

# %% [markdown]
# ## Questions
#
# **1.** Why can the class $y$, one of $K$ values, not be reparameterised in this way?
#
# <details><summary>Answer</summary>
#
# $y$ would have to be a smooth function of noise and of the probabilities, but it jumps: a small change of the
# probabilities leaves nearly every sample as it is and changes a few by a whole class. The derivative is 0 almost
# everywhere and tells nothing.
# </details>
#
# **2.** $\mathrm{KL}(q\,\|\,p)$ and $\mathrm{KL}(p\,\|\,q)$ differ. Which of them punishes a $q$ that puts mass where
# $p$ has almost none?
#
# <details><summary>Answer</summary>
#
# $\mathrm{KL}(q\,\|\,p)$: it averages $\log q/p$ over samples of $q$, and there $p$ is nearly 0 and the ratio
# huge. The other averages over samples of $p$ and punishes a $q$ that misses some of them.
# </details>
#
# **3.** When would you use the score function all the same?
#
# <details><summary>Answer</summary>
#
# When $f$ has no derivative (a game's score, a program's running time) or $z$ is discrete: it needs only the value
# of $f$. With few dimensions and a good baseline its variance can be borne.
# </details>
