"""Data from outside: found, verified, refused with a clear word; and labels hidden."""

import gzip
import hashlib
import os
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from microgmdgm import data
from .conftest import needs_mnist


def idx(array):
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture(params=["mnist", "fashion-mnist"])
def dataset(request):
    return request.param


@pytest.fixture
def folder(dataset, tmp_path, monkeypatch):
    """Four small files with the names of the data set's and hashes to match."""
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, (30, 28, 28), dtype=np.uint8), rng.integers(0, 10, 30, dtype=np.uint8),
              rng.integers(0, 256, (10, 28, 28), dtype=np.uint8), rng.integers(0, 10, 10, dtype=np.uint8)]
    contents = dict(zip(data.SETS[dataset].files, map(idx, arrays)))
    made_up = {name: (hashlib.sha256(content).hexdigest(), f"gzipped {name}") for name, content in contents.items()}
    monkeypatch.setitem(data.SETS, dataset, replace(data.SETS[dataset], files=made_up))
    for number, (name, content) in enumerate(contents.items()):
        if number % 2:
            (tmp_path / name).write_bytes(content)
        else:
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content))
    return tmp_path, arrays


def test_a_folder_of_gzipped_and_plain_files_is_read(dataset, folder, monkeypatch):
    path, (x_train, y_train, x_test, y_test) = folder
    for found in (data.load(dataset, path), (monkeypatch.setenv(data.ENVIRONMENT, str(path)), data.load(dataset))[1]):
        assert np.array_equal(found.x_train, x_train.reshape(30, 784)) and found.image_shape == (28, 28)
        assert np.array_equal(found.y_train, y_train) and np.array_equal(found.y_test, y_test)
        assert found.name == dataset and len(found.class_names) == found.C == 10
        assert found.class_names[9] == {"mnist": "9", "fashion-mnist": "ankle boot"}[dataset]


def test_a_folder_of_folders_by_name_is_read(dataset, folder, tmp_path):
    path, (_, y_train, _, _) = folder
    below = tmp_path / dataset
    below.mkdir()
    for file in path.glob("*ubyte*"):
        file.rename(below / file.name)
    assert np.array_equal(data.load(dataset, tmp_path).y_train, y_train)
    (below / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(data.DataError, match=f"{tmp_path} must hold .*or in a folder {dataset}; {below} lacks t10k-labels"):
        data.load(dataset, tmp_path)


def test_the_validation_set_is_the_end_of_the_training_set(dataset, folder):
    path, (x_train, y_train, _, _) = folder
    whole = data.load(dataset, path)
    found = data.validation(whole, 4)
    assert found.name == f"{dataset}-validation" and found.class_names == whole.class_names
    assert np.array_equal(found.y_test, y_train[-4:]) and np.array_equal(found.x_train, whole.x_train[:-4])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(data, "validation", lambda found: found.name)
        assert data.load(f"{dataset}-validation", path) == dataset


def test_another_data_set_s_files_are_told(dataset, folder):
    path, _ = folder
    other = {"mnist": "fashion-mnist", "fashion-mnist": "mnist"}[dataset]
    with pytest.raises(data.DataError, match=f"train-images-idx3-ubyte.gz is of {data.SETS[dataset].title}: name a folder "
                                             f"with {data.SETS[other].title} by --data-dir .* a folder {other} below"):
        data.load(other, path)


def test_missing_files_are_named(dataset, folder):
    path, _ = folder
    (path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(data.DataError, match=r"lacks t10k-labels-idx1-ubyte \(with or without .gz\)"):
        data.load(dataset, path)
    with pytest.raises(data.DataError, match="lacks train-images.*t10k-labels"):
        data.load(dataset, path / "nowhere")


def test_an_altered_file_is_named_with_both_hashes(dataset, folder):
    path, _ = folder
    file = path / "train-labels-idx1-ubyte"
    file.write_bytes(file.read_bytes()[:-1] + b"\x63")
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(data.DataError, match=f"{file} is not the original but truncated or altered: expected SHA-256 "
                                             f"{data.SETS[dataset].files[file.name][0]}, found {found}"):
        data.load(dataset, path)


@pytest.mark.parametrize("damage", [lambda c: c[:50], lambda c: c[:-4], lambda c: b"not gzip at all"])
def test_a_damaged_gzip_is_named(dataset, folder, damage):
    path, _ = folder
    file = path / "train-images-idx3-ubyte.gz"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(data.DataError, match=f"{file} cannot be read"):
        data.load(dataset, path)


def test_a_truncated_file_is_named(dataset, folder):
    path, _ = folder
    file = path / "t10k-labels-idx1-ubyte"
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(data.DataError, match=f"{file} is not the original but truncated or altered: .*found"):
        data.load(dataset, path)


def test_a_file_that_is_not_idx_is_named(dataset, folder):
    path, _ = folder
    file = path / "t10k-labels-idx1-ubyte"
    file.write_bytes(b"<html>not found</html>")
    with pytest.raises(data.DataError, match=f"{file} is not an IDX file of bytes: .*begins with 3c 68 74"):
        data.load(dataset, path)


@pytest.mark.parametrize("content", [b"", b"\0\0", b"\0\0\x08\x01", b"\0\0\x08\x02\0\0\0\x02\0\0\0\x03abcde",
                                     b"\0\0\x08\x01\0\0\0\x02abc", b"\0\0\x0d\x01\0\0\0\x01abcd"])
def test_what_is_no_idx_is_refused(content):
    with pytest.raises(data.DataError):
        data.parse_idx(content, "file")


def test_idx_is_parsed():
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert np.array_equal(data.parse_idx(idx(array), "file"), array)


def test_download_tries_the_second_mirror_and_verifies(dataset, folder, monkeypatch):
    path, arrays = folder
    asked, (first, second) = [], data.SETS[dataset].mirrors

    def retrieve(url, known_hash, fname, path, progressbar):
        assert path.name == dataset and url in (f"{first}{fname}", f"{second}{fname}")
        asked.append((url, known_hash))
        if url.startswith(first):
            raise OSError("no route to host")
        return path_of(fname)

    def path_of(fname):
        plain = path / fname.removesuffix(".gz")
        return path / fname if (path / fname).exists() else plain
    import pooch
    monkeypatch.setattr(pooch, "retrieve", retrieve)
    monkeypatch.delenv(data.ENVIRONMENT, raising=False)
    assert np.array_equal(data.load(dataset).y_train, arrays[1])
    assert [url.startswith(first) for url, _ in asked] == [True, False] * 4
    assert asked[0][1] == "gzipped train-images-idx3-ubyte"


@pytest.mark.parametrize("dataset, mirrors", [("mnist", "ossci.*no route.*storage.googleapis"),
                                              ("fashion-mnist", "fashion-mnist.s3.*no route.*zalandoresearch")])
def test_no_mirror_says_why_and_what_to_do(monkeypatch, dataset, mirrors):
    import pooch

    def retrieve(*_, **__):
        raise OSError("no route to host")
    monkeypatch.setattr(pooch, "retrieve", retrieve)
    monkeypatch.delenv(data.ENVIRONMENT, raising=False)
    with pytest.raises(data.DataError, match=f"{data.SETS[dataset].title} is neither in .*{mirrors}.*--data-dir.*--dataset digits"):
        data.load(dataset)


def test_digits_hold_out_a_third():
    digits = data.digits()
    assert digits.x_train.shape == (1198, 64) and digits.x_test.shape == (599, 64) and digits.C == 10
    assert digits.x_train.max() <= digits.white == 16 and digits.image_shape == (8, 8)


def test_an_unknown_data_set_is_refused():
    with pytest.raises(data.DataError, match="mnist, mnist-validation, fashion-mnist, fashion-mnist-validation, digits or "
                                             "the path of an .npz, not 'cifar'"):
        data.load("cifar")
    with pytest.raises(data.DataError, match="not 'digits-validation'"):
        data.load("digits-validation")


def arrays(**changes):
    rng = np.random.default_rng(0)
    return {"x_train": rng.random((40, 12)), "y_train": np.arange(40) % 4, "x_test": rng.random((8, 12)),
            "y_test": np.arange(8) % 4, **changes}


def test_any_npz_is_read_with_or_without_an_image_shape(tmp_path):
    np.savez(tmp_path / "table.npz", **arrays())
    table = data.load(tmp_path / "table.npz")
    assert table.name == "table" and table.C == 4 and table.image_shape is None
    assert table.white == table.x_train.max()
    np.savez(tmp_path / "images.npz", **arrays(image_shape=(3, 4)))
    assert data.load(tmp_path / "images.npz").image_shape == (3, 4)


def test_rows_that_are_sorted_by_class_are_shuffled(tmp_path):
    """Each with its class; rows in any other order stay in it."""
    y = np.repeat(np.arange(4, dtype=np.uint8), 10)
    np.savez(tmp_path / "sorted.npz", **arrays(y_train=y, x_train=np.arange(40)[:, None] * np.ones((1, 12))))
    found, other = data.load(tmp_path / "sorted.npz"), arrays()
    assert (np.diff(found.y_train) < 0).any() and sorted(found.x_train[:, 0]) == [*range(40)]
    assert np.array_equal(found.y_train, found.x_train[:, 0] // 10)
    np.testing.assert_array_equal(found.x_test, other["x_test"])


def test_x_and_y_are_other_names_for_the_training_rows(tmp_path):
    np.savez(tmp_path / "long.npz", **arrays())
    np.savez(tmp_path / "short.npz", **{name.removesuffix("_train"): array for name, array in arrays().items()})
    long, short = (data.load(tmp_path / f"{name}.npz") for name in ("long", "short"))
    assert short.fingerprint == long.fingerprint


@pytest.mark.parametrize("changes, message", [
    ({"x_train": np.ones((40, 3, 4))}, r"x_train must be \(N, 4\)"), ({"y_test": np.zeros(7, int)}, r"y_test \(N,\)"),
    ({"x_test": np.ones((8, 11))}, r"x_test must be \(N, 12\)"), ({"x_train": np.full((40, 12), np.nan)}, "finite"),
    ({"x_test": -np.ones((8, 12))}, "none negative"), ({"y_train": np.full(40, -1)}, "whole numbers from 0.*wants them as x and y"),
    ({"y_test": np.full(8, 9)}, "no class that y_train lacks"), ({"y_train": np.arange(40) % 4 * 2}, "4 classes, numbered up to 6"), ({"y_train": np.full(40, 0.5)}, "whole numbers"),
    ({"image_shape": (5, 5)}, r"h·w = 12, not \[5 5\]"), ({"x_train": np.array([{}] * 40)}, "without pickle")])
def test_an_npz_that_does_not_fit_is_refused(tmp_path, changes, message):
    np.savez(tmp_path / "data.npz", **arrays(**changes))
    with pytest.raises(data.DataError, match=message):
        data.load(tmp_path / "data.npz")


def test_an_npz_that_is_none_or_lacks_arrays_is_refused(tmp_path):
    (tmp_path / "text.npz").write_text("text")
    with pytest.raises(data.DataError, match="cannot be read"):
        data.load(tmp_path / "text.npz")
    np.savez(tmp_path / "half.npz", x_train=np.ones((2, 2)), y_train=np.zeros(2, int))
    with pytest.raises(data.DataError, match="lacks x_test, y_test"):
        data.load(tmp_path / "half.npz")


@needs_mnist
def test_mnist_is_the_original():
    mnist = data.load("mnist")
    assert mnist.x_train.shape == (60_000, 784) and mnist.x_test.shape == (10_000, 784)
    assert mnist.y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4] and mnist.C == 10
    assert mnist.x_train.dtype == np.uint8 and abs(mnist.x_train.mean() / 255 - 0.1307) < 1e-4


@pytest.mark.mnist
@pytest.mark.skipif(not (Path(os.environ.get(data.ENVIRONMENT, "")) / "fashion-mnist").is_dir(),
                    reason="MICROGMDGM_DATA does not name a folder with a folder fashion-mnist")
def test_fashion_mnist_is_the_original():
    fashion = data.load("fashion-mnist")
    assert fashion.x_train.shape == (60_000, 784) and fashion.x_test.shape == (10_000, 784)
    assert [fashion.class_names[c] for c in fashion.y_train[:4]] == ["ankle boot", "T-shirt", "T-shirt", "dress"]
    assert np.array_equal(np.bincount(fashion.y_test), np.full(10, 1000)) and abs(fashion.x_train.mean() / 255 - 0.2860) < 1e-4


def test_labels_are_hidden_at_random_class_by_class():
    y = np.repeat(np.arange(4), 50)
    rows, slots = data.hide_labels(y, (3, 1), 7, np.random.default_rng(0))
    assert np.array_equal(y[rows], np.repeat([3, 1], 7)) and np.array_equal(slots, np.repeat([0, 1], 7))
    assert len(set(rows)) == 14
    other, _ = data.hide_labels(y, (3, 1), 7, np.random.default_rng(1))
    assert set(rows) != set(other)


def test_more_labels_than_examples_are_refused():
    with pytest.raises(ValueError, match="class 1 has 2 training examples, fewer than the 3 labels"):
        data.hide_labels(np.array([0, 0, 0, 1, 1]), (0, 1), 3, np.random.default_rng(0))
    with pytest.raises(ValueError, match="class 7 has 0 training examples"):
        data.hide_labels(np.array([0, 0, 0, 1, 1]), (0, 7), None, np.random.default_rng(0))


def test_the_prior_is_the_paper_s():
    np.testing.assert_allclose(data.slot_prior(10, 5, 5), [1 / 10] * 5 + [1 / 20] * 10)
    np.testing.assert_allclose(data.slot_prior(10, 0, 5), [1 / 15] * 15)
    np.testing.assert_allclose(data.slot_prior(10, 10, 0), [1 / 10] * 10)
    with pytest.raises(ValueError, match="nothing for 5 extra slots"):
        data.slot_prior(10, 10, 5)
