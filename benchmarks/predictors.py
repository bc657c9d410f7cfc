"""Rank correlation of predictors with the accuracies of NAS-Bench-201 cells they were not fitted to.

    python benchmarks/predictors.py [--cells 100] [--seeds 20] [--predictors mlp bananas ...]
        [--encodings one-hot path truncated-path]

Every seed draws other cells. Held out are all cells that compute no function of those: many cells of the
benchmark are one function and share training runs.
"""

import argparse
import time
from random import Random

import numpy as np
import torch

from nasforge_plugins.evaluators.tabular.store import load
from nasforge_plugins.predictors.agreement import rank_correlations
from nasforge_plugins.predictors.encodings import Encoding
from nasforge_plugins.predictors.models import MODELS, Ensemble
from nasforge_plugins.spaces.nasbench201.config import NasBench201Config
from nasforge_plugins.spaces.nasbench201.space import NasBench201

ENCODINGS = ("one-hot", "path", "truncated-path")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cells", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--predictors", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--encodings", nargs="+", choices=ENCODINGS, default=list(ENCODINGS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    space = NasBench201(NasBench201Config())
    cells = list(space.enumerate())
    functions = [space.function_key(cell) for cell in cells]
    accuracies = np.array(load("nasbench201").accuracy("cifar10", "valid", 200), dtype=np.float64)
    found: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for seed in range(options.seeds):
        fitted = Random(seed).sample(range(len(cells)), options.cells)
        known = {functions[i] for i in fitted}
        held_out = [i for i, function in enumerate(functions) if function not in known]
        for name in options.encodings:
            encoding = Encoding(space, name)
            rows = encoding.fit([cells[i] for i in fitted])
            others = encoding.encode([cells[i] for i in held_out])
            for kind in options.predictors:
                start = time.process_time()
                ensemble = Ensemble(kind, [1000 * seed + member for member in range(5)])
                ensemble.fit(rows, accuracies[fitted])
                seconds = time.process_time() - start
                tau, rho = rank_correlations(ensemble.predict(others)[0], accuracies[held_out])
                found.setdefault((kind, name), []).append((rho, tau, seconds))
    print("| predictor | encoding | Spearman | Kendall | CPU seconds per fit |")
    print("| --- | --- | --- | --- | ---: |")
    for (kind, name), values in sorted(found.items(), key=lambda item: -np.mean(item[1], 0)[0]):
        rho, tau, seconds = np.mean(values, 0)
        spread = np.std(values, 0)
        numbers = f"{rho:.3f} ± {spread[0]:.3f} | {tau:.3f} ± {spread[1]:.3f} | {seconds:.2f}"
        print(f"| {kind} | {name} | {numbers} |")


if __name__ == "__main__":
    main()
