"""Rank correlation of a supernet's scores with the accuracies of NAS-Bench-201.

    python benchmarks/supernet_ranks.py RUN [--architectures 200] [--images N] [--seed 0] [--out FILE]

RUN is the folder of a search in the space ``nasbench201`` whose evaluator was ``supernet``. Random
architectures are scored with its weights, on its held-out images, once for every batch-norm policy;
"recalibrate" reads N images, by default as many as in the run. The ranks are compared with the 200-epoch
validation accuracy on CIFAR-10 in the table inside nasforge. Finished scores are lines of FILE, so a second
call resumes where the first one stopped.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import torch
from scipy.stats import kendalltau, spearmanr

from nasforge.evaluator import Evaluator
from nasforge.observer import Observer
from nasforge.plugins import Registry
from nasforge.recipe import check
from nasforge.runs.assembly import Assembly
from nasforge.runs.folder import RunFolder
from nasforge.runtime import Runtime
from nasforge_plugins.evaluators.tabular.store import load

NORMS = ("recalibrate", "batch", "inherited")


@contextmanager
def evaluator(run: Path, norm: str, images: int | None) -> Iterator[Evaluator[Any]]:
    resolved = json.loads((run / "resolved.json").read_text())
    resolved["evaluator"] |= {"norm": norm, "weights": str(run)}
    if images is not None:
        resolved["evaluator"]["recalibration_images"] = images
    recipe = check(resolved, Registry.discover(), source=str(run))
    runtime = Runtime.of(recipe.run, "cpu")
    torch.set_num_threads(recipe.run.threads or torch.get_num_threads())
    with tempfile.TemporaryDirectory() as scratch:
        yield Assembly(recipe, RunFolder(Path(scratch)), runtime, Observer()).search_evaluator()


def collect(
    run: Path, norm: str, images: int | None, count: int, seed: int, out: Path
) -> list[dict[str, Any]]:
    mine = {"run": str(run), "norm": norm, "images": images}
    rows = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    known = {row["arch"]: row for row in rows if mine.items() <= row.items()}
    table, rng = load("nasbench201"), Random(seed)
    accuracies = table.accuracy("cifar10", "valid", 200)
    chosen: dict[str, dict[str, Any]] = {}
    with evaluator(run, norm, images) as scorer:
        space: Any = scorer.ctx.space
        while len(chosen) < count:
            arch = space.sample(rng)
            text = space.notation(arch)
            if text not in known:
                start = time.process_time()
                score = scorer.evaluate(arch).score
                seconds = time.process_time() - start
                accuracy = float(accuracies[table.row(space.table_key(arch))])
                known[text] = {**mine, "arch": text, "accuracy": accuracy, "score": score, "seconds": seconds}
                with out.open("a") as file:
                    file.write(json.dumps(known[text]) + "\n")
            chosen[text] = known[text]
            print(f"{norm} {len(chosen)}/{count}", end="\r", flush=True)
    return list(chosen.values())


def line_of(norm: str, rows: list[dict[str, Any]]) -> str:
    middle = sorted(row["accuracy"] for row in rows)[len(rows) // 2]

    def rho(some: list[dict[str, Any]]) -> float:
        return float(spearmanr([row["score"] for row in some], [row["accuracy"] for row in some]).statistic)

    tau = kendalltau([row["score"] for row in rows], [row["accuracy"] for row in rows]).statistic
    best = max(rows, key=lambda row: row["score"])["accuracy"]
    seconds = sorted(row["seconds"] for row in rows)[len(rows) // 2]
    upper = rho([row for row in rows if row["accuracy"] >= middle])
    return f"| {norm} | {rho(rows):.3f} | {tau:.3f} | {upper:.3f} | {best:.2f} | {seconds:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--architectures", type=int, default=200)
    parser.add_argument("--images", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("supernet_ranks.jsonl"))
    options = parser.parse_args()
    lines = [
        "| norm | Spearman | Kendall | Spearman, better half | accuracy of the best | CPU seconds |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for norm in NORMS:
        rows = collect(options.run, norm, options.images, options.architectures, options.seed, options.out)
        lines.append(line_of(norm, rows))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
