"""The cases of real data: tables by their names on OpenML, of which no test needs a network."""

import sys
from urllib.error import URLError

import numpy as np
import pytest
from sklearn import datasets

from microgmdgm import data
from tests import real_cases


def test_a_table_by_name_has_classes_from_zero(monkeypatch):
    def fetch(name, *, version, as_frame, return_X_y):
        assert (name, version, as_frame, return_X_y) == ("letter", 1, False, True)
        return np.arange(12).reshape(6, 2), np.array(list("BACABB"))
    monkeypatch.setattr(datasets, "fetch_openml", fetch)
    x, y, x_test, y_test = real_cases.load("letter")
    assert x.tolist() == [[0, 1], [2, 3], [6, 7], [8, 9]] and x.dtype == float and x_test.tolist() == [[4, 5], [10, 11]]
    assert y.tolist() == [1, 0, 0, 1] and y_test.tolist() == [2, 1]


def test_a_table_at_hand_is_read_instead(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    np.savez("letter.npz", x=np.arange(12).reshape(6, 2), y=list("BACABB"))
    x, y, *_ = real_cases.load("letter")
    assert x.tolist() == [[0, 1], [2, 3], [6, 7], [8, 9]] and x.dtype == float and y.tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize("error", [URLError("no route to host"), ValueError("No active dataset\nletter")])
def test_without_a_network_one_line_says_so(monkeypatch, capsys, tmp_path, error):
    def fetch(*args, **options):
        raise error
    monkeypatch.setattr(datasets, "fetch_openml", fetch)
    monkeypatch.setattr(sys, "argv", ["real_cases", "letter", "--out", str(tmp_path)])
    with pytest.raises(data.DataError, match="letter is neither in .* nor can it be had from OpenML .*: run this once"):
        real_cases.load("letter")
    with pytest.raises(SystemExit) as stopped:
        real_cases.main()
    assert stopped.value.code == 2 and "error: letter is neither in" in capsys.readouterr().err.splitlines()[-1]
