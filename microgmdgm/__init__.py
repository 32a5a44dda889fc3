"""microgmdgm: the Gaussian-mixture deep generative model, from scratch in NumPy.

Willetts, Roberts and Holmes (2018), Semi-unsupervised Learning with Deep Generative Models.
Reading order: parameters, layers, distributions, models, marginal, invariance, adam, batches,
training.  `import microgmdgm` needs NumPy alone.
"""

from . import data
from .gradcheck import check_pullback
from .models import Model
from .recipes import FAST, PAPER, Recipe
from .trained import Trained, load

__version__ = "0.1.0"
