"""Progress of the runs: a bar with the time left or, without a terminal, one line per epoch."""

import sys

from tqdm import tqdm


class Progress:
    """Called with the metrics of each epoch, which it shows."""

    def __init__(self, folder, quiet):
        recipe = folder.jobs[0].recipe
        self.folder, self.quiet, self.runs = folder, quiet, len(folder.config["models"]) * len(folder.config["seeds"])
        self.last = recipe.total_epochs
        work = self.runs * (recipe.classifier_epochs + 2 * recipe.epochs)  # on all of the model it costs about twice
        self.bar = tqdm(total=work, initial=sum(map(self._work, folder.metrics)), smoothing=0.1, leave=False,
                        disable=quiet or not sys.stderr.isatty(),
                        bar_format="{l_bar}{bar:20}| {elapsed}, {remaining} left{postfix}")

    @staticmethod
    def _work(m):
        return 2 if m["joint"] else 1

    def __call__(self, metrics):
        for m in metrics:
            bound = f"bound {m['L(x)']:.1f}, " if m["joint"] else ""
            figures = f"{bound}accuracy {100 * m['accuracy']:.1f} %, {m['slots_used']} slots in use"
            place = f"{m['model']}, seed {m['seed']}, epoch {m['epoch']} of {self.last}"
            if self.bar.disable and not self.quiet:
                print(f"{place}: {figures}, {m['seconds']:.0f} s", file=sys.stderr, flush=True)
            done = sum(len(runs) for runs in self.folder.runs.values())
            self.bar.set_description(f"{done} of {self.runs} runs" if self.runs > 1 else "", refresh=False)
            self.bar.set_postfix_str(f"{place}: {figures}", refresh=False)
        self.bar.update(sum(map(self._work, self.folder.metrics)) - self.bar.n)
