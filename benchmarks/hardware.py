"""Accuracy and latency on the six devices of HW-NAS-Bench: fronts of searchers, and searches under a limit.

    python benchmarks/hardware.py nb201_hwnasbench.csv.gz [--seeds 50] [--budget 100] [--out FOLDER]

For each device two benches, paired by seed:

* random search, NSGA-II and regularized evolution by the hypervolume of everything that they evaluated.
  Evolution alone has a limit, the median latency of the table, since it maximises accuracy only. The
  reference point is the chance level of CIFAR-10 (10 %) and the largest latency; the unit is the hypervolume
  of the whole table, 100 %;
* random search and evolution by the accuracy of their answer when both keep that limit.

Cells whose latency is not known (4,699 on the Edge TPU) are not proposed.
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np

import nasforge
from nasforge.benches.standings import Standing
from nasforge.pareto import hypervolume
from nasforge_plugins.evaluators.tabular.imports import import_table
from nasforge_plugins.evaluators.tabular.store import load

DEVICES = ("edgegpu", "raspi4", "edgetpu", "pixel3", "eyeriss", "fpga")
CHANCE = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--budget", type=int, default=100)
    parser.add_argument("--devices", nargs="+", choices=DEVICES, default=list(DEVICES))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    out = options.out or Path(tempfile.mkdtemp(prefix="nasforge-hardware-"))
    os.environ["NASFORGE_DATA"] = str(out / "data")
    import_table(options.table, "hardware", replace=True)
    table = load("hardware")
    accuracy = table.accuracy("cifar10")
    print(
        "| Device | Limit, ms | Known | Searcher | Hypervolume, % | Difference to random | Better : worse |",
        end="",
    )
    print(" Accuracy under the limit | Difference to random | Better : worse |")
    print("|---|---:|---:|---|---|---|---|---|---|---|")
    for device in options.devices:
        metric = f"{device}_latency_ms"
        latency = table.accuracy("cifar10", metric, None)
        known = ~np.isnan(latency)
        limit, worst = float(np.median(latency[known])), float(latency[known].max())
        points = zip(accuracy[known].tolist(), (-latency[known]).tolist(), strict=True)
        whole = hypervolume(list(points), (CHANCE, -worst))
        fronts = bench(out, options, metric, "hypervolume", limit, worst)
        answers = bench(out, options, metric, "score", limit, worst)
        by_name = {answer.name: answer for answer in answers}
        for front in fronts:
            name = "evolution, limit" if front.name == "evolution" else front.name
            answer = by_name.get(front.name)
            cells = [*row(front, 100 / whole), *(row(answer, 1.0) if answer else ("-", "-", "-"))]
            place = (device, f"{limit:.3g}", f"{known.sum():,}") if front.name == "random" else ("", "", "")
            print(f"| {' | '.join([*place, name, *cells])} |", flush=True)


def bench(
    out: Path, options: argparse.Namespace, metric: str, by: str, limit: float, worst: float
) -> tuple[Standing, ...]:
    """Return standings: by hypervolume with a limit for evolution, or by score with a limit for all."""
    limits = {"max_metrics": {metric: limit}}
    compared = {"metric": by, "seeds": options.seeds, "budget": options.budget}
    compared["searchers"] = ["evolution"]
    compared["options"] = {"evolution": {"population": 20, "tournament": 5}}
    if by == "hypervolume":
        plane = {"objectives": ["score", f"-{metric}"], "reference": [CHANCE, worst]}
        compared |= {
            "hypervolume": plane,
            "limits": {"evolution": limits},
            "searchers": ["nsga2", "evolution"],
        }
        compared["options"]["nsga2"] = {"objectives": plane["objectives"], "population": 20}
    recipe = {
        "run": {"name": f"{metric}-{by}", "threads": 1},
        "space": {"use": "nasbench201"},
        "searcher": {"use": "random"},
        "evaluator": {"use": "tabular", "table": "hardware", "dataset": "cifar10", "require": [metric]},
        "bench": compared,
    }
    if by == "score":
        recipe["constraints"] = limits
    return nasforge.bench(recipe, out=out).standings


def row(standing: Standing, unit: float) -> tuple[str, str, str]:
    """Return mean and deviation, paired difference with its interval, and wins and losses."""
    mean = f"{unit * standing.mean:.2f} ± {unit * (standing.std or 0.0):.2f}"
    found = standing.difference
    if found is None or found.low is None or found.high is None:
        return mean, "-", "-"
    interval = f"{unit * found.mean:+.2f} [{unit * found.low:+.2f}, {unit * found.high:+.2f}]"
    return mean, interval, f"{found.better} : {found.worse}"


if __name__ == "__main__":
    main()
