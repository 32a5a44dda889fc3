"""The recipes: every setting of a training run, with its reason in one line."""

from dataclasses import dataclass, fields, replace

from . import settings
from .settings import CLIP, COUNT, EPOCHS, FEW, MORE_EPOCHS, PART, RATE, SCALE, SD, SHARE, SUM_OVER_Y, SWITCH, WEIGHT


@dataclass(frozen=True)
class Step:
    """The settings that change as training goes on, at one step."""
    joint: bool         # whether the whole model is trained, or q(y|x) alone
    rate: float         # Adam's learning rate
    gamma: float        # the weight of invariance,
    weights: tuple      # and within it of consistency, smoothness and balance
    maps: float         # the size of the random maps of images
    noise: float        # σ of the noise of tables
    sum_over_y: str     # exact or sparse
    kl_weight: float = 1.0  # the weight of KL(q(z|x,y) ‖ p(z|y)) in the bound


@dataclass(frozen=True)
class Recipe:
    """The settings of a run.  An epoch shows every unlabelled example once, and a small data
    set as often as it takes to show `minimum_epoch` examples."""
    name: str
    epochs: EPOCHS                  # epochs that train the whole model
    classifier_epochs: MORE_EPOCHS = 0  # epochs before these that train q(y|x) alone, without the decoder
    unlabelled_batch: COUNT = 100   # unlabelled examples in a step
    labelled_batch: COUNT = 100     # labelled examples in a step
    learning_rate: RATE = 3e-4      # Adam's rate while the whole model is trained
    classifier_rate: RATE = 2e-3    # Adam's rate while q(y|x) is trained alone
    classifier_decay_from: SHARE = 1.0  # share of the classifier epochs after which that rate falls linearly to 0
    decay_from: SHARE = 1.0         # share of the other epochs after which learning_rate falls linearly to 0
    alpha: WEIGHT = 0.1             # α, the weight of the labels in Eq. 2, whose terms are means
    maps: SCALE = 0.0               # size of the random maps of images; 1 is the size in augmentation.py
    gamma: WEIGHT = 0.0             # γ, the weight of the invariance terms together
    consistency: WEIGHT = 1.0       # c, the weight of consistency under two maps among the invariance terms
    smoothness: WEIGHT = 1.0        # s, the weight of the adversarial term among them
    beta: WEIGHT = 8.0              # β, the weight of balance among them
    tolerance: PART = 1.0           # where new classes are rare, balance leaves slots between p(y) times and over this
    first_epochs: MORE_EPOCHS = 0   # number of first epochs in which the factors first_… apply
    first_maps: SCALE = 1.0         # multiplies `maps` and `noise` during the first epochs
    maps_grow: FEW = 1              # number of epochs over which `maps` and `noise` grow to that size, in equal steps
    first_smoothness: WEIGHT = 1.0  # multiplies `smoothness` during the first epochs
    smooth_from: MORE_EPOCHS = 0    # epochs before the first one with smoothness
    first_beta: WEIGHT = 1.0        # multiplies `beta` during the first epochs
    merge_from: MORE_EPOCHS = 0     # slots merge after each epoch from this one to last_merge; 0: never
    merge_above: SHARE = 0.2        # c (slots.py) above which two slots merge after the first of these epochs
    merge_last: SHARE = 0.1         # c above which they merge after the last of them
    merge_known: SCALE = 1.5        # c must also be above so many times the largest c of two known classes
    merge_guide: SHARE = 0.4        # unless the latter is larger than this, and no guide
    merge_absent: SHARE = 0.0       # c above which they merge although labelled examples are missing; 0: no matter
    split_above: SCALE = 0.0        # so many times the median share at which a new slot is split in the end; 0: none
    even: PART = 0.8                # after a merge p(y) is as even as it can be within this factor of the slots' shares
    gamma_held: SHARE = 0.0         # share of the whole model's epochs during which γ stays at `gamma`
    gamma_gone: SHARE = 0.0         # share of them after which γ has fallen, linearly, to 0
    noise: SCALE = 0.0              # σ of the noise added to rows of a table, as a share of the root mean square of x
    adversarial_length: SCALE = 0.22  # length of the adversarial r, as a share of the mean length of x
    q_from_bound: SWITCH = True     # whether q(y|x) receives the gradient of L(x)
    sum_over_y: SUM_OVER_Y = "exact"  # exact, or sparse: a few classes stand for all (marginal.py)
    exact_epochs: MORE_EPOCHS = 0   # number of the whole model's first epochs that use the exact sum even so
    top: FEW = 1                    # most probable classes in the sparse sum, besides the sampled one
    held: SHARE = 0.0               # share of the whole model's epochs, the first ones, in which q(y|x) is held fixed
    q_rate: SHARE = 1.0             # learning rate of q(y|x) after these, as a share of that of the other networks
    dream: WEIGHT = 0.0             # weight of dreams, samples that q(y|x) reads back, while it is held
    kl_warm_up: WEIGHT = 0.0        # first epochs of these over which the weight of the KL of z rises from 0 to 1
    rate_warm_up: MORE_EPOCHS = 0   # steps over which the whole model's rate rises from 0, whenever Adam starts anew
    warm_start: SWITCH = False      # whether the whole model starts from q(y|x) and the mean of x (training.py)
    labelled_share: SWITCH = False  # whether L(x,y) has its weight in the sums of Eq. 2, by the share of labels
    joint_share: PART = 1.0         # size of the batches of the whole model, as a share of those of q(y|x) alone
    samples: FEW = 1                # samples of z for each pair of an example and a class
    weight_prior: SWITCH = False    # whether the weights have a Gaussian prior, log N(w; 0, I) / 2N
    clip: CLIP = None               # bound on the absolute value of each element of the gradient
    minimum_epoch: COUNT = 12_000   # least examples in an epoch; a smaller data set is shown several times
    minimum_sd: SHARE = 0.0         # pixels are left out if their standard deviation, in [0, 1], is no larger
    output_sd: SD = None            # σ of the initial weights of output layers; None: Glorot-normal, as all others

    def __post_init__(self):
        """Raises ValueError if a setting is not of its kind, or contradicts another."""
        settings.enforce(self)
        if self.gamma_held > self.gamma_gone:
            raise ValueError(f"gamma_held, {self.gamma_held:g}, must be at most gamma_gone, {self.gamma_gone:g}: gamma "
                             "is held before it falls")

    @property
    def held_until(self):
        """The epoch from which q(y|x) is trained again."""
        return self.classifier_epochs + int(self.held * self.epochs)

    @property
    def total_epochs(self):
        return self.classifier_epochs + self.epochs

    @property
    def merges(self):
        """Whether slots merge at all."""
        return self.gamma > 0 and 0 < self.merge_from <= self.last_merge

    @property
    def last_merge(self):
        """The epoch after which slots merge for the last time."""
        return min(self.first_epochs, self.classifier_epochs)

    def at(self, epoch, share=0.0):
        """The Step when `epoch` epochs and a share of the next one are done."""
        joint, first = epoch >= self.classifier_epochs, epoch < self.first_epochs
        begin, epochs = (self.classifier_epochs, self.epochs) if joint else (0, self.classifier_epochs)
        progress = (epoch - begin + share) / epochs
        rate, decay_from = ((self.learning_rate, self.decay_from) if joint else
                            (self.classifier_rate, self.classifier_decay_from))
        size, smoothness, beta = (self.first_maps, self.first_smoothness, self.first_beta) if first else (1, 1, 1)
        size *= min(1, (epoch + 1) / self.maps_grow)
        still = joint and self.held > 0
        return Step(joint, rate * min(1.0, (1 - progress) / max(1 - decay_from, 1e-9)),
                    0.0 if still else self._gamma(progress if joint else 0.0),
                    (self.consistency, smoothness * self.smoothness * (epoch >= self.smooth_from), beta * self.beta),
                    0.0 if still else size * self.maps, 0.0 if still else size * self.noise,
                    "exact" if 0 <= epoch - self.classifier_epochs < self.exact_epochs else self.sum_over_y,
                    min(1.0, (epoch - begin + share) / self.kl_warm_up) if joint and self.kl_warm_up else 1.0)

    def merge_threshold(self, epoch):
        """The c above which two slots merge after an epoch: from merge_above to merge_last by equal factors."""
        share = (epoch - self.merge_from) / max(self.last_merge - self.merge_from, 1)
        return self.merge_above ** (1 - share) * self.merge_last ** share

    def _gamma(self, progress):
        """γ, constant and then falling linearly to 0."""
        if progress < self.gamma_held:
            return self.gamma
        return self.gamma * (1 - min((progress - self.gamma_held) / max(self.gamma_gone - self.gamma_held, 1e-9), 1))


# The paper gives neither the learning rate nor alpha: Adam's own rate, and Kingma et al.'s 0.1 N on sums, which is 0.1
# on means.  Its published code has 3e-4, 110 and output_sd = 1e-3, with which new slots do not come into use.
PAPER = Recipe("paper", epochs=200, learning_rate=1e-3, exact_epochs=3, top=5, weight_prior=True, clip=1.0,
               minimum_sd=0.1)
# At first: half of the smoothness, which fixes slots where they are, even one that two digits share; large maps
# that grow to full size, because the features that q(y|x) starts with would tell the maps apart and not the images; and
# a strong balance, which fills slots, until those of one digit are merged.  Then: smaller maps and much smoothness,
# which find the borders between digits; and half of the balance.
# Parts of one class merge while the maps are large, the surest first: a known slot that has taken in a little of a new
# class is told apart from it once the others are pure.
# In doubt labels say whether a new slot that looks like a known class is a part of it.
# A slot that two classes share holds nearly twice as many as another, and one that has a class and half of another 1.5
# times: only the first is split.
# Where no class is labelled, smoothness waits until the maps have grown (`for_slots`): q(y|x) begins flat, and without
# labels smoothness may hold it there.
# Where new classes turn out to be much rarer than p(y) says, balance tolerates it: else frequent known ones fill slots
# meant for new ones, and rare new ones share what is left.  Not elsewhere, where a known slot may take in a part of
# another class.
FAST = Recipe("fast", epochs=8, classifier_epochs=24, classifier_decay_from=0.6, unlabelled_batch=250,
              labelled_batch=50, learning_rate=3e-3, decay_from=0.3, alpha=30.0, maps=0.75, gamma=50.0, smoothness=2.0,
              beta=4.0, tolerance=0.7, merge_from=6, merge_above=0.5, merge_last=0.14, merge_absent=0.25,
              split_above=1.6, minimum_epoch=50_000, first_epochs=10, first_maps=2.0, maps_grow=3,
              first_smoothness=0.5, first_beta=2.0, held=0.9, q_rate=0.01, dream=4.0, kl_warm_up=1.0, warm_start=True,
              labelled_share=True, joint_share=0.4, sum_over_y="sparse", minimum_sd=0.1)
# Small images, which a map blurs more: smaller maps at first, no smoothness until slots have formed, then little, and
# fewer epochs, because there is less to learn.  Slots merge later, and without a look at known classes or labels; and
# in the end parts of a class that are mixed less.
FAST_SMALL = replace(FAST, epochs=5, classifier_epochs=16, first_maps=4 / 3, first_smoothness=0.125, smooth_from=5,
                     merge_from=8, merge_above=0.2, merge_last=0.125, merge_known=0.0, merge_absent=0.0,
                     split_above=0.0, tolerance=1.0, minimum_sd=0.0)
# A table: t(x) adds noise.  Balance is only as strong as it takes to fill the slots, stronger for more slots
# (`for_slots`), because classes are rarely as frequent as the prior says; and p(y) is evener after a merge, so that a
# small slot that holds a part of a class grows into it, and merges next.  Labels say what is one class.  The learning
# rate rises at first, because wide tables diverge otherwise.
FAST_TABLE = replace(FAST_SMALL, first_maps=2.0, smooth_from=0, merge_last=0.2, merge_known=2.0, merge_guide=1.0,
                     merge_absent=0.7, even=0.5, learning_rate=1e-3, rate_warm_up=100, minimum_epoch=12_000, noise=0.4,
                     warm_start=False)
RECIPES = {"paper": PAPER, "fast": FAST}


def recipe_for(name, image_shape):
    """The recipe of that name for images of shape (h, w), or for a table if that is None."""
    if name != "fast":
        return RECIPES[name]
    return FAST_TABLE if image_shape is None else FAST if min(image_shape) >= 12 else FAST_SMALL


def for_slots(recipe, K, known, extra):
    """The recipe for K slots, of which the first `known` are labelled classes and `extra` ones are there to be merged:
    balance grows with K for tables, smoothness waits for images without labels, and without extra slots none merges."""
    if recipe.noise:
        recipe = replace(recipe, beta=max(recipe.beta, K / 2))
    elif recipe.maps and not known:
        recipe = replace(recipe, smooth_from=max(recipe.smooth_from, recipe.maps_grow))
    return recipe if extra else replace(recipe, merge_from=0)


def changed(recipe, changes):
    """The recipe with the changes ["alpha=1", …] in it.  Raises ValueError if a setting is unknown or invalid."""
    kinds = {field.name: field.type for field in fields(Recipe) if field.name != "name"}
    values = {}
    for change in changes:
        name, equals, text = change.partition("=")
        if name not in kinds or not equals:
            raise ValueError(f"--set takes NAME=VALUE with NAME one of {', '.join(kinds)}, not {change!r}")
        values[name] = settings.named(f"--set {name}", kinds[name].parse, text)
    return replace(recipe, **values)
