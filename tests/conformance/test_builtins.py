"""Every built-in passes every check of the kit, as any third party's plugin must."""

import hashlib
import io
import os
import shutil
import tarfile
import tempfile
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nasforge.plugins import Registry
from nasforge.testing import Partners, checks_for

# The images that file-reading plugins get; the checks are chosen before any fixture could make a folder.
FOLDER = Path(tempfile.gettempdir()) / f"nasforge-conformance-{os.getpid()}"
FEW = {"batch_size": 4}
OPTIONS = {
    "npz": {"path": FOLDER / "set.npz", **FEW},
    "image-folder": {"root": FOLDER / "images", "cache": False, **FEW},
    "imagenet": {
        "root": FOLDER / "imagenet",
        "image_size": 8,
        "resize_size": 10,
        "workers": 0,
        "select_share": 0.25,
        **FEW,
    },
    "cifar10": {"root": FOLDER / "cifar", "limit_train": 24, "limit_test": 10, **FEW},
    "cifar100": {"root": FOLDER / "cifar", "limit_train": 200, "limit_test": 100, **FEW},
}


def built_ins():
    registry = Registry.discover()
    table_space = registry.get("space", "nasbench201")
    tables = Partners(space=lambda: table_space.load()(table_space.config()))
    for point in sorted(entry_points(group="nasforge"), key=lambda p: p.name):
        if not point.value.startswith("nasforge_plugins."):
            continue
        for plugin in Registry.discover([point]):
            yield from checks_for(
                plugin,
                module=point.value,
                options=OPTIONS.get(plugin.name),
                partners=tables if plugin.name == "tabular" else None,
            )


def parameters():
    for check in built_ins():
        plugin = check.subject.plugin
        yield pytest.param(check, id=f"{plugin.kind}-{plugin.name}-{check.name}")


@pytest.fixture(scope="session")
def pictures():
    rng = np.random.default_rng(0)
    FOLDER.mkdir()

    def draw(count, side=8):
        return rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)

    train, test = np.arange(24) % 3, np.arange(9) % 3
    np.savez(FOLDER / "set.npz", x_train=draw(24), y_train=train, x_test=draw(9), y_test=test)
    for tree, held_out in (("images", "test"), ("imagenet", "val")):
        for part, count in (("train", 8), (held_out, 3)):
            for label in "abc":
                folder = FOLDER / tree / part / label
                folder.mkdir(parents=True)
                for i, image in enumerate(draw(count, 12)):
                    Image.fromarray(image).save(folder / f"{i}.png")
    yield FOLDER
    shutil.rmtree(FOLDER)


@pytest.fixture
def small_archive(request, monkeypatch, pictures):
    """For CIFAR: an archive of the published layout with few images, and its checksum."""
    name = request.node.callspec.params["check"].subject.plugin.name
    if not name.startswith("cifar"):
        return
    from nasforge_plugins.data.cifar.data import Cifar10, Cifar100

    kind = Cifar10 if name == "cifar10" else Cifar100
    layout, path = kind.archive, pictures / "cifar" / kind.archive.name
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        rng, classes = np.random.default_rng(1), layout.num_classes
        with tarfile.open(path, "w:gz") as tar:
            for member in (*layout.train, layout.test, layout.names):
                rows = rng.integers(0, 256, (3 * classes, layout.label_bytes + 3072), dtype=np.uint8)
                rows[:, layout.label_bytes - 1] = np.arange(3 * classes) % classes
                text = "\n".join(f"thing{i}" for i in range(classes)).encode()
                content = text if member == layout.names else rows.tobytes()
                info = tarfile.TarInfo(member)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setattr(kind, "archive", replace(layout, md5=md5))


@pytest.mark.parametrize("check", list(parameters()))
def test_built_in(check, small_archive, pictures):
    check()


def test_nothing_built_in_is_left_out():
    names = {(check.subject.plugin.kind, check.subject.plugin.name) for check in built_ins()}
    registry = Registry.discover()
    own = {(p.kind, p.name) for p in registry if p.target.startswith("nasforge_plugins.")}
    assert names == own
    assert not [reason for at, reason in registry.broken if "nasforge_plugins" in at]
