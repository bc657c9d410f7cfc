import hashlib
import io
import tarfile
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
import torch

from nasforge.errors import DataError
from nasforge_plugins.data.cifar import archive as archives
from nasforge_plugins.data.cifar.data import MEAN, STD, Cifar10, Cifar100


def records(count, classes, label_bytes, seed):
    """Made-up images in the published layout, as bytes, and the same as arrays."""
    rng = np.random.default_rng(seed)
    planes = rng.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    labels = np.arange(count) % classes
    rows = [planes.reshape(count, -1)]
    rows.insert(0, labels[:, None].astype(np.uint8))
    if label_bytes == 2:
        rows.insert(0, (labels[:, None] // 5).astype(np.uint8))
    return np.concatenate(rows, 1).tobytes(), planes.transpose(0, 2, 3, 1), labels


@pytest.fixture
def web(tmp_path, monkeypatch):
    """Serve ``tmp_path/source`` on this machine; returns the address."""
    (tmp_path / "source").mkdir()
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "source")) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(params=[Cifar10, Cifar100])
def published(request, tmp_path, monkeypatch, web):
    """A small archive of the published layout, and the plugin class told to expect it."""
    kind = request.param
    layout, classes = kind.archive, kind.archive.num_classes
    members, images, labels = {}, [], []
    for number, name in enumerate(layout.train):
        members[name], some, same = records(classes, classes, layout.label_bytes, number)
        images.append(some)
        labels.append(same)
    members[layout.test], *_ = records(classes, classes, layout.label_bytes, 99)
    members[layout.names] = "\n".join(f"thing{i}" for i in range(classes)).encode() + b"\n\n"
    members["readme.html"] = b"<html>"
    source = tmp_path / "source" / layout.name
    with tarfile.open(source, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    md5 = hashlib.md5(source.read_bytes()).hexdigest()
    monkeypatch.setattr(kind, "archive", replace(layout, url=f"{web}/{layout.name}", md5=md5))
    name = "cifar10" if kind is Cifar10 else "cifar100"
    return name, source, np.concatenate(images), np.concatenate(labels)


def test_an_archive_is_downloaded_once_and_read_in_published_order(loaded, published, tmp_path):
    name, source, images, labels = published
    made = loaded(name, root=tmp_path / "here")
    assert [p.name for p in (tmp_path / "here").iterdir()] == [source.name]
    stored, truth = made.stored("full")
    assert np.array_equal(stored.numpy(), images)
    assert np.array_equal(truth.numpy(), labels)
    assert made.data.class_names[:2] == ("thing0", "thing1")
    described = made.data.preprocessing
    assert (described.mean, described.deviation) == (MEAN, STD)
    source.unlink()
    loaded(name, root=tmp_path / "here")


def test_the_environment_names_the_folder(loaded, published, tmp_path):
    name, source, *_ = published
    loaded(name)
    assert (tmp_path / "downloads" / source.name).is_file()


def test_without_network_the_message_says_what_to_do(loaded, published, tmp_path, monkeypatch):
    name, source, *_ = published
    source.unlink()
    with pytest.raises(DataError, match=r"copy the archive into that folder.*'image-folder'.*'digits'"):
        loaded(name, root=tmp_path / "here")
    assert list((tmp_path / "here").iterdir()) == []


def test_a_host_that_cannot_be_found_is_explained(loaded, published, monkeypatch):
    name, *_ = published
    kind = Cifar10 if name == "cifar10" else Cifar100
    monkeypatch.setattr(kind, "archive", replace(kind.archive, url="https://host.invalid/cifar.tar.gz"))
    with pytest.raises(DataError, match=r"downloading it from https://host.invalid/cifar.tar.gz failed"):
        loaded(name)


def test_a_download_with_a_wrong_checksum_is_not_kept(loaded, published, tmp_path):
    name, source, *_ = published
    source.write_bytes(source.read_bytes() + b"x")
    with pytest.raises(DataError, match="failed"):
        loaded(name, root=tmp_path / "here")
    assert list((tmp_path / "here").iterdir()) == []


def test_a_damaged_archive_is_not_read(loaded, published, tmp_path):
    name, source, *_ = published
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / source.name).write_bytes(source.read_bytes()[:-10])
    with pytest.raises(DataError, match=r"is damaged: its MD5 checksum is not .*Delete it"):
        loaded(name, root=tmp_path / "here")


def test_a_folder_that_cannot_be_made_is_explained(loaded, published, tmp_path):
    name, *_ = published
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="copy the archive into that folder"):
        loaded(name, root=tmp_path / "file" / "below")


@pytest.mark.parametrize("content", [b"no tar", None])
def test_something_else_is_no_archive(tmp_path, content):
    path = tmp_path / "a.tar.gz"
    if content:
        path.write_bytes(content)
    else:
        tarfile.open(path, "w:gz").close()
    with pytest.raises(DataError, match=r"is not the published archive"):
        archives.read(archives.CIFAR10, path)


def test_published_files_and_checksums():
    assert archives.CIFAR10.md5 == "c32a1d4ab5d03f1284b67883e8d87530"
    assert archives.CIFAR100.md5 == "03b5dce01913d631647c71ecec9e9cb8"
    for archive in (archives.CIFAR10, archives.CIFAR100):
        assert archive.url == f"https://www.cs.toronto.edu/~kriz/{archive.name}"


def test_augmentation_is_on_by_default(loaded, published):
    name, *_ = published
    made = loaded(name, batch_size=5)
    images, _ = made.read("weights")
    plain, _ = made.read("weights", augment=False)
    assert images.shape == plain.shape
    black = torch.tensor([-m / s for m, s in zip(MEAN, STD, strict=True)])
    padded = (images - black.view(3, 1, 1)).abs().amax(1) < 1e-5
    assert padded.flatten(1).any(1).float().mean() > 0.9
