from pathlib import Path

import pytest

from nasforge.arch import Arch
from nasforge.errors import ArchError
from nasforge_plugins.searchers.fixed.config import FixedConfig
from nasforge_plugins.searchers.fixed.searcher import Fixed
from support.toy_table import ToySpace, resumed_after_every_step, searcher_context

TEXT = '{"c0": "a", "c1": "d"}'
ARCH = Arch({"c0": "a", "c1": "d"})


def fixed(arch: str, seed: int = 0) -> Fixed:
    searcher = Fixed(FixedConfig(arch=arch))
    searcher.setup(searcher_context(seed=seed, space=ToySpace(digits=2)))
    return searcher


def test_it_is_done_from_the_start() -> None:
    searcher = fixed(TEXT)
    assert searcher.done
    assert searcher.total_steps == 0
    assert searcher.best() == ARCH
    assert searcher.front() == (ARCH,)


def test_a_file_holds_the_text(tmp_path: Path) -> None:
    path = tmp_path / "arch.json"
    path.write_text(f"\n{TEXT}\n", encoding="utf8")
    assert fixed(f"@{path}").best() == ARCH


def test_a_run_keeps_its_architecture_when_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "arch.json"
    path.write_text(TEXT, encoding="utf8")
    state = fixed(f"@{path}").state_dict()
    path.write_text('{"c0": "b", "c1": "b"}', encoding="utf8")
    later = fixed(f"@{path}")
    later.load_state_dict(state)
    assert later.best() == ARCH


def test_random_draws_by_the_seed(tmp_path: Path) -> None:
    assert fixed("random", 1).best() == fixed("random", 1).best()
    assert len({fixed("random", seed).best() for seed in range(20)}) > 5
    assert resumed_after_every_step(lambda: fixed("random", 1), tmp_path).done


@pytest.mark.parametrize("text", ["", "@"])
def test_nothing_is_no_architecture(text: str) -> None:
    with pytest.raises((ArchError, ValueError)):
        fixed(text)


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArchError, match=r"searcher\.arch: the file .* cannot be read \(No such file"):
        fixed(f"@{tmp_path / 'missing'}")
    with pytest.raises(ArchError, match="choice 'c1' is not answered"):
        fixed('{"c0": "a"}')
