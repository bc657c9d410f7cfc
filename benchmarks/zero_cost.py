"""Rank correlation of zero-cost proxies with the accuracies of NAS-Bench-201.

    python benchmarks/zero_cost.py IMAGES [--architectures 200] [--batch-size 64] [--seed 0 1 ...]
        [--proxies jacov naswot ...] [--zen-draws 1] [--out FILE]

IMAGES holds CIFAR-10: a folder with ``train/<class>/*.png`` or an ``.npz`` archive, as the data plugins of
these names read them. Every proxy scores the same random architectures, untrained, on the same batch; their
ranks are compared with the 200-epoch validation accuracy on CIFAR-10 in the table inside nasforge. Every seed
has other architectures, weights and images; they are pooled, each architecture once. Intervals hold 95 % of
2,000 samples drawn from the architectures with replacement. With the four proxies of AZ-NAS, the row `az_nas`
is their published rank among all architectures. Finished architectures are lines of FILE, so a
second call resumes where the first one stopped.
"""

import argparse
import json
import time
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from scipy.stats import kendalltau, rankdata, spearmanr

from nasforge.component import Context
from nasforge.plugins import Registry
from nasforge.runs.guard import GuardedData
from nasforge.runs.scope import SEARCH
from nasforge.runtime import Runtime
from nasforge_plugins.evaluators.tabular.store import load
from nasforge_plugins.evaluators.zero_cost.config import ZeroCostConfig
from nasforge_plugins.evaluators.zero_cost.evaluator import ZeroCost
from nasforge_plugins.evaluators.zero_cost.proxies import PROXIES


def no_slot(name: str) -> Any:
    raise AssertionError(f"slot {name!r}: nothing is saved here")


def context(images: Path, seed: int) -> Context:
    registry = Registry.discover()

    def made(kind: str, name: str, **options: Any) -> Any:
        plugin = registry.get(kind, name)
        return plugin.load()(plugin.config(**options))

    space, runtime = made("space", "nasbench201"), Runtime.create("cpu")

    def bare(**parts: Any) -> Context:
        return Context(space, runtime, seed, "search", no_slot, lambda values: None, **parts)

    archive = images.suffix == ".npz"
    data = made("data", "npz", path=images) if archive else made("data", "image-folder", root=images)
    data.setup(bare())
    return bare(data=GuardedData(data, SEARCH, "benchmark"))


def collect(
    ctx: Context, count: int, batch_size: int, draws: int, proxies: list[str], out: Path
) -> list[dict[str, Any]]:
    settings = {"seed": ctx.seed, "batch_size": batch_size}
    if draws > 1:
        settings["zen_draws"] = draws
    rows = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    rows = [row for row in rows if row["settings"] == settings and set(proxies) <= set(row["proxies"])]
    known = {row["arch"]: row for row in rows}
    evaluators = {}
    for name in proxies:
        config = ZeroCostConfig(proxies=(name,), batch_size=batch_size, zen_draws=draws)
        evaluators[name] = ZeroCost(config)
        evaluators[name].setup(ctx)
    table, space, rng = load("nasbench201"), ctx.space, Random(ctx.seed)
    accuracies = table.accuracy("cifar10", "valid", 200)
    chosen: dict[str, dict[str, Any]] = {}
    while len(chosen) < count:
        arch = space.sample(rng)
        text = space.notation(arch)
        if text in chosen:
            continue
        if text not in known:
            values, seconds = {}, {}
            for name, evaluator in evaluators.items():
                start = time.process_time()
                values |= evaluator.proxies(arch)
                seconds[name] = time.process_time() - start
            accuracy = float(accuracies[table.row(space.table_key(arch))])  # type: ignore[attr-defined]
            known[text] = {
                "settings": settings,
                "arch": text,
                "accuracy": accuracy,
                "proxies": values,
                "seconds": seconds,
            }
            with out.open("a") as file:
                file.write(json.dumps(known[text]) + "\n")
            print(f"{len(chosen) + 1}/{count}", end="\r", flush=True)
        chosen[text] = known[text]
    return list(chosen.values())


AZ_NAS = ("expressivity", "progressivity", "trainability", "flops")


def with_az_nas(rows: list[dict[str, Any]], proxies: list[str]) -> list[str]:
    """Add the rank of AZ-NAS among all rows, as published, where its proxies were computed."""
    if not set(AZ_NAS) <= set(proxies):
        return proxies
    ranks = [rankdata([row["proxies"][name] for row in rows]) / len(rows) for name in AZ_NAS]
    for row, total in zip(rows, np.log(ranks).sum(0).tolist(), strict=True):
        row["proxies"]["az_nas"] = total
        row["seconds"]["az_nas"] = sum(row["seconds"][name] for name in AZ_NAS)
    return [*proxies, "az_nas"]


def interval(values: list[float], accuracy: list[float]) -> str:
    pairs, rng = np.array([values, accuracy]), np.random.default_rng(0)
    found = []
    for _ in range(2000):
        some = pairs[:, rng.integers(0, pairs.shape[1], pairs.shape[1])]
        found.append(spearmanr(*some).statistic)
    low, high = np.quantile(found, (0.025, 0.975))
    return f"{low:.3f} to {high:.3f}"


def table_of(rows: list[dict[str, Any]], proxies: list[str]) -> str:
    accuracy = [row["accuracy"] for row in rows]
    better = [row for row in rows if row["accuracy"] >= sorted(accuracy)[len(rows) // 2]]
    lines = [
        f"{len(rows)} architectures",
        "",
        "| proxy | Spearman | 95 % | Kendall | Spearman, better half | CPU seconds |",
        "| --- | ---: | --- | ---: | ---: | ---: |",
    ]
    found = []
    for name in with_az_nas(rows, proxies):
        values = [row["proxies"][name] for row in rows]
        rho, tau = spearmanr(values, accuracy).statistic, kendalltau(values, accuracy).statistic
        upper = spearmanr(
            [row["proxies"][name] for row in better], [row["accuracy"] for row in better]
        ).statistic
        seconds = sorted(row["seconds"][name] for row in rows)[len(rows) // 2]
        sure = interval(values, accuracy)
        found.append((rho, f"| {name} | {rho:.3f} | {sure} | {tau:.3f} | {upper:.3f} | {seconds:.2f} |"))
    return "\n".join([*lines, *(line for _, line in sorted(found, reverse=True))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--architectures", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--zen-draws", type=int, default=1)
    parser.add_argument("--proxies", nargs="+", choices=list(PROXIES), default=list(PROXIES))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=Path("zero_cost.jsonl"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pooled: dict[str, dict[str, Any]] = {}
    for seed in options.seed:
        ctx = context(options.images, seed)
        settings = (options.architectures, options.batch_size, options.zen_draws)
        found = collect(ctx, *settings, options.proxies, options.out)
        pooled = {row["arch"]: row for row in found} | pooled
    print(table_of(list(pooled.values()), options.proxies))


if __name__ == "__main__":
    main()
