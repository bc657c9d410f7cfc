"""Training images that are test images as well."""

import os
import warnings

import pytest

from nasforge.images.duplicates import find_shared, warn_of_shared


@pytest.fixture
def files(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def test_copies_and_links_are_found(files, tmp_path):
    test = [files(f"test{i}", bytes([i]) * 9) for i in range(4)]
    train = [files("other", b"x" * 9), files("copy", bytes([1]) * 9), files("longer", bytes([1]) * 10)]
    os.link(test[2], tmp_path / "hard")
    (tmp_path / "soft").symlink_to(test[3])
    train += [tmp_path / "hard", tmp_path / "soft"]
    expected = [(train[1], test[1]), (train[3], test[2]), (train[4], test[3])]
    assert find_shared(train, test) == expected
    with pytest.warns(
        UserWarning, match=r"data\.root: 3 training images are test images .*copy' is .*test1'"
    ):
        warn_of_shared(train, test, "data.root")


def test_files_that_begin_alike_are_read_to_their_end(files):
    start = b"s" * 5000
    test = [files(f"test{i}", start + bytes([i])) for i in range(3)]
    train = [files("other", start + b"x"), files("copy", start + bytes([2]))]
    assert find_shared(train, test) == [(train[1], test[2])]


def test_nothing_is_said_about_different_images(files):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_shared([files("a", b"1"), files("b", b"22")], [files("c", b"3")], "data.root")


def test_what_cannot_be_read_is_left_to_the_decoder(files, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    assert find_shared([tmp_path / "pipe", tmp_path / "gone"], [files("a", b"")]) == []
