"""A model made faster: what is found, uniform narrowing, and random networks of equal latency.

Run ``python -m benchmarks.shrink_model --images FOLDER`` with a folder of images by split and class. A model
is trained, a latency table of exported options is measured with onnxruntime, evolution looks for the best
network at a share of the original's latency, and all networks are fine-tuned alike under several seeds. Where
the file that was found misses the share, because the table errs, the search is repeated with a lower limit.
Started again, it resumes. Latencies count the processor seconds of one thread, so that a busy
computer does no harm.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import torch

import nasforge
from nasforge.cost import latency_table
from nasforge.cost.latency_backend import ForwardPass
from nasforge.cost.latency_build import Settings, build_table
from nasforge.errors import RunError
from nasforge.exports.latency import OnnxBackend
from nasforge.runtime import Runtime
from nasforge.space import Task
from nasforge_plugins.spaces.model.config import ModelConfig
from nasforge_plugins.spaces.model.space import ModelSpace

__all__ = ["main"]

WIDTHS = (75, 50, 25)

ATTEMPTS = 4
"""Searches, each with a lower limit, before the table is not good enough."""


def main() -> None:
    """Do everything that is not done yet, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True, help="Folder with train/CLASS and test/CLASS.")
    parser.add_argument("--out", type=Path, default=Path("runs/shrink"))
    parser.add_argument("--model", default="torchvision:resnet18")
    parser.add_argument("--share", type=float, default=0.7, help="Of the original's latency.")
    parser.add_argument("--train-images", type=int, default=10_000)
    parser.add_argument("--test-images", type=int, default=2_000)
    parser.add_argument("--epochs", type=int, default=20, help="Of the original.")
    parser.add_argument("--tune-epochs", type=int, default=10)
    parser.add_argument("--evaluations", type=int, default=100)
    parser.add_argument("--batches", type=int, default=40, help="Of training, per candidate.")
    parser.add_argument("--table-networks", type=int, default=10, help="Whole ones, for the latency table.")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pixels", type=int, default=32)
    options = parser.parse_args()
    torch.set_num_threads(1)
    shrink = _Shrink(options)
    shrink.train_original()
    shrink.measure_table()
    shrink.report()


class _Shrink:
    """The steps, each of which is skipped when its result is there.

    Args:
        options: Of the command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.out: Path = options.out
        self.out.mkdir(parents=True, exist_ok=True)
        self.task = Task(3, options.pixels, 10)
        self.table = self.out / "latency.json"
        self.base = {
            "use": "model",
            "model": options.model,
            "arguments": {"num_classes": 10},
            "image_size": options.pixels,
            "options": ["drop", "width"],
            "widths": list(WIDTHS),
        }

    def space(self, **changes: Any) -> tuple[ModelSpace, dict[str, Any]]:
        """Return the space that begins with the trained original, and its table of a recipe."""
        tables = {**self.base, "weights": str(self.out / "original"), **changes}
        return ModelSpace(ModelConfig.model_validate({k: v for k, v in tables.items() if k != "use"})), tables

    def run(self, name: str, seed: int = 0, **tables: Mapping[str, Any]) -> nasforge.RunResult:
        """Run a recipe under a seed, or resume it."""
        options = self.options
        recipe = {
            "run": {"name": name, "threads": 1, "report": False},
            "data": {
                "use": "image-folder",
                "root": options.images,
                "image_size": options.pixels,
                "limit_train": options.train_images,
                "limit_test": options.test_images,
                "batch_size": 64,
                "arch_share": 0.2,
            },
            **tables,
        }
        return nasforge.run(recipe, out=self.out, seed=seed)

    def train_original(self) -> None:
        """Train the network as it is."""
        self.run(
            "original",
            space=self.base,
            searcher={"use": "fixed", "arch": "original"},
            train={"use": "train", "epochs": self.options.epochs, "lr": 0.05, "batch_size": 64},
        )

    def measure_table(self) -> None:
        """Measure exported options, unless that is done."""
        if self.table.exists():
            return
        space, described = self.space()
        config = {"use": "model", **space.config.to_json()}
        assert config.keys() >= described.keys()
        count = self.options.table_networks
        settings = Settings(threads=1, clock="cpu", runs=15, references=count, networks=count)
        table = build_table(
            space, self.task, Runtime.create("cpu"), config, settings=settings, backend=OnnxBackend()
        )
        table.write(self.table)

    def find(self, limit: float) -> tuple[str, float]:
        """Search until the exported file keeps the share of the original's latency.

        Args:
            limit: Latency of the first search, by the table.

        Returns:
            The notation of what was found, and the limit by the table that led to it.

        Raises:
            RunError: The file misses the share after several searches.
        """
        space, _ = self.space()
        for attempt in range(ATTEMPTS):
            notation = self.search(limit, f"search-{attempt}" if attempt else "search")
            ms = self.exact({"found": (space, notation), "original": (space, "original")})
            reached = ms["found"] / ms["original"]
            print(f"search {attempt}: limit {limit:.3f} ms by the table, file at {reached:.1%}", flush=True)
            if reached <= self.options.share:
                return notation, limit
            limit *= self.options.share / reached
        raise RunError(
            f"latency: files of {ATTEMPTS} searches miss {self.options.share:.0%} of the original's. Measure "
            "the table again on a quieter computer, with more --table-networks."
        )

    def search(self, limit: float, name: str) -> str:
        """Return the notation of what evolution finds below a latency by the table."""
        _, tables = self.space()
        options = self.options
        found = self.run(
            name,
            space=tables,
            latency={"backend": "onnxruntime"},
            constraints={"max_latency_ms": limit, "latency": str(self.table)},
            searcher={
                "use": "evolution",
                "evaluations": options.evaluations,
                "population": max(4, options.evaluations // 4),
                "tournament": 3,
            },
            evaluator={
                "use": "train",
                "epochs": 1,
                "epoch_batches": options.batches,
                "lr": 0.01,
                "score_norms": "batch",
            },
        )
        return str(found.results["derive"]["notation"])

    def tune(self, name: str, notation: str, seed: int, **changes: Any) -> float:
        """Return the test accuracy of a network that was fine-tuned."""
        _, tables = self.space(**changes)
        found = self.run(
            f"{name}-{seed}",
            seed,
            space=tables,
            searcher={"use": "fixed", "arch": notation},
            train={"use": "train", "epochs": self.options.tune_epochs, "lr": 0.01, "batch_size": 64},
        )
        return float(found.results["test"]["accuracy"])

    def choose(self) -> dict[str, Any]:
        """Return the networks to compare, with their latencies as exported; chosen once, then read."""
        path = self.out / f"networks-{self.options.seeds}.json"
        if path.exists():
            return dict(json.loads(path.read_text(encoding="utf-8")))
        space, _ = self.space()
        table = latency_table.read(str(self.table))
        limit = self.options.share * table.cost.of(space.baseline)["latency_ms"]
        notation, limit = self.find(limit)
        rows: dict[str, dict[str, Any]] = {
            "original": {"notation": "original", "changes": {}},
            "found": {"notation": notation, "changes": {}},
        }
        for seed, rng in ((seed, Random(seed)) for seed in range(self.options.seeds)):
            arch = space.sample(rng)
            while not 0.9 * limit <= table.cost.of(arch)["latency_ms"] <= limit:
                arch = space.sample(rng)
            rows[f"random {seed}"] = {"notation": space.notation(arch), "changes": {}}
        for percent in range(80, 40, -10):
            changes: dict[str, Any] = {"widths": [percent], "options": ["width"]}
            narrow, _ = self.space(**changes)
            notation = " ".join(f"{c.name}=w{percent}" for c in narrow.choices)
            rows[f"uniform {percent} %"] = {"notation": notation, "changes": changes}
        exact = self.exact({name: (self.space(**r["changes"])[0], r["notation"]) for name, r in rows.items()})
        for name, row in rows.items():
            row["ms"] = exact[name]
        narrowed = [name for name in rows if name.startswith("uniform")]
        fast = [n for n in narrowed if exact[n] <= self.options.share * exact["original"]]
        kept = fast[0] if fast else narrowed[-1]
        rows = {name: row for name, row in rows.items() if name not in narrowed or name == kept}
        found = {"limit": limit, "error": table.error["mape"], "rows": rows}
        path.write_text(json.dumps(found, indent=2), encoding="utf-8")
        return found

    def report(self) -> None:
        """Fine-tune the networks, and print what they are worth."""
        chosen = self.choose()
        rows = chosen["rows"]
        print(f"latency table: {chosen['error']:.1f} % mean error; limit {chosen['limit']:.3f} ms")
        for name, row in rows.items():
            print(
                f"{name:<14} {row['ms']:.3f} ms {row['ms'] / rows['original']['ms']:.1%}  {row['notation']}"
            )
        print("accuracy after fine-tuning, by seed", flush=True)
        scores: dict[str, list[float]] = {name: [] for name in rows}
        for seed in range(self.options.seeds):
            for name, row in rows.items():
                key = name.replace(" %", "").replace(" ", "-")
                scores[name].append(self.tune(key, row["notation"], seed, **row["changes"]))
                print(f"seed {seed} {name:<14} {scores[name][-1]:.2f} %", flush=True)
        for name, found in scores.items():
            print(f"mean   {name:<14} {statistics.fmean(found):.2f} %")

    def exact(self, networks: Mapping[str, tuple[ModelSpace, str]]) -> dict[str, float]:
        """Return the latency of exported networks, in milliseconds, measured in turns."""
        images = torch.zeros(1, 3, self.options.pixels, self.options.pixels)
        jobs = [ForwardPass(s.build(self.task, s.parse(a)).eval(), images) for s, a in networks.values()]
        timings = OnnxBackend().time(jobs, runs=40, warmup=10, clock="cpu")
        return {name: timing.median_ms for name, timing in zip(networks, timings, strict=True)}


if __name__ == "__main__":
    main()
