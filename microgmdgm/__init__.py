"""microgmdgm: the Gaussian-mixture deep generative model, from scratch in NumPy.

Willetts, Roberts and Holmes (2018), Semi-unsupervised Learning with Deep Generative Models.
Reading order, the paper first: backend, parameters, layers, distributions, models, marginal,
invariance, objectives, adam.  Learning: recipes, data, augmentation, noise, batches, slots,
trained, state, merging, training.
Rooms of their own: `experiment`, `sklearn`, `openset`.  `import microgmdgm` needs NumPy alone.
"""

from . import data
from .gradcheck import check_pullback
from .models import Model
from .recipes import FAST, PAPER, Recipe
from .trained import Trained, load
from .training import fit

__version__ = "0.3.0"
