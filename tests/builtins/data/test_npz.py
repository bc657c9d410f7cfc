import time

import numpy as np
import pytest
import torch

from nasforge.errors import DataError


def arrays(**changes):
    rng = np.random.default_rng(0)
    made = {
        "x_train": rng.integers(0, 256, (20, 6, 6, 3), dtype=np.uint8),
        "y_train": np.arange(20) % 2,
        "x_test": rng.integers(0, 256, (4, 6, 6, 3), dtype=np.uint8),
        "y_test": np.arange(4) % 2,
        **changes,
    }
    return {name: array for name, array in made.items() if array is not None}


def test_arrays_are_read_as_they_are(loaded, tmp_path):
    np.savez(tmp_path / "d.npz", **arrays(classes=np.array(["ant", "bee"])))
    made = loaded("npz", path=tmp_path / "d.npz")
    images, labels = made.stored("full")
    assert np.array_equal(images.numpy(), arrays()["x_train"])
    assert labels.tolist() == [0, 1] * 10
    assert made.data.class_names == ("ant", "bee")


def test_grey_images_and_missing_names_are_fine(loaded, tmp_path):
    grey = {name: arrays()[name][..., 0] for name in ("x_train", "x_test")}
    np.savez_compressed(tmp_path / "d.npz", **arrays(**grey, y_train=np.arange(20, dtype=np.uint8) % 3))
    made = loaded("npz", path=tmp_path / "d.npz")
    assert made.data.task.in_channels == 1
    assert made.data.class_names == ("0", "1", "2")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_test": None, "Y_test": np.arange(4)}, "no array 'y_test'. Did you mean 'Y_test'"),
        ({"x_train": np.zeros((20, 6, 6, 3))}, "'x_train' is float64 of shape .* Store uint8"),
        ({"x_test": np.zeros((4, 108), np.uint8)}, "'x_test' is uint8 of shape .4, 108."),
        ({"x_test": np.zeros((4, 3, 6, 6), np.uint8)}, "looks like channels first. Store x_test.transpose"),
        ({"y_train": np.arange(19)}, r"'y_train' is int64 of shape \(19,\) for 20 images"),
        ({"y_train": np.zeros(20)}, "'y_train' is float64"),
        ({"classes": np.array(["a", "b"]), "y_test": np.array([0, 1, 2, 0])}, "test labels go from 0 to 2"),
        ({"y_test": np.array([0, 1, -1, 0])}, "test labels go from -1 to 1"),
        ({"y_train": np.array([1, 2] * 10)}, "no training image of class '0'"),
        (
            {"x_test": np.zeros((4, 5, 5, 3), np.uint8)},
            "training images are 6 x 6 x 3, test images 5 x 5 x 3",
        ),
        ({"x_test": np.zeros((0, 6, 6, 3), np.uint8), "y_test": np.zeros(0, int)}, "has no test image"),
        ({"classes": np.array([{"a": 1}], dtype=object)}, "cannot be read"),
    ],
)
def test_archives_that_do_not_fit_are_explained(loaded, tmp_path, changes, message):
    np.savez(tmp_path / "d.npz", **arrays(**changes))
    with pytest.raises(DataError, match=message) as raised:
        loaded("npz", path=tmp_path / "d.npz")
    assert "d.npz" in str(raised.value)


def test_labels_with_gaps_are_numbered(loaded, tmp_path):
    labels = {"y_train": np.array([3, 10**7] * 10), "y_test": np.array([10**7, 3, 3, 10**7], np.uint64)}
    np.savez(tmp_path / "d.npz", **arrays(**labels))
    made = loaded("npz", path=tmp_path / "d.npz")
    assert made.data.class_names == ("3", "10000000")
    assert made.stored("full")[1].tolist() == [0, 1] * 10
    assert made.stored("test")[1].tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_train": np.arange(20) * 10**6}, r"20 different labels for 20 images \(0, 1000000, …\).*IDs"),
        ({"y_train": np.arange(20, dtype=np.uint64) + 2**63}, "20 different labels .* IDs of images"),
        ({"y_train": np.arange(20) // 2, "y_test": np.arange(4) + 10**7}, "of class '10000000', '10000001'"),
        ({"classes": np.arange(10**5)}, "of class '2', .* and 99,988 more"),
        ({"classes": np.zeros(10**5, int)}, "class name '0' is there twice"),
    ],
)
def test_labels_that_are_no_classes_cost_no_time(loaded, tmp_path, changes, message):
    np.savez(tmp_path / "d.npz", **arrays(**changes))
    started = time.process_time()
    with pytest.raises(DataError, match=message) as raised:
        loaded("npz", path=tmp_path / "d.npz")
    assert time.process_time() - started < 2
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize("content", [None, b"", b"no archive", b"PK\x03\x04broken"])
def test_files_that_are_no_archive_are_explained(loaded, tmp_path, content):
    if content is not None:
        (tmp_path / "d.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"d\.npz.: (there is no such file|cannot be read)"):
        loaded("npz", path=tmp_path / "d.npz")


def test_a_single_array_is_no_archive(loaded, tmp_path):
    np.save(tmp_path / "d.npy", np.zeros(3))
    with pytest.raises(DataError, match="one array"):
        loaded("npz", path=tmp_path / "d.npy")


def test_real_images(loaded, shared_data):
    made = loaded("npz", path=shared_data / "cifar10/cifar10_500.npz")
    assert made.data.sizes() == {"weights": 250, "arch": 250, "select": 0, "full": 500, "test": 200}
    assert made.data.class_names[0] == "airplane"
    for split in ("weights", "arch"):
        assert torch.bincount(made.read(split)[1]).tolist() == [25] * 10
