import os
import re
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from nasforge.cli import run_command
from nasforge.errors import DataError
from nasforge_plugins.data.image_folder import data as implementation
from nasforge_plugins.data.image_folder.config import ImageFolderConfig


def caches(tmp_path):
    return sorted((tmp_path / "cache").rglob("*.safetensors"))


def test_images_come_sorted_by_class_and_name(loaded, image_tree):
    made = loaded("image-folder", root=image_tree(), batch_size=2)
    images, labels = made.stored("full")
    assert labels.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert images[:, 2, 3].tolist() == [[100 * c, n, 50] for c in (0, 1) for n in range(4)]
    assert made.data.class_names == ("ant", "bee")
    assert made.data.task.image_size == 6
    assert made.data.sizes() == {"weights": 4, "arch": 4, "select": 0, "full": 8, "test": 8}
    assert torch.bincount(made.read("arch")[1]).tolist() == [2, 2]


def test_all_listed_formats_are_read_and_other_files_passed_over(loaded, image_tree):
    root = image_tree(count=1, size=(8, 8))
    for suffix in ("jpg", "jpeg", "JPG", "bmp", "webp"):
        Image.new("RGB", (8, 8), (90, 90, 90)).save(root / "train/ant" / f"more.{suffix}")
    Image.new("L", (8, 8), 90).save(root / "train/ant/grey.png")
    Image.new("RGBA", (8, 8), (90, 90, 90, 0)).save(root / "train/ant/transparent.png")
    (root / "train/ant/deep").mkdir()
    Image.new("P", (8, 8)).save(root / "train/ant/deep/palette.PNG")
    for other in ("train/ant/notes.txt", "train/ant/.hidden.png", "train/notes.txt"):
        (root / other).write_text("no image")
    (root / "train/.git").mkdir()
    images, labels = loaded("image-folder", root=root, arch_share=0).stored("full")
    assert torch.bincount(labels).tolist() == [9, 1]
    assert ((images[:9].int() - 90).abs() <= 2).flatten(1).all(1).sum() == 6
    assert (images[:9] == 255).flatten(1).all(1).sum() == 1  # the transparent one, on white


def test_image_size_scales_images_of_any_shape(loaded, image_tree):
    root = image_tree(size=(6, 6))
    Image.new("RGB", (20, 10), (0, 9, 50)).save(root / "train/ant/wide.png")
    made = loaded("image-folder", root=root, image_size=4)
    images, _ = made.stored("full")
    assert images.shape == (9, 4, 4, 3)
    assert images[4, 0, 0].tolist() == [0, 9, 50]


def test_decoded_images_are_cached(loaded, image_tree, tmp_path, monkeypatch):
    root = image_tree()
    first = loaded("image-folder", root=root).stored("full")[0]
    assert len(caches(tmp_path)) == 2
    with monkeypatch.context() as patch:
        patch.setattr(implementation, "decode", None)  # calling it would fail
        assert torch.equal(loaded("image-folder", root=root).stored("full")[0], first)
    Image.new("RGB", (6, 6), (1, 2, 3)).save(root / "train/ant/0.png")
    os.utime(root / "train/ant/0.png", (1, 1))
    assert loaded("image-folder", root=root).stored("full")[0][0, 0, 0].tolist() == [1, 2, 3]
    loaded("image-folder", root=root, image_size=5)
    assert len(caches(tmp_path)) == 5


@pytest.mark.parametrize("damage", [lambda b: b[:-20], lambda b: b"", lambda b: b"x" * 100])
def test_a_damaged_cache_is_made_anew(loaded, image_tree, tmp_path, damage):
    root = image_tree()
    first = loaded("image-folder", root=root).stored("full")[0]
    good = [c.read_bytes() for c in caches(tmp_path)]
    for cache, content in zip(caches(tmp_path), good, strict=True):
        cache.write_bytes(damage(content))
    with pytest.warns(UserWarning, match="image cache cannot be used and is made anew"):
        again = loaded("image-folder", root=root).stored("full")[0]
    assert torch.equal(again, first)
    assert [c.read_bytes() for c in caches(tmp_path)] == good


def test_the_cache_can_be_switched_off(loaded, image_tree, tmp_path):
    loaded("image-folder", root=image_tree(), cache=False)
    assert not (tmp_path / "cache" / "image-folder").exists()


def test_a_cache_that_cannot_be_written_is_no_obstacle(loaded, image_tree, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="every run decodes them. Set NASFORGE_CACHE"):
        made = loaded("image-folder", root=image_tree())
    assert made.data.sizes()["full"] == 8


def test_nothing_is_written_below_the_root(loaded, image_tree):
    root = image_tree()
    before = sorted(root.rglob("*"))
    folders = [root, *(p for p in before if p.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        loaded("image-folder", root=root)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert sorted(root.rglob("*")) == before


def test_a_share_of_the_training_images_can_be_the_test_split(loaded, image_tree):
    root = image_tree(parts=("train",), count=10)
    first = loaded("image-folder", root=root, test_share=0.2)
    assert first.data.sizes() == {"weights": 8, "arch": 8, "select": 0, "full": 16, "test": 4}
    images, labels = first.stored("test")
    assert torch.bincount(labels).tolist() == [2, 2]
    assert torch.equal(images, loaded("image-folder", root=root, test_share=0.2, seed=9).stored("test")[0])
    both = torch.cat([images, first.stored("full")[0]])[:, 0, 0].tolist()
    assert sorted(both) == [[100 * c, n, 50] for c in (0, 1) for n in range(10)]


def test_a_missing_test_folder_is_explained(loaded, image_tree):
    with pytest.raises(DataError, match=r"no folder '.*test'. Make one .* or set data.test_share"):
        loaded("image-folder", root=image_tree(parts=("train",)))


def test_a_test_share_beside_a_test_folder_is_explained(loaded, image_tree):
    with pytest.raises(DataError, match=r"data.test_share: is 0.3, but there is a folder '.*test'"):
        loaded("image-folder", root=image_tree(), test_share=0.3)


def test_a_missing_root_is_explained(loaded, tmp_path):
    with pytest.raises(DataError, match=r"data.root: there is no folder '.*nowhere'. It must hold train"):
        loaded("image-folder", root=tmp_path / "nowhere")


def test_a_root_without_train_is_explained(loaded, image_tree):
    with pytest.raises(
        DataError, match=r"there is no folder '.*train'. It must hold one sub-folder per class"
    ):
        loaded("image-folder", root=image_tree(parts=("test",)))


def test_an_empty_class_is_explained(loaded, image_tree):
    root = image_tree()
    (root / "train/cat").mkdir()
    with pytest.raises(DataError, match=r"class folder '.*cat' has no image. Put images \(.bmp, .jpeg"):
        loaded("image-folder", root=root)


def test_a_single_class_is_explained(loaded, image_tree):
    with pytest.raises(DataError, match=r"has 1 sub-folder"):
        loaded("image-folder", root=image_tree(classes=("ant",)))


def test_different_classes_in_the_two_folders_are_explained(loaded, image_tree):
    root = image_tree()
    (root / "test/bee").rename(root / "test/wasp")
    with pytest.raises(
        DataError, match=r"train' has 'bee', which '.*test' lacks. '.*test' has 'wasp', which"
    ):
        loaded("image-folder", root=root)


@pytest.mark.parametrize("content", [b"", b"no image", "truncated"])
def test_a_corrupt_image_is_named(loaded, image_tree, content):
    root = image_tree()
    broken = root / "train/bee/2.png"
    if content == "truncated":
        noise = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(noise).save(broken)
        content = broken.read_bytes()[:-60]
    broken.write_bytes(content)
    with pytest.raises(DataError, match=r"1 of 16 images cannot be read:\n  - '.*train/bee/2.png': \w.*"):
        loaded("image-folder", root=root)


def spoil(root, *names):
    for name in names:
        (root / name).write_bytes(b"no image")


def test_all_broken_images_are_listed_at_once(loaded, image_tree, tmp_path):
    root = image_tree()
    spoil(root, "train/ant/0.png", "train/bee/3.png", "test/bee/1.png")
    with pytest.raises(DataError) as error:
        loaded("image-folder", root=root)
    lines = str(error.value).splitlines()
    assert lines[0] == "data.root: 3 of 16 images cannot be read:"
    assert [line.split("'")[1] for line in lines[1:4]] == [
        str(root / name) for name in ("train/ant/0.png", "train/bee/3.png", "test/bee/1.png")
    ]
    assert "data.skip_broken = true" in lines[4]
    assert len(caches(tmp_path)) == 0  # the files may be readable next time


@pytest.mark.parametrize("image_size", [None, 5])
def test_broken_images_can_be_left_out(loaded, image_tree, tmp_path, image_size):
    root = image_tree()
    spoil(root, "train/ant/0.png", "train/bee/3.png", "test/bee/1.png")
    for _ in range(2):  # decoded, then from the cache
        with pytest.warns(UserWarning, match="3 of 16 images cannot be read:\n  - '.*ant/0.png'.*\n") as told:
            made = loaded("image-folder", root=root, skip_broken=True, image_size=image_size, batch_size=2)
        assert "They are left out." in str(told[0].message)
        images, labels = made.stored("full")
        assert labels.tolist() == [0, 0, 0, 1, 1, 1]
        assert images[:, 2, 3, 1].tolist() == [1, 2, 3, 0, 1, 2]
        assert made.stored("test")[1].tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert len(caches(tmp_path)) == 2
    Image.new("RGB", (6, 6), (0, 9, 50)).save(root / "train/ant/0.png")
    with pytest.warns(UserWarning, match="2 of 16 images"):
        made = loaded("image-folder", root=root, skip_broken=True, image_size=image_size)
    assert made.stored("full")[0][0, 0, 0].tolist() == [0, 9, 50]


@pytest.mark.filterwarnings("ignore:data.root")
def test_a_class_without_a_readable_image_is_named(loaded, image_tree):
    root = image_tree(count=1)
    spoil(root, "train/bee/0.png")
    with pytest.raises(DataError, match="no training image of class 'bee'"):
        loaded("image-folder", root=root, skip_broken=True)


def test_gray_channels_on_request(loaded, image_tree):
    root = image_tree()
    Image.new("L", (6, 6), 77).save(root / "train/ant/0.png")
    made = loaded("image-folder", root=root, channels="gray")
    assert made.data.task.in_channels == 1
    assert made.data.preprocessing.channels == "gray"
    images, _ = made.stored("full")
    assert images[0].unique().tolist() == [77]
    assert loaded("image-folder", root=root).stored("full")[0][0, 0, 0].tolist() == [77, 77, 77]


def test_a_size_mismatch_names_both_images_and_the_option(loaded, image_tree):
    root = image_tree()
    Image.new("RGB", (7, 9)).save(root / "train/bee/1.png")
    with pytest.raises(
        DataError, match=r"bee/1.png' is 7 x 9 pixels, '.*ant/0.png' is 6 x 6. Set data.image_size"
    ):
        loaded("image-folder", root=root)


def test_images_that_are_not_square_name_the_option(loaded, image_tree):
    with pytest.raises(DataError, match=r"ant/0.png' is 8 x 6 pixels, networks take squares. Set data.image"):
        loaded("image-folder", root=image_tree(size=(8, 6)))


def test_a_test_image_of_another_size_is_explained(loaded, image_tree):
    root = image_tree(parts=("train",))
    image_tree(parts=("test",), size=(5, 5))
    with pytest.raises(DataError, match=r"training images are 6 x 6 x 3, test images 5 x 5 x 3"):
        loaded("image-folder", root=root)


@pytest.mark.slow
def test_real_images(loaded, shared_data, tmp_path):
    folders = {}
    with tarfile.open(shared_data / "cifar10/cifar10_jpeg.tar.gz") as tar:
        for member in tar:
            target = tmp_path / member.name
            if target.suffix == ".jpg" and folders.setdefault(target.parent, 0) < 6:
                folders[target.parent] += 1
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(tar.extractfile(member).read())
    made = loaded("image-folder", root=tmp_path / "cifar10", batch_size=10)
    assert made.data.task.num_classes == 10
    assert made.data.task.image_size == 32
    assert made.data.class_names[:2] == ("airplane", "automobile")
    assert made.data.sizes() == {"weights": 30, "arch": 30, "select": 0, "full": 60, "test": 60}
    for published, found in zip((0.4914, 0.4822, 0.4465), made.data.preprocessing.mean, strict=True):
        assert abs(published - found) < 0.1
    last = sorted((tmp_path / "cifar10/test/truck").iterdir())[-1]
    images, labels = made.stored("test")
    assert labels[-1] == 9
    assert np.array_equal(np.asarray(Image.open(last).convert("RGB")), images[-1].numpy())


def test_training_images_among_the_test_images_are_reported(loaded, image_tree):
    root = image_tree()
    with pytest.warns(UserWarning, match=r"data\.root: 8 training images are test images as well"):
        loaded("image-folder", root=root)
    for file in root.glob("test/*/*.png"):
        Image.new("RGB", (6, 6), (7, 7, int(file.stem))).save(file)
    (root / "train/ant/leak.png").symlink_to(root / "test/bee/2.png")
    with pytest.warns(UserWarning, match=r"1 training images.*ant/leak\.png' is '.*bee/2\.png'"):
        loaded("image-folder", root=root)


def test_a_test_share_with_copies_is_reported(loaded, image_tree):
    root = image_tree(parts=("train",), count=6)
    for file in root.glob("train/ant/*.png"):
        file.write_bytes((root / "train/ant/0.png").read_bytes())
    with pytest.warns(UserWarning, match="training images are test images as well"):
        loaded("image-folder", root=root, test_share=0.5)


def test_pipes_and_broken_links_are_an_error_that_names_them(loaded, image_tree):
    root = image_tree()
    os.mkfifo(root / "train/ant/pipe.png")
    (root / "train/bee/link.png").symlink_to("nowhere")
    with pytest.raises(DataError, match=r"(?s)pipe\.png.*not a regular file.*link\.png.*[Nn]o such file"):
        loaded("image-folder", root=root)


@pytest.mark.parametrize(
    ("options", "size"), [({}, (3, 6)), ({"image_size": 8}, (3, 8)), ({"channels": "gray"}, (1, 6))]
)
def test_the_expected_sizes_are_those_that_reading_finds(loaded, image_tree, options, size):
    made = loaded("image-folder", root=image_tree(classes=("ant", "bee", "cow")), **options).data
    found = implementation.ImageFolder(made.config).expected_task()
    assert found == made.task
    assert (found.in_channels, found.image_size, found.num_classes) == (*size, 3)


def test_nothing_is_expected_of_a_folder_that_cannot_be_used(tmp_path):
    assert implementation.ImageFolder(ImageFolderConfig(root=tmp_path / "gone")).expected_task() is None


def test_check_and_run_agree_about_a_limit_that_nothing_keeps(image_tree, tmp_path, capsys):
    (tmp_path / "r.toml").write_text(
        'extends = "quickstart"\n[constraints]\nmax_params = 10\nmax_memory = 0.001\n'
        f'[data]\nuse = "image-folder"\nroot = "{image_tree()}"\ncache = false\nbatch_size = 2\n'
    )
    told = []
    for words in (["check"], ["run", "--out", str(tmp_path / "runs")]):
        assert run_command([words[0], str(tmp_path / "r.toml"), *words[1:]]) != 0
        told.append(capsys.readouterr().err)
    reason = r"can keep 10 parameters with images of 6 pixels and 2 classes: .* add up to [\d,]+ parameters\."
    assert all(re.search(reason, text) for text in told), told
