"""Do searchers beat one random draw? Their cells in benches, beside the exact distribution of all cells.

    python -m benchmarks.leaderboard FOLDER ... [--metrics cifar10_valid_accuracy cifar100_valid_accuracy]
        [--controls random-draw most-parameters] [--draws 1000000]

FOLDER is the folder of a bench, finished or not, in a space whose architectures a table knows. Runs of one
label in several folders are one row if their seeds differ. `p` is the probability that the mean of as many
random draws is at least the mean of the row (`--draws` such means, drawn from all cells of the space with
seed 0); the first metric is tested. Holm's correction is for all rows but `--controls`, which are not tested.
Seconds are those of a processor.
"""

import argparse
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from nasforge.plugins import Registry
from nasforge.recipe import load
from nasforge.space import SearchSpace

METRICS = ("cifar10_valid_accuracy", "cifar100_valid_accuracy", "imagenet16-120_valid_accuracy")


def space_of(bench: Path) -> SearchSpace:
    """Return the search space of a bench."""
    part = load(bench / "recipe.toml", Registry.discover()).parts["space"]
    space: SearchSpace = part.plugin.load()(part.config)
    return space


def runs_of(benches: Sequence[Path]) -> dict[str, dict[int, Mapping[str, Any]]]:
    """Return the finished runs of benches by label and seed.

    Raises:
        SystemExit: If two benches have a run of the same label and seed.
    """
    found: dict[str, dict[int, Mapping[str, Any]]] = {}
    for bench in benches:
        for path in sorted(bench.glob("runs/*/*.json")):
            run = json.loads(path.read_text(encoding="utf8"))
            seeds = found.setdefault(run["searcher"], {})
            if run["seed"] in seeds:
                raise SystemExit(f"{path}: another folder has a run of this label and seed. Leave one out.")
            seeds[run["seed"]] = run
    return found


def means_of_draws(values: Sequence[float], size: int, draws: int) -> np.ndarray:
    """Return the sorted means of `draws` samples of `size` values, drawn with replacement."""
    picked = np.random.default_rng(0).choice(np.asarray(values), (draws, size))
    return np.sort(picked.mean(1))


def probability(mean: float, means: np.ndarray) -> float:
    """Return the share of sorted means that are at least `mean`; one more is counted, so it is never 0."""
    above = len(means) - int(np.searchsorted(means, mean, side="left"))
    return (above + 1) / (len(means) + 1)


def correct(probabilities: Sequence[float]) -> list[float]:
    """Return the probabilities after Holm's correction for several tests (Holm, 1979)."""
    corrected, largest = [0.0] * len(probabilities), 0.0
    for rank, index in enumerate(sorted(range(len(probabilities)), key=probabilities.__getitem__)):
        largest = max(largest, (len(probabilities) - rank) * probabilities[index])
        corrected[index] = min(1.0, largest)
    return corrected


def table_of(
    runs: Mapping[str, Mapping[int, Mapping[str, Any]]],
    everything: Sequence[Mapping[str, float]],
    metrics: Sequence[str],
    draws: int,
    controls: Collection[str] = (),
) -> str:
    """Return a table in Markdown, the best row first.

    Args:
        runs: Runs by label and seed.
        everything: The metrics of each architecture of the space.
        metrics: What is shown; the first decides the order and is tested.
        draws: How many means of random draws are drawn.
        controls: Labels that are shown and not tested.
    """
    first = metrics[0]
    values = [one[first] for one in everything]
    found = {label: [run["metrics"][first] for run in seeds.values()] for label, seeds in runs.items()}
    means = {size: means_of_draws(values, size, draws) for size in {len(own) for own in found.values()}}
    labels = sorted(found, key=lambda label: -fmean(found[label]))
    searchers = [label for label in labels if label not in controls]
    chances = correct([probability(fmean(found[label]), means[len(found[label])]) for label in searchers])
    tested = {label: f"{chance:.1e}" for label, chance in zip(searchers, chances, strict=True)}
    lines = [
        f"| | runs | {' | '.join(metrics)} | worst | p, one random draw | CPU seconds |",
        "|---|---|" + "---:|" * (len(metrics) + 3),
    ]
    for label in labels:
        own = list(runs[label].values())
        shown = [describe([run["metrics"][metric] for run in own]) for metric in metrics]
        seconds = describe([run["seconds"] for run in own], "{:.0f}")
        worst = f"{min(found[label]):.2f}"
        cells = (label, str(len(own)), *shown, worst, tested.get(label, ""), seconds)
        lines.append(f"| {' | '.join(cells)} |")
    exact = [f"{fmean(v):.2f} ± {np.std(v):.2f}" for v in ([one[m] for one in everything] for m in metrics)]
    lines.append(
        f"| one random draw, exact | {len(everything)} | {' | '.join(exact)} | {min(values):.2f} | | 0 |"
    )
    return "\n".join(lines)


def describe(values: Sequence[float], form: str = "{:.2f}") -> str:
    """Return the mean and, of several values, the standard deviation."""
    mean = form.format(fmean(values))
    return f"{mean} ± {form.format(stdev(values))}" if len(values) > 1 else mean


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("benches", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--metrics", nargs="+", default=METRICS)
    parser.add_argument("--controls", nargs="+", default=(), metavar="LABEL")
    parser.add_argument("--draws", type=int, default=1_000_000)
    options = parser.parse_args()
    runs = runs_of(options.benches)
    if not runs:
        raise SystemExit(f"{options.benches[0]}: holds no finished run of a bench. Name the bench's folder.")
    space = space_of(options.benches[0])
    everything = [space.lookup(arch) for arch in space.enumerate()]
    print(table_of(runs, everything, options.metrics, options.draws, options.controls))


if __name__ == "__main__":
    main()
