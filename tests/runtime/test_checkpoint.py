import errno
from pathlib import Path
from random import Random

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from nasforge.errors import CheckpointError, InaccessibleError
from nasforge.runtime import checkpoint
from nasforge.runtime.seal import write_sealed
from support.damage import flip


def state(step: int) -> dict:
    shared = torch.arange(6.0).reshape(2, 3)
    return {
        "step": step,
        "text": "é",
        "none": None,
        "flags": [True, 1.5, {"deep": torch.tensor(step)}],
        "by number": {0: {"a": torch.ones(2)}, 1: "x"},
        "~odd": {"~tensor": "not one"},
        "twice": [shared, shared],
        "empty": torch.empty(0),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "view": torch.arange(12).reshape(3, 4).t(),
    }


def assert_same(a, b):
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b


def test_everything_a_state_may_hold_survives(tmp_path):
    path = tmp_path / "deep" / "state.safetensors"
    checkpoint.save(path, state(1))
    assert_same(checkpoint.load(path), state(1))


def test_equal_states_are_equal_bytes(tmp_path):
    for name in ("a", "b"):
        checkpoint.save(tmp_path / name, state(1))
        checkpoint.save_weights(
            tmp_path / f"{name}w", {"x": torch.ones(2), "a": torch.ones(1)}, {"p": 1, "q": 2}
        )
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "aw").read_bytes() == (tmp_path / "bw").read_bytes()


def test_an_optimizer_survives(tmp_path):
    net = nn.Linear(3, 2)
    adam = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 3)).sum().backward()
    adam.step()
    checkpoint.save(tmp_path / "o.safetensors", adam.state_dict())
    again = torch.optim.Adam(net.parameters())
    again.load_state_dict(checkpoint.load(tmp_path / "o.safetensors"))
    assert_same(again.state_dict()["state"], adam.state_dict()["state"])


def test_an_unknown_object_is_refused_by_path(tmp_path):
    with pytest.raises(TypeError, match="/a/1 is a set"):
        checkpoint.save(tmp_path / "s.safetensors", {"a": [1, {2}]})
    assert not (tmp_path / "s.safetensors").exists()


def test_nothing_saved_is_none(tmp_path):
    assert checkpoint.load(tmp_path / "s.safetensors") is None


@pytest.mark.parametrize("spoil", ["truncate", "garbage", "empty", "missing"])
def test_an_unreadable_file_falls_back_to_the_one_before(tmp_path, spoil):
    path = tmp_path / "s.safetensors"
    checkpoint.save(path, state(1))
    checkpoint.save(path, state(2))
    if spoil == "missing":  # as if killed between the two renames
        path.unlink()
        assert checkpoint.load(path)["step"] == 1
        return
    whole = path.read_bytes()
    path.write_bytes({"truncate": whole[: len(whole) // 2], "garbage": b"x" * 99, "empty": b""}[spoil])
    with pytest.warns(UserWarning, match="Resuming from the one before"):
        assert checkpoint.load(path)["step"] == 1


def test_two_unreadable_files_are_an_error_that_names_them(tmp_path):
    path = tmp_path / "s.safetensors"
    for step in (1, 2):
        checkpoint.save(path, state(step))
    path.write_bytes(b"")
    checkpoint.previous_path(path).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"s\.safetensors.*s\.previous\.safetensors.*Delete"):
        checkpoint.load(path)


def test_foreign_safetensors_are_named(tmp_path):
    checkpoint.save_weights(tmp_path / "w.safetensors", {"a": torch.ones(1)}, {})
    with pytest.raises(CheckpointError, match="is a safetensors file, but no"):
        checkpoint.read(tmp_path / "w.safetensors")


def test_weights_round_trip_with_tied_tensors(tmp_path):
    net = nn.ModuleDict({"a": nn.Linear(2, 2)})
    net["b"] = net["a"]
    checkpoint.save_weights(tmp_path / "w.safetensors", net.state_dict(), {"arch": "x"})
    tensors, metadata = checkpoint.load_weights(tmp_path / "w.safetensors")
    assert_same(tensors, dict(net.state_dict()))
    assert metadata["arch"] == "x"
    (tmp_path / "w.safetensors").write_bytes(b"short")
    with pytest.raises(CheckpointError, match="cannot be read"):
        checkpoint.load_weights(tmp_path / "w.safetensors")


def test_a_damaged_file_does_not_replace_the_generation_that_is_good(tmp_path):
    path = tmp_path / "s.safetensors"
    for step in (1, 2):
        checkpoint.save(path, state(step))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="Resuming from the one before"):
        checkpoint.load(path)
    checkpoint.save(path, state(2))
    assert checkpoint.read(checkpoint.previous_path(path))["step"] == 1
    assert (tmp_path / "s.damaged.safetensors").exists()


def test_a_file_that_may_be_sound_is_neither_passed_over_nor_to_be_deleted(tmp_path, monkeypatch):
    path = tmp_path / "s.safetensors"
    for step in (1, 2):
        checkpoint.save(path, state(step))

    def refuse(self, *more, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        with pytest.raises(InaccessibleError, match=r"\(permission denied\)\. Change its perm"):
            checkpoint.load(path)
    assert checkpoint.load(path)["step"] == 2


FLIPS = [40, pytest.param(300, marks=pytest.mark.slow)]


@pytest.mark.parametrize("flips", FLIPS)
def test_a_flipped_bit_of_a_checkpoint_means_the_generation_before(tmp_path, flips):
    path, draw = tmp_path / "s.safetensors", Random(flips)
    for step in (1, 2):
        checkpoint.save(path, state(step))
    for _ in range(flips):
        with flip(path, draw), pytest.warns(UserWarning, match=r"s\.safetensors.*Resuming from the one"):
            assert_same(checkpoint.load(path), state(1))
    assert_same(checkpoint.load(path), state(2))


@pytest.mark.parametrize("flips", FLIPS)
def test_no_flipped_bit_of_weights_passes(tmp_path, flips):
    path, draw = tmp_path / "w.safetensors", Random(flips)
    tensors = {"a": torch.arange(20.0), "b": torch.ones(3, dtype=torch.bfloat16)}
    checkpoint.save_weights(path, tensors, {"arch": "x"})
    for _ in range(flips):
        with flip(path, draw), pytest.raises(CheckpointError, match=r"w\.safetensors"):
            checkpoint.load_weights(path)
    assert_same(checkpoint.load_weights(path)[0], tensors)


def test_any_tool_reads_weights(tmp_path):
    checkpoint.save_weights(tmp_path / "w.safetensors", {"a": torch.ones(1)}, {"arch": "x"})
    assert torch.equal(load_file(tmp_path / "w.safetensors")["a"], torch.ones(1))


NESTED = "[" * 900 + "]" * 900
SHAPES = ["[1]", '{"a": {"~tensor": 1}}', '{"a": {"~items": 3}}', '{"a": {"~rows": {}}}', NESTED]


@pytest.mark.parametrize("state", SHAPES)
def test_a_state_of_the_wrong_shape_is_an_error_that_names_the_file(tmp_path, state):
    path = tmp_path / "s.safetensors"
    write_sealed(path, {}, checkpoint.FORMAT, f'{{"state": {state}}}')
    with pytest.raises(CheckpointError, match=r"s\.safetensors"):
        checkpoint.read(path)


def test_files_without_a_checksum_are_refused(tmp_path):
    path = tmp_path / "s.safetensors"
    save_file({}, path, {checkpoint.FORMAT: '{"state": {}}'})
    with pytest.raises(CheckpointError, match="has no checksum"):
        checkpoint.read(path)
