"""Photos that are kept resized: made once, found again, checked."""

import pytest
import torch

from nasforge.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore:.*photos are decoded once")
SMALL = {"image_size": 8, "resize_size": 10, "batch_size": 4, "workers": 0}
CACHED = {**SMALL, "cached_side": 12}


def stored_files(tmp_path):
    return {path.suffix: path for path in (tmp_path / "cache/imagenet").iterdir()}


def test_every_pass_reads_the_same_from_any_process(loaded, photos, tmp_path):
    first = loaded("imagenet", root=photos, **CACHED).read("full", epoch=1)
    size = stored_files(tmp_path)[".bytes"].stat().st_size
    assert size >= 20 * 12 * 12 * 3
    for workers in (0, 2):
        again = loaded("imagenet", root=photos, **{**CACHED, "workers": workers})
        for mine, other in zip(again.read("full", epoch=1), first, strict=True):
            assert torch.equal(mine, other)
    assert stored_files(tmp_path)[".bytes"].stat().st_size == size
    plain = loaded("imagenet", root=photos, **SMALL)
    assert torch.equal(
        plain.read("full", augment=False)[0],
        loaded("imagenet", root=photos, **CACHED).read("full", augment=False)[0],
    )


def test_only_what_is_read_is_made(loaded, photos, tmp_path):
    made = loaded("imagenet", root=photos, **CACHED)
    made.read("weights")
    rows = stored_files(tmp_path)[".rows"]
    assert len(rows.read_bytes().splitlines()) == 10
    expected = loaded("imagenet", root=photos, **SMALL)
    assert len(made.read("arch")[0]) == len(expected.read("arch")[0])
    assert len(rows.read_bytes().splitlines()) == 20


@pytest.mark.parametrize("torn", ["bytes", "row", "both"])
def test_what_a_crash_left_is_made_again(loaded, photos, tmp_path, torn):
    expected = loaded("imagenet", root=photos, **CACHED).read("full")[0]
    files = stored_files(tmp_path)
    whole = {suffix: files[suffix].read_bytes() for suffix in (".bytes", ".rows")}
    if torn != "row":
        files[".bytes"].write_bytes(whole[".bytes"][:-5])
    if torn != "bytes":
        files[".rows"].write_bytes(whole[".rows"][:-3])
    assert torch.equal(loaded("imagenet", root=photos, **CACHED).read("full")[0], expected)
    assert {suffix: files[suffix].read_bytes() for suffix in whole} == whole


def test_a_flipped_bit_is_found(loaded, photos, tmp_path):
    loaded("imagenet", root=photos, **CACHED).read("full")
    path = stored_files(tmp_path)[".bytes"]
    content = bytearray(path.read_bytes())
    content[1000] ^= 4
    path.write_bytes(content)
    with (
        pytest.warns(UserWarning, match="is damaged: the bytes of '.*' have another checksum"),
        pytest.raises(DataError, match=r"data\.cached_side: .* Delete it"),
    ):
        loaded("imagenet", root=photos, **CACHED).read("full")


def test_a_cache_that_cannot_be_written(loaded, photos, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NASFORGE_CACHE", str(tmp_path / "file"))
    made = loaded("imagenet", root=photos, **CACHED)
    with pytest.warns(UserWarning, match="every pass decodes them. Set NASFORGE_CACHE"):
        found = made.read("full")[0]
    assert torch.equal(found, loaded("imagenet", root=photos, **SMALL).read("full")[0])


def test_a_photo_that_cannot_be_decoded_is_named_by_the_pass(loaded, photos):
    (photos / "train/n02/3.JPEG").write_bytes(b"no image")
    made = loaded("imagenet", root=photos, **CACHED)
    with (
        pytest.warns(UserWarning, match="n02/3.JPEG' cannot be read"),
        pytest.raises(DataError, match="1 of 26 images cannot be read"),
    ):
        made.read("full")
