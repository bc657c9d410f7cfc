"""A search whose worker processes leave notes, and can be told to kill themselves."""

import json
import time
from collections.abc import Callable
from pathlib import Path

from nasforge.runtime import checkpoint

TOY = '''
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from nasforge import Choice, Evaluation, Plugin, PluginConfig, SearchSpace, hookimpl
from nasforge.evaluator import ParallelEvaluator


class Space(SearchSpace):
    choices = tuple(Choice(f"c{i}", tuple("pqr")) for i in range(4))


class Options(PluginConfig):
    notes: str
    kills: int = 0
    pause: float = 0.0


class Score(ParallelEvaluator):
    """Notes who evaluates what; the first candidate kills its worker as often as it is told."""

    def evaluate(self, arch, *, budget=None):
        notes, name = Path(self.config.notes), "".join(arch[c][0] for c in arch)
        attempts = len(list(notes.glob(f"{name}.*")))
        (notes / f"{name}.{attempts}.{os.getpid()}").touch()
        first = notes / "first"
        if not first.is_symlink():
            with suppress(FileExistsError):  # the other worker was faster
                first.symlink_to(name)
        if self.config.kills > attempts and os.readlink(first) == name:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.config.pause)
        return Evaluation(arch, sum("pqr".index(c) * 3**i for i, c in enumerate(name)) % 17)


@hookimpl
def nasforge_plugins():
    return [
        Plugin("space", "toy-space", f"{__name__}:Space"),
        Plugin(
            "evaluator",
            "toy-score",
            f"{__name__}:Score",
            Options,
            needs=frozenset({"space"}),
            provides=frozenset({ParallelEvaluator}),
        ),
    ]
'''

SEARCHERS = {
    "random": {"evaluations": 8},
    "evolution": {"evaluations": 12, "population": 4, "tournament": 2, "batch": 2},
    "bananas": {"evaluations": 10, "initial": 4, "batch": 2, "candidates": 6, "members": 2},
}


def recipe_writer(folder: Path) -> Callable[..., Path]:
    """Return what writes recipes into a folder, which is the current one."""
    (folder / "toy.py").write_text(TOY)

    def write(name: str, searcher: str = "random", workers: int = 2, more: str = "", **options) -> Path:
        (folder / f"notes-{name}").mkdir()
        told = {"notes": str(folder / f"notes-{name}"), **options}
        tables = {
            "plugins": {"modules": "./toy.py"},
            "run": {"name": name, "threads": 1, "workers": workers},
            "space": {"use": "toy-space"},
            "evaluator": {"use": "toy-score", **told},
            "searcher": {"use": searcher, **SEARCHERS[searcher]},
        }
        lines = []
        for table, values in tables.items():
            lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        path = folder / f"{name}.toml"
        path.write_text("\n".join([*lines, more]))
        return path

    return write


def found(name: str) -> list[tuple]:
    """What a search has seen, in order, but for the seconds."""
    state = checkpoint.load(Path("runs") / name / "search" / "checkpoint.safetensors")
    return [(tuple(e["arch"].items()), e["score"], e["failed"]) for e in state["searcher"]["history"]]


def pids(name: str) -> set[int]:
    return {int(note.suffix[1:]) for note in Path(f"notes-{name}").glob("*.*.*")}


def wait_until(condition: Callable[[], object], seconds: float = 300.0) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)
