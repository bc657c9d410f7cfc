"""Are searched architectures better than random ones of the same cost? One short training for all.

    python -m benchmarks.cells RECIPE NAME=ARCH ... [--profile cpu] [--random 8] [--cost params]
        [--around COST] [--within 0.1] [--uniform k3e4 ...] [--seeds 2] [--draws 0]
        [--set KEY=VALUE ...] [--out FILE] [--show]

ARCH is an architecture in the notation of the recipe's space, its published name, or the folder of a run,
whose result is taken; `FOLDER:derived` is what the search derived before it was confirmed. Random
architectures are trained beside them, whose cost lies between the smallest and the largest of the runs'
results, or that share (`--within`) below and above; `--around` takes one number in place of both, so that
they stay the same when another run comes to the table. In the space `chain`, `--uniform OPTION` adds the
network that has OPTION in every block and whose channels are all scaled by one factor to the mean cost.

Every network is the final one of the recipe, trained by PROTOCOL and measured on all test images. All see
the same batches in the same order; `--seeds` repeats all trainings with other orders and initial weights.
Finished trainings are lines of FILE, so the same command resumes. `--show` trains
nothing.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch

from benchmarks.paired import RANDOM, SEARCHED, table_of
from benchmarks.uniform import scaled_widths
from nasforge.arch import Arch
from nasforge.observer import Observer
from nasforge.plugins import Registry
from nasforge.recipe import Recipe, load
from nasforge.runs.assembly import Assembly
from nasforge.runs.clock import StageClock
from nasforge.runs.folder import RunFolder
from nasforge.runs.scope import TEST, TRAIN
from nasforge.runtime import Runtime

PROTOCOL = (
    "run.threads=1",
    "data.image_size=16",
    "data.limit_train=20000",
    "data.limit_test=10000",
    "train.epochs=3",
    "train.epoch_batches=100",
    "train.batch_size=64",
    "train.lr=0.05",
    "train.nesterov=true",
    "train.weight_decay=5e-4",
    "train.schedule=cosine",
    "train.auxiliary_weight=0.0",
    "train.drop_path=0.0",
    "train.cutout=0",
    "train.keep_epochs=1",
)
"""The training, as options of a recipe; `--set` comes after these."""

DRAWS = 100_000
"""Random architectures that are looked at, at most, for those of the wanted cost."""


@dataclass(frozen=True)
class Candidate:
    """An architecture to train, the group that it belongs to, and the changes of the recipe that it needs."""

    name: str
    group: str
    arch: Arch
    changes: tuple[str, ...] = ()


def recipe_of(options: argparse.Namespace, seed: int, changes: Sequence[str] = ()) -> Recipe:
    overrides = [*PROTOCOL, *options.changes, *changes, f"run.seed={seed}"]
    return load(options.recipe, Registry.discover(), profile=options.profile, overrides=overrides)


def assemble(recipe: Recipe, folder: Path) -> Assembly:
    torch.set_num_threads(recipe.run.threads or torch.get_num_threads())
    return Assembly(recipe, RunFolder(folder), Runtime.of(recipe.run, "cpu"), Observer())


def result_of(text: str) -> Arch | None:
    """Read the result of a run; None if the text does not begin with the folder of one."""
    folder, _, which = text.partition(":")
    try:
        result = json.loads((Path(folder) / "search" / "result.json").read_text())
    except OSError:  # not there, or the text is longer than a path may be
        return None
    if not which:
        return Arch(result["architecture"])
    confirm = result["searcher"].get("confirm") if which == "derived" else None
    if not confirm or not confirm["races"]:
        raise SystemExit(
            f"{text}: has no {which!r}. Write {folder}, or {folder}:derived of a confirmed search."
        )
    return Arch(confirm["races"][0]["finalists"][0]["architecture"])


def named(texts: Sequence[str], space: Any) -> Iterator[Candidate]:
    for text in texts:
        name, given, arch = text.partition("=")
        if not given:
            raise SystemExit(f"{text}: no name. Write NAME=ARCH, such as DARTS_V2=DARTS_V2.")
        found = result_of(arch)
        group = "given" if found is None or arch.endswith(":derived") else SEARCHED
        yield Candidate(name, group, space.canonical(space.parse(arch) if found is None else found))


def draw(assembly: Assembly, cost: str, low: float, high: float, count: int, seed: int) -> list[Candidate]:
    """Draw different random architectures whose cost is between two numbers, uniform over all such."""
    space, random = assembly.space, Random(seed)
    costs = assembly.constraints.itemize(cost)
    found: dict[Arch, None] = {}
    for _ in range(DRAWS):
        if len(found) == count:
            break
        arch = space.canonical(space.sample(random))
        if arch not in found and low <= costs.of(arch)[cost] <= high:
            found[arch] = None
    else:
        raise SystemExit(
            f"{len(found)} of {count} random architectures have {low:,.0f} to {high:,.0f} {cost}"
        )
    return [Candidate(f"random {i}", RANDOM, arch) for i, arch in enumerate(found)]


def candidates(options: argparse.Namespace, assembly: Assembly) -> list[Candidate]:
    """Return all architectures of the table; random and uniform ones have the cost of the searched ones."""
    found = list(named(options.architectures, assembly.space))
    bounds = [c for c in found if c.group == SEARCHED] or found
    costs = [assembly.constraints.value(c.arch, options.cost) for c in bounds]
    if options.around is not None:
        costs = [options.around]
    low, high = (1 - options.within) * min(costs), (1 + options.within) * max(costs)
    for option in options.uniform:
        arch = Arch({choice.name: option for choice in assembly.space.choices})
        target = sum(costs) / len(costs)
        changes = scaled_widths(assembly.space, assembly.task, arch, options.cost, target)
        found.append(Candidate(f"uniform {option}", "given", arch, changes))
    return found + draw(assembly, options.cost, low, high, options.random, options.draws)


def train(options: argparse.Namespace, candidate: Candidate, seed: int) -> dict[str, Any]:
    """Train one network, and measure it on the test images."""
    recipe = recipe_of(options, seed, candidate.changes)
    with tempfile.TemporaryDirectory() as scratch:
        assembly = assemble(recipe, Path(scratch))
        clock = StageClock(Path(scratch) / "clock.json")
        _ = assembly.data  # read before the clock starts
        started = time.process_time()
        trained = assembly.trainer(TRAIN, clock).evaluate(candidate.arch)
        seconds = time.process_time() - started
        tested = assembly.trainer(TEST, clock).test(candidate.arch)
    costs = {name: trained.metrics[name] for name in ("params", "macs", "train_loss")}
    return {**costs, "accuracy": tested["accuracy"], "loss": tested["loss"], "seconds": seconds}


def collect(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Train what is not in the file yet, one seed after another, and return all rows of this table."""
    changes = [change for change in options.changes if not change.startswith("data.root=")]
    settings = {
        "recipe": Path(options.recipe).stem,
        "profile": options.profile,
        "changes": [*PROTOCOL, *changes],
    }
    stored = options.out.read_text().splitlines() if options.out.exists() else []
    known = [row for row in map(json.loads, stored) if row["settings"] == settings]
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        assembly = assemble(recipe_of(options, 0), Path(scratch))
        chosen = candidates(options, assembly)
        for seed in range(options.seeds):
            for candidate in chosen:
                what = {
                    "arch": assembly.space.notation(candidate.arch),
                    "needs": list(candidate.changes),
                    "seed": seed,
                }
                row = next((row for row in known if what.items() <= row.items()), None)
                if row is None and not options.show:
                    row = {"settings": settings, **what, **train(options, candidate, seed)}
                    with options.out.open("a") as file:
                        file.write(json.dumps(row) + "\n")
                if row is not None:
                    rows.append({**row, "name": candidate.name, "group": candidate.group})
                    print(f"{len(rows)} of {len(chosen) * options.seeds}", end="\r", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("architectures", nargs="+", metavar="NAME=ARCH")
    parser.add_argument("--profile", default="cpu")
    parser.add_argument("--random", type=int, default=8)
    parser.add_argument("--cost", choices=("params", "macs"), default="params")
    parser.add_argument("--around", type=float)
    parser.add_argument("--within", type=float, default=0.1)
    parser.add_argument("--uniform", nargs="+", default=[], metavar="OPTION")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--draws", type=int, default=0, help="seed of the random architectures")
    parser.add_argument("--set", dest="changes", action="append", default=[])
    parser.add_argument("--out", type=Path, default=Path("cells.jsonl"))
    parser.add_argument("--show", action="store_true")
    print(table_of(collect(parser.parse_intermixed_args())))


if __name__ == "__main__":
    main()
