"""Time, memory and operators of one CDARTS step on the DARTS space: plain implementation against nasforge.

A step is what the search does per pair of batches: a joint step (architecture and evaluation network, with
the search network's loss and the evaluation network's, and a distillation term), then a step of the search
network's weights. *Plain* runs every operation of every edge as its own module, NCHW, with all gradients;
*nasforge* runs the cells by source state, channels last, with only the gradients that are used.

    python benchmarks/step.py --batch 16 --pairs 5 --threads 2
"""

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from nasforge.nn import ArchParameters, tie
from nasforge.space import Task
from nasforge_plugins.spaces.darts.config import DartsConfig
from nasforge_plugins.spaces.darts.space import DartsSpace

TASK = Task()


class Plain:
    """As the original is written."""

    execution, layout, prune = "reference", torch.contiguous_format, False

    def __init__(self, options):
        torch.manual_seed(0)
        space = DartsSpace(
            DartsConfig(
                search_channels=options.channels,
                eval_channels=options.channels,
                search_cells=options.search_cells,
                eval_cells=options.eval_cells,
                execution=self.execution,
            )
        )
        self.search = space.build(TASK, None, "search").to(memory_format=self.layout)
        self.evaluation = space.build(TASK, space.parse("CDARTS"), "eval").to(memory_format=self.layout)
        tie(self.evaluation, self.search, space.tied)
        self.arch = ArchParameters(c for c in space.choices if c.kind == "op")
        self.uniform = {
            c.name: torch.full((len(c.options),), 1 / len(c.options))
            for c in space.choices
            if c.kind == "edge"
        }
        self.optimisers = [
            torch.optim.SGD(self.evaluation.parameters(), 0.08, 0.9, weight_decay=3e-4),
            torch.optim.Adam(self.arch.parameters(), 3e-4, (0.5, 0.999)),
            torch.optim.SGD(self.search.parameters(), 0.08, 0.9, weight_decay=3e-4),
        ]
        size = (options.batch, 3, TASK.image_size, TASK.image_size)
        self.images = torch.randn(size).contiguous(memory_format=self.layout)
        self.labels = torch.randint(0, TASK.num_classes, (options.batch,))

    def weights(self):
        return {**self.arch.weights(), **self.uniform}

    def joint(self):
        if self.prune:
            self.search.requires_grad_(False)
            self.search.stem.requires_grad_(True)
        student = self.search(self.images, self.weights()).logits
        teacher = self.evaluation(self.images).logits
        loss = F.cross_entropy(student, self.labels) + F.cross_entropy(teacher, self.labels)
        self.update(loss + 4 * F.smooth_l1_loss(student, teacher), *self.optimisers[:2])

    def train_weights(self):
        weights = self.weights()
        if self.prune:
            self.search.requires_grad_(True)
            weights = {name: weight.detach() for name, weight in weights.items()}
        logits = self.search(self.images, weights).logits
        self.update(F.cross_entropy(logits, self.labels), self.optimisers[2])

    def update(self, loss, *optimisers):
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()

    def step(self):
        self.joint()
        self.train_weights()


class Nasforge(Plain):
    execution, layout, prune = "fast", torch.channels_last, True


KINDS = {"plain": Plain, "nasforge": Nasforge}


class Count(TorchDispatchMode):
    """Counts what reaches the backend, leaving out views and bookkeeping."""

    def __init__(self):
        super().__init__()
        self.all = self.computing = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.all += 1
        self.computing += not func.is_view and func._schema.name not in {"aten::detach", "aten::empty"}
        return func(*args, **(kwargs or {}))


def peak_memory(options):
    """Peak memory of a few steps above that of the networks alone, in MiB; runs in a process of its own."""
    runner = KINDS[options.memory](options)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(3):
        runner.step()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def measure(options):
    """Both kinds in turn, so that whatever else the machine does hits both alike."""
    runners = {name: kind(options) for name, kind in KINDS.items()}
    seconds = {name: [] for name in runners}
    processor = {name: [] for name in runners}
    for pair in range(options.pairs + 1):
        for name, runner in runners.items():
            wall, cpu = time.perf_counter(), time.process_time()
            runner.step()
            if pair:  # the first is a warm-up
                seconds[name].append(time.perf_counter() - wall)
                processor[name].append(time.process_time() - cpu)
    operators = {}
    for name, runner in runners.items():
        with Count() as count:
            runner.step()
        operators[name] = (count.all, count.computing)
    return seconds, processor, operators


def memory_of(name):
    command = [sys.executable, __file__, *sys.argv[1:], "--memory", name]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def processor_name():
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next(
        (line.split(": ")[1] for line in lines if line.startswith("model name")), platform.processor()
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--search-cells", type=int, default=8)
    parser.add_argument("--eval-cells", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--memory", choices=KINDS, help="print only this kind's peak memory")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.memory:
        print(json.dumps(peak_memory(options)))
        return
    memory = {name: memory_of(name) for name in KINDS}
    seconds, processor, operators = measure(options)
    ratios = [n / p for p, n in zip(seconds["plain"], seconds["nasforge"], strict=True)]
    cpu_ratios = [n / p for p, n in zip(processor["plain"], processor["nasforge"], strict=True)]
    print(
        f"{date.today()}, {processor_name()}, {options.threads} thread(s), torch {torch.__version__}\n"
        f"One CDARTS step: C={options.channels}, {options.search_cells}/{options.eval_cells} cells, "
        f"batch {options.batch}, {options.pairs} pairs in turn\n\n"
        "| | plain | nasforge | nasforge / plain |\n|---|---|---|---|"
    )

    def row(label, values, unit, ratio=None):
        plain, ours = (values[name] for name in KINDS)
        print(f"| {label} | {plain:{unit}} | {ours:{unit}} | {ratio or f'{ours / plain:.3f}'} |")

    def spread(values):
        return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"

    row("time, s, median", {n: statistics.median(v) for n, v in seconds.items()}, ".2f", spread(ratios))
    row("time, s, fastest", {n: min(v) for n, v in seconds.items()}, ".2f")
    row(
        "processor time, s",
        {n: statistics.median(v) for n, v in processor.items()},
        ".2f",
        spread(cpu_ratios),
    )
    row("peak memory above the networks, MiB", memory, ".0f")
    row("operators dispatched", {n: v[0] for n, v in operators.items()}, "d")
    row("… without views", {n: v[1] for n, v in operators.items()}, "d")


if __name__ == "__main__":
    main()
