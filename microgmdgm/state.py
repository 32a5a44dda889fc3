"""What training changes, and which part of it each epoch trains."""

from dataclasses import dataclass, replace

import numpy as np

from . import objectives
from .adam import Adam
from .parameters import Layout
from .slots import Slots
from .trained import Trained


@dataclass
class State:
    """Everything that an epoch changes: θ (R,P), Adam's moments, the generators and slots of each run; epochs and
    seconds done."""
    theta: object
    adam: Adam
    rngs: list
    slots: list
    epoch: int = 0
    seconds: float = 0.0

    @classmethod
    def start(cls, model, rngs, xp=np):
        theta = xp.asarray(np.stack([model.layout.initial(rng.spawn(1)[0]) for rng in rngs]))
        return cls(theta, Adam.like(theta), rngs, [Slots(list(model.prior), []) for _ in rngs])

    def check(self, model, recipe, runs):
        """Raises ValueError if it does not fit so many runs of the model under the recipe."""
        P, last = model.layout.size, Phase.at(model, recipe, self.epoch - 1).layout.size  # of what was trained last
        if not 0 <= self.epoch <= recipe.total_epochs or self.adam.t < 0:
            raise ValueError(f"its epoch must be from 0 to {recipe.total_epochs}, not {self.epoch}")
        if any(len(slots.prior) != model.K for slots in self.slots):
            raise ValueError(f"its runs must have {model.K} slots, not {[len(slots.prior) for slots in self.slots]}")
        if self.theta.shape != (runs, P) or self.epoch and self.adam.m.shape != (runs, last):
            raise ValueError(f"θ must be {(runs, P)} and Adam's moments {(runs, last)}, not {self.theta.shape} and "
                             f"{self.adam.m.shape}")

    def moved(self, move):
        """The State with its arrays moved, by to_host or the asarray of a library."""
        return replace(self, theta=move(self.theta), adam=Adam(move(self.adam.m), move(self.adam.v), self.adam.t))

    def trained(self, model, task):
        """-> [Trained, …], one per run, with the slots that are left."""
        return [Trained.of(model, self.theta[r], slots, task) for r, slots in enumerate(self.slots)]


@dataclass(frozen=True)
class Phase:
    """Epochs from `begin` on that train one part of θ by one objective."""
    begin: int
    objective: object       # objectives.classifier, held or joint
    layout: Layout          # of what the objective sees
    part: slice             # where that lies in θ
    shares: tuple           # ((slice, share), …): which parts of that are trained, at what share of the rate

    @classmethod
    def at(cls, model, recipe, epoch):
        """First q(y|x) alone, then the other networks while q(y|x) is held, then the whole model with q(y|x) slow: its
        gradient is by then a thirtieth of what it was, which Adam would scale up to steps of full size."""
        q, every = model.layout.span("q(y|x)"), slice(None)
        others = slice(q.stop, None)
        if epoch < recipe.classifier_epochs:
            return cls(0, objectives.classifier, Layout({"q(y|x)": model.layout.networks["q(y|x)"]}), q, ((every, 1),))
        if epoch < recipe.held_until:
            return cls(recipe.classifier_epochs, objectives.held, model.layout, every, ((others, 1),))
        return cls(recipe.held_until, objectives.joint, model.layout, every, ((q, recipe.q_rate), (others, 1)))
