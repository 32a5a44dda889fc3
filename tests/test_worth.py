"""The experiment on what the generative half is worth without maps: what it changes, keeps and shows."""

import json
from pathlib import Path

from tests import worth
from .test_sklearn import quick

COMMITTED = Path(__file__).parent.parent / "lessons" / "results" / "worth.json"


def test_each_way_changes_what_its_name_says():
    made = {way: worth.estimator(way, "wine", (0,), 3, seed=4) for way in worth.WAYS}
    assert len({(m.model, m.recipe) for m in made.values()}) == len(made) and {m.random_state for m in made.values()} == {4}
    held = {way: m.recipe.held_until == m.recipe.total_epochs for way, m in made.items()}
    assert [way for way in held if held[way]] == ["q(y|x) alone"]
    learns = {way for way, m in made.items() if m.recipe.q_from_bound and m.recipe.q_rate == 1 and m.recipe.held == 0}
    assert learns == {"GM-DGM, q(y|x) learns from the bound", "M2, q(y|x) learns from the bound"}
    assert {m.recipe.classifier_epochs for m in made.values()} == {16} and {m.augment for m in made.values()} == {"auto"}
    assert worth.estimator("M2", "digits", (), 10, 0).augment is False


def test_what_is_there_is_not_run_again(tmp_path, monkeypatch):
    path, fits = tmp_path / "worth.json", []
    monkeypatch.setattr(worth, "TASKS", {"wine": ("wine", (1,), 10)})
    monkeypatch.setattr(worth, "estimator", lambda *way: fits.append(way) or quick(epochs=1))
    found = worth.run([0], path)
    assert len(fits) == len(worth.WAYS) and json.loads(path.read_text()) == found
    again = worth.run([0, 1], path)
    assert len(fits) == 2 * len(worth.WAYS) and {seed for *_, seed in fits[len(fits) // 2:]} == {1}
    lines = worth.table(again).splitlines()
    first = [again["wine"]["M2"][seed]["accuracy_one_to_one"] for seed in (0, 1)]
    assert len(lines) == 3 and lines[2].split(" | ")[3] == f"{50 * sum(first):.1f} ({100 * abs(first[0] - first[1]) / 2**0.5:.1f})"


def test_the_committed_figures_are_complete():
    found = json.loads(COMMITTED.read_text())
    assert list(found) == list(worth.TASKS)
    for runs in found.values():
        assert {way: sorted(kept["seed"] for kept in each) for way, each in runs.items()} == {
            way: [0, 1, 2, 3, 4] for way in worth.WAYS}
