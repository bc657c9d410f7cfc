"""Runs in several processes that share shards, forked from this one: torch is imported already."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Container, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from torch.distributed import TCPStore

import nasforge
from nasforge.errors import NasforgeError

LONGEST = 240.0
"""Seconds after which a test has failed."""


class Ranks(NamedTuple):
    """Processes of one run, by rank.

    Attributes:
        pids: Their ids.
        folder: Holds ``out``, and the last words of each rank.
        store: Kept, because it ends with the object.
    """

    pids: list[int]
    folder: Path
    store: TCPStore

    def wait(self, patience: float = LONGEST) -> list[int]:
        """Return the exit codes; those of killed processes are negative.

        Args:
            patience: Seconds after which the others are killed when one has failed, as launchers do.
        """
        limit, codes = time.monotonic() + LONGEST, dict[int, int]()
        failed = 0.0
        while len(codes) < len(self.pids):
            for rank, pid in enumerate(self.pids):
                if rank not in codes:
                    ended, status = os.waitpid(pid, os.WNOHANG)
                    if ended:
                        codes[rank] = os.waitstatus_to_exitcode(status)
            now = time.monotonic()
            if any(codes.values()):
                failed = failed or now
            if (failed and now > failed + patience) or now > limit:
                self.kill(codes)
            assert now < limit + 10, f"ranks hang: {self.words()}"
            time.sleep(0.02)
        return [codes[rank] for rank in range(len(self.pids))]

    def kill(self, ended: Container[int] = ()) -> None:
        """Kill all but those that have ended."""
        for rank, pid in enumerate(self.pids):
            if rank not in ended:
                os.kill(pid, 9)

    def words(self) -> list[str]:
        """Return what each rank has told the user, empty where it left that to another."""
        paths = [self.folder / f"words-{rank}.txt" for rank in range(len(self.pids))]
        return [path.read_text() if path.exists() else "" for path in paths]


def start_ranks(
    recipe: Mapping[str, Any],
    folder: Path,
    world: int,
    prepare: Callable[[int], Mapping[str, Any] | None] = lambda rank: None,
) -> Ranks:
    """Start a run in several processes.

    Args:
        recipe: The tables.
        folder: The run folder is in ``out`` below it.
        world: How many processes.
        prepare: Called in each process; may return another recipe.
    """
    folder.mkdir(parents=True, exist_ok=True)
    store = TCPStore("127.0.0.1", 0, None, True, timedelta(seconds=60), wait_for_workers=False)
    environment = {
        "WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }
    pids = []
    for rank in range(world):
        pid = os.fork()
        if not pid:
            (folder / f"words-{rank}.txt").unlink(missing_ok=True)
            os.environ.update(environment, RANK=str(rank), LOCAL_RANK=str(rank))
            _run(rank, recipe, folder, prepare)
        pids.append(pid)
    return Ranks(pids, folder, store)


def _run(rank: int, recipe: Mapping[str, Any], folder: Path, prepare: Any) -> NoReturn:
    code = 1
    try:
        nasforge.run(prepare(rank) or recipe, out=folder / "out")
        code = 0
    except NasforgeError as error:
        code = error.exit_code
        if not error.is_reported_elsewhere:
            (folder / f"words-{rank}.txt").write_text(str(error))
    except BaseException:
        (folder / f"words-{rank}.txt").write_text(traceback.format_exc())
    finally:
        sys.stdout.flush()
        os._exit(code)


def run_ranks(recipe: Mapping[str, Any], folder: Path, world: int) -> Path:
    """Run a recipe in several processes that must succeed; return the run folder."""
    if world == 1:
        return nasforge.run(recipe, out=folder / "out").folder
    ranks = start_ranks(recipe, folder, world)
    assert ranks.wait() == [0] * world, ranks.words()
    return folder / "out" / recipe["run"]["name"]
