"""Run folders and checkpoints that were damaged, or made by an attacker."""

import json
import shutil
from random import Random

import pytest

from nasforge.cli import run_command
from support.damage import damage
from support.fuzz_inputs import mutate
from support.fuzzing import SCALE, attempt
from support.stopped_runs import write_runs


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return finished and stopped runs."""
    return write_runs(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("seed", range(20 * SCALE))
def test_run_folders(place, folders, seed):
    draw = Random(seed)
    with place() as here:
        shutil.copytree(draw.choice(folders), here / "r")
        files = sorted(p for p in (here / "r").rglob("*") if p.is_file() and p.name != ".lock")
        told = [damage(file, draw) for file in draw.sample(files, draw.choice((1, 1, 2)))]
        commands = [["compare", "r"], ["report", "r"], ["run", "r"]]
        if (here / "r/train").exists():
            commands.insert(0, ["predict", "r", "r"])
        attempt("run folders", f"{seed} {told}", *commands)


def sealed(content, draw):
    """Return a checkpoint whose header or tensors an attacker changed, without or with its checksum."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    key = draw.choice(sorted(header))
    header[key] = draw.choice(
        (None, [], {}, 3, "x", {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4]})
    )
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


@pytest.mark.parametrize("seed", range(15 * SCALE))
def test_checkpoints(place, folders, seed):
    draw = Random(seed)
    with place() as here:
        source = draw.choice([folder for folder in folders if "stopped" in str(folder)])
        shutil.copytree(source, here / "r")
        files = [path for path in (here / "r").rglob("*") if path.name.endswith((".safetensors", "y.jsonl"))]
        file = draw.choice(sorted(files))
        ways = (mutate, mutate, sealed) if file.suffix == ".safetensors" else (mutate,)
        content = draw.choice(ways)(file.read_bytes(), draw)
        file.write_bytes(content)
        attempt("checkpoints", content, ["run", "r"])
        if run_command(["run", "r"]) == 0:
            straight = source.parent.with_name(source.parent.name.replace("stopped", "finished")) / "tiny"
            assert result(here / "r") == result(straight), "a damaged checkpoint was used"


def result(folder):
    """Return what a run found, without the time that it took."""
    stage = "test" if (folder / "test").exists() else "search"
    found = json.loads((folder / stage / "result.json").read_text())
    return {key: value for key, value in found.items() if "seconds" not in key}
