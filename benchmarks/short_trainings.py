"""How well short trainings rank cells of NAS-Bench-201: scores after several lengths, beside the table.

    python benchmarks/short_trainings.py IMAGES [CELL ...] [--random 0] [--budgets 2 4 8 16] [--seed 0]
        [--set KEY=VALUE ...] [--out FILE]

IMAGES is a folder with ``train/<class>/*.png``. Each CELL, and as many random ones as asked for, is trained
as the evaluator of ``recipes/cdarts_nasbench201.toml --profile cpu`` trains candidates of a check: as a
deep, narrow network on small images. Budgets are lengths of one training in its epochs of 30 batches;
``--set`` changes any other option of the recipe. The ranks after each are compared with the 200-epoch
validation accuracy on CIFAR-10 in the table inside nasforge. Finished cells are lines of FILE, so a second
call resumes where the first one stopped.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

import torch
from scipy.stats import spearmanr

from nasforge.arch import Arch
from nasforge.evaluator import Evaluator
from nasforge.observer import Observer
from nasforge.plugins import Registry
from nasforge.recipe import load
from nasforge.runs.assembly import Assembly
from nasforge.runs.folder import RunFolder
from nasforge.runtime import Runtime
from nasforge_plugins.evaluators.tabular.store import load as load_table

RECIPE = Path(__file__).parents[1] / "recipes" / "cdarts_nasbench201.toml"


def assemble(images: Path, changes: list[str], budgets: list[int], seed: int, folder: Path) -> Assembly:
    recipe = load(
        RECIPE,
        Registry.discover(),
        profile="cpu",
        overrides=[
            "data.use=image-folder",
            f"data.root={images.resolve()}",
            f"run.seed={seed}",
            f"evaluator.epochs={max(budgets)}",
            *changes,
        ],
    )
    torch.set_num_threads(recipe.run.threads or torch.get_num_threads())
    return Assembly(recipe, RunFolder(folder), Runtime.of(recipe.run, "cpu"), Observer())


def train(evaluator: Evaluator[Any], arch: Arch, budgets: list[int]) -> dict[str, Any]:
    started = time.process_time()
    scores = {str(budget): evaluator.evaluate(arch, budget=budget).score for budget in budgets}
    return {"scores": scores, "seconds": time.process_time() - started}


def table_of(rows: list[dict[str, Any]], budgets: list[int]) -> str:
    head = ["Cell", "Accuracy", *(f"Score after {budget}" for budget in budgets)]
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    for row in sorted(rows, key=lambda row: -float(row["accuracy"])):
        scores = (f"{row['scores'][str(budget)]:.3f}" for budget in budgets)
        lines.append(f"| `{row['cell']}` | {row['accuracy']:.2f} | {' | '.join(scores)} |")
    accuracies = [row["accuracy"] for row in rows]
    ranks = [spearmanr([row["scores"][str(b)] for row in rows], accuracies).statistic for b in budgets]
    lines.append(f"| Spearman, {len(rows)} cells | | {' | '.join(f'{rho:.2f}' for rho in ranks)} |")
    seconds = sum(row["seconds"] for row in rows) / len(rows)
    return "\n".join([*lines, "", f"{seconds:.1f} s of processor time per cell"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("cells", nargs="*")
    parser.add_argument("--random", type=int, default=0)
    parser.add_argument("--budgets", type=int, nargs="+", default=[2, 4, 8, 16])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", dest="changes", action="append", default=[])
    parser.add_argument("--out", type=Path, default=Path("short_trainings.jsonl"))
    options = parser.parse_intermixed_args()
    budgets, settings = sorted(options.budgets), {"seed": options.seed, "changes": sorted(options.changes)}
    known = (
        [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    )
    found = {row["cell"]: row for row in known if row["settings"] == {**settings, "budgets": budgets}}
    table = load_table("nasbench201")
    accuracies = table.accuracy("cifar10", "valid", 200)
    with tempfile.TemporaryDirectory() as scratch:
        evaluator = assemble(
            options.images, options.changes, budgets, options.seed, Path(scratch)
        ).search_evaluator()
        space: Any = evaluator.ctx.space
        random = Random(options.seed)
        archs = [space.parse(cell) for cell in options.cells]
        archs += [space.sample(random) for _ in range(options.random)]
        rows = []
        for arch in dict.fromkeys(map(space.canonical, archs)):
            cell = space.notation(arch)
            if cell not in found:
                accuracy = float(accuracies[table.row(space.table_key(arch))])
                found[cell] = {
                    "settings": {**settings, "budgets": budgets},
                    "cell": cell,
                    "accuracy": accuracy,
                }
                found[cell] |= train(evaluator, arch, budgets)
                with options.out.open("a") as file:
                    file.write(json.dumps(found[cell]) + "\n")
            rows.append(found[cell])
            print(f"{len(rows)} cells", end="\r", flush=True)
    print(table_of(rows, budgets))


if __name__ == "__main__":
    main()
