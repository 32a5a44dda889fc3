"""Adam (Kingma and Ba, 2015), on the whole of θ at once."""

import math
from dataclasses import dataclass

from .backend import fused, namespace

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
BLOCK = 2**15  # elements; a block's temporaries then stay in the processor's cache


@fused
def move(theta, m, v, g, rate, root):
    """m, v and θ after a step, in place; rate and root hold the corrections of m̂ and √v̂."""
    m += (1 - BETA1) * (g - m)
    v += (1 - BETA2) * (g * g - v)
    theta += rate * m / (namespace(v).sqrt(v) * root + EPSILON)


@dataclass
class Adam:
    """m and v, running means of the gradient and of its square, like θ; t, the number of steps."""
    m: object
    v: object
    t: int = 0

    @classmethod
    def like(cls, theta):
        zeros = namespace(theta).zeros_like
        return cls(zeros(theta), zeros(theta))

    def ascend(self, theta, g, rate, shares=((slice(None), 1),)):
        """θ += rate · m̂ / (√v̂ + ε), in place, m̂ = m/(1 − β1^t), v̂ = v/(1 − β2^t).     g (…,P) like θ
        shares [(slice, s), …]: the rate of each part is s · rate, and what lies in none stays as it is."""
        self.t += 1
        rate = rate / (1 - BETA1**self.t)
        root = 1 / math.sqrt(1 - BETA2**self.t)
        size = theta.shape[-1]
        block = BLOCK if namespace(theta).__name__ == "numpy" else size
        for part, share in shares:
            begin, end, _ = part.indices(size)
            for start in range(begin, end, block):
                here = (..., slice(start, min(start + block, end)))
                move(theta[here], self.m[here], self.v[here], g[here], share * rate, root)
