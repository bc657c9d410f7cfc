"""Growing lists of a state: files that are appended to, and what a crash or a flipped bit does to them."""

import json
import random

import pytest
import torch

from nasforge.errors import CheckpointError
from nasforge.rows import AppendOnly
from nasforge.runtime import checkpoint
from support.damage import flip


class Owner:
    """Has a list, and returns its state as a component does."""

    def __init__(self):
        self.items = []
        self.log = AppendOnly(self.items, lambda item: {"value": item})

    def grow(self, *items):
        self.items.extend(items)
        return self

    def state(self):
        return {"inner": {"history": self.log.snapshot()}, "n": len(self.items), "t": torch.ones(2)}


def rows(path):
    return path.with_name("s~inner~history.jsonl")


def values(state):
    return [row["value"] for row in state["inner"]["history"]]


def test_only_new_items_are_written(tmp_path):
    path, owner = tmp_path / "s.safetensors", Owner()
    sizes = []
    for item in range(5):
        checkpoint.save(path, owner.grow(item).state())
        before = rows(path).read_bytes()
        sizes.append(path.stat().st_size)
        assert values(checkpoint.load(path)) == list(range(item + 1))
    inode = rows(path).stat().st_ino
    checkpoint.save(path, owner.grow(5).state())
    assert rows(path).read_bytes().startswith(before)
    assert rows(path).stat().st_ino == inode
    assert max(sizes) - min(sizes) <= 8  # the header has a length and a number, not the items


def test_a_snapshot_does_not_grow(tmp_path):
    owner = Owner().grow(1, 2)
    state = owner.state()
    owner.grow(3)
    assert state["inner"]["history"] == [{"value": 1}, {"value": 2}]
    checkpoint.save(tmp_path / "s.safetensors", state)
    assert values(checkpoint.load(tmp_path / "s.safetensors")) == [1, 2]


def test_both_generations_can_be_read(tmp_path):
    path, owner = tmp_path / "s.safetensors", Owner()
    checkpoint.save(path, owner.grow(1).state())
    checkpoint.save(path, owner.grow(2, 3).state())
    assert values(checkpoint.read(checkpoint.previous_path(path))) == [1]
    assert values(checkpoint.read(path)) == [1, 2, 3]


@pytest.mark.parametrize("left", [b'["00000000",{"va', b'["12345678",{"value":9}]\n' * 3])
def test_rows_behind_the_checkpoint_are_cut_off(tmp_path, left):
    path, owner = tmp_path / "s.safetensors", Owner()
    checkpoint.save(path, owner.grow(1, 2).state())
    with rows(path).open("ab") as file:
        file.write(left)
    assert values(checkpoint.load(path)) == [1, 2]
    again = Owner().grow(1, 2, 3)  # another process, which made the step again
    checkpoint.save(path, again.state())
    assert values(checkpoint.load(path)) == [1, 2, 3]
    assert [json.loads(line)[1]["value"] for line in rows(path).read_text().splitlines()] == [1, 2, 3]


def test_a_list_that_went_another_way_replaces_what_is_there(tmp_path):
    path = tmp_path / "s.safetensors"
    checkpoint.save(path, Owner().grow(1, 2, 3).state())
    checkpoint.save(path, Owner().grow(1, 7).state())
    assert values(checkpoint.load(path)) == [1, 7]


def test_a_damaged_line_is_named(tmp_path):
    path = tmp_path / "s.safetensors"
    checkpoint.save(path, Owner().grow(*range(10)).state())
    lines = rows(path).read_bytes().splitlines(keepends=True)
    lines[6] = lines[6].replace(b'"value":6', b'"value":7')
    rows(path).write_bytes(b"".join(lines))
    with pytest.raises(CheckpointError, match=r"history\.jsonl: line 7 is damaged.*Delete"):
        checkpoint.load(path)


def test_lost_and_exchanged_lines_are_found(tmp_path):
    path = tmp_path / "s.safetensors"
    checkpoint.save(path, Owner().grow(*range(10)).state())
    lines = rows(path).read_bytes().splitlines(keepends=True)
    rows(path).write_bytes(b"".join([*lines[5:], *lines[:5]]))
    with pytest.raises(CheckpointError, match="not those that the checkpoint counts"):
        checkpoint.load(path)
    rows(path).write_bytes(b"".join(lines[:5]))
    with pytest.raises(CheckpointError, match="has 5 lines, and the checkpoint counts 10"):
        checkpoint.load(path)
    rows(path).unlink()
    with pytest.raises(CheckpointError, match=r"history\.jsonl: cannot be read"):
        checkpoint.load(path)


def test_no_flipped_bit_of_a_history_passes(tmp_path):
    path, draw = tmp_path / "s.safetensors", random.Random(3)
    checkpoint.save(path, Owner().grow(*range(40)).state())
    for _ in range(100):
        with flip(rows(path), draw), pytest.raises(CheckpointError, match="history"):
            checkpoint.load(path)
    assert values(checkpoint.load(path)) == list(range(40))


def test_a_link_in_the_place_of_rows_is_not_followed(tmp_path):
    path, precious = tmp_path / "s.safetensors", tmp_path / "precious"
    precious.write_text("mine")
    rows(path).symlink_to(precious)
    with pytest.raises(OSError, match="symbolic"):
        checkpoint.save(path, Owner().grow(1).state())
    assert precious.read_text() == "mine"


def test_deleting_a_state_deletes_its_rows_and_no_others(tmp_path):
    for name in ("s.safetensors", "s2.safetensors"):
        checkpoint.save(tmp_path / name, Owner().grow(1).state())
    checkpoint.delete(tmp_path / "s.safetensors")
    assert sorted(f.name for f in tmp_path.iterdir()) == ["s2.safetensors", "s2~inner~history.jsonl"]


def test_a_state_too_long_for_a_header_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "LONG", 100)
    state = {"text": "ä" * 200, "t": torch.arange(3)}
    checkpoint.save(tmp_path / "s.safetensors", state)
    found = checkpoint.load(tmp_path / "s.safetensors")
    assert found["text"] == state["text"]
    assert torch.equal(found["t"], state["t"])
