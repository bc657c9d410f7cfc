"""Folders of runs and benches, written without running anything: the files that reports read."""

import json
import math
from random import Random

from nasforge.plugins import Registry
from nasforge.recipe import check
from support.tiny_recipe import tiny

OPTIONS = ["conv_3x3", "max_pool", "skip", "none"]
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
GRAPH = {
    "title": "normal cell",
    "inputs": ["in0", "in1"],
    "nodes": [
        {"name": "0", "inputs": [["conv_3x3", "in0"], ["skip", "in1"]], "join": "+"},
        {"name": "out", "inputs": [["", "0"], ["", "in1"]], "join": "concat"},
    ],
}


def resolved(**tables):
    return check(tiny(**tables), Registry.discover()).resolved()


def write_json(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))


def write_result(folder, stage, **values):
    """Write the result of a stage, with what every result has."""
    write_json(
        folder / stage / "result.json", {"stage": stage, "fingerprint": "0" * 64, "seconds": 1.0, **values}
    )


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def weights_at(step, steps, choices, seed=0):
    """Return weights that become decided, each choice for one of its options."""
    random = Random(seed)
    found = {}
    for name in choices:
        favourite = random.randrange(len(OPTIONS))
        logits = [4.0 * step / steps * (i == favourite) + random.uniform(-0.2, 0.2) for i in range(4)]
        total = sum(map(math.exp, logits))
        found[name] = [round(math.exp(v) / total, 4) for v in logits]
    return found


def write_run(folder, *, steps=6, epochs=5, choices=8, classes=("cat", "dog", "eel"), recipe=None, seed=0):
    """Write a finished run of a gradient search.

    Args:
        folder: The folder to make.
        steps: Steps of the search.
        epochs: Epochs of the training.
        choices: Number of choices.
        classes: Names of the classes.
        recipe: The resolved recipe; None: a tiny one.
        seed: Of all numbers.
    """
    random = Random(seed)
    names = [f"normal/node{i}" for i in range(choices)]
    tables = recipe or resolved(run={"seed": seed})
    write_json(folder / "resolved.json", tables)
    (folder / "recipe.toml").write_text("[run]\n# as written\n")
    environment = {"started": "2026-01-02T03:04:05+00:00", "command": ["nasforge", "run", "x"], "seed": seed}
    write_json(folder / "environment.json", {**environment, "versions": {"torch": "2.9"}, "device": "cpu"})
    search = [
        {
            "stage": "search",
            "step": i,
            "search_loss": 2 / i + random.random() / 9,
            "search_accuracy": 90.0 * i / steps,
            "hessian_eigenvalue": 0.1 * i,
        }
        for i in range(1, steps + 1)
    ]
    train = [
        {"stage": "train", "step": i, "loss": 1 / i, "accuracy": 99.0 * i / epochs, "lr": 0.1 / i}
        for i in range(1, epochs + 1)
    ]
    write_lines(folder / "metrics.jsonl", search + train)
    trajectory = [
        {"step": i, "seconds": float(i), "weights": weights_at(i, steps, names, seed)}
        for i in range(1, steps + 1)
    ]
    write_lines(folder / "search/trajectory.jsonl", trajectory)
    listed = [{"name": n, "options": OPTIONS, "k": 1, "kind": "op", "optional": 0} for n in names]
    write_json(folder / "search/choices.json", {"choices": listed})
    last = trajectory[-1]["weights"]
    architecture = {n: OPTIONS[max(range(4), key=lambda i, n=n: last[n][i])] for n in names}
    write_result(folder, "search", steps=steps, architecture=architecture, front=[], seconds=60.5)
    derived = {"architecture": architecture, "notation": "|conv|", "params": 63_922, "macs": 2_602_240}
    write_result(folder, "derive", **derived, seconds=0.2)
    write_json(folder / "derive/graphs.json", {"best": [GRAPH], "front": []})
    metrics = {"train_accuracy": 99.0}
    write_result(folder, "train", metrics=metrics, seconds=34.0)
    write_result(folder, "test", **derived, accuracy=90.0, class_names=list(classes))
    count = len(classes)
    confusion = [[i, i, 9] for i in range(count)] + [[i, (i + 1) % count, 1] for i in range(count)]
    worst = [{"index": 4, "label": 0, "predicted": 1, "probability": 0.97, "loss": 3.5, "image": PIXEL}]
    found = {"images": 10 * count, "confusion": confusion, "worst": worst}
    write_json(folder / "test/predictions.json", found)
    return folder


def write_search(folder, evaluations=40, *, objectives=("score", "-params"), seed=0):
    """Write a finished black-box search with two objectives."""
    random = Random(seed)
    searcher = {"use": "nsga2", "evaluations": evaluations, "objectives": list(objectives)}
    evaluator = {"use": "zero-cost", "proxies": ["params"]}
    write_json(
        folder / "resolved.json",
        resolved(searcher=searcher, evaluator=evaluator, train=None, run={"seed": seed}),
    )
    rows, trajectory, best = [], [], -math.inf
    for i in range(1, evaluations + 1):
        params = random.randrange(1000, 90_000)
        score = 60 + 10 * math.log10(params) * random.uniform(0.6, 1)
        best = max(best, score)
        rows.append({"stage": "search", "step": i, "params": params, "score": score, "best_score": best})
        about = {"score": score, "cost": 1.0, "metrics": {"params": params}, "failed": None}
        trajectory.append({"step": i, "seconds": float(i), "evaluated": {"notation": f"net-{i}", **about}})
    write_lines(folder / "metrics.jsonl", rows)
    write_lines(folder / "search/trajectory.jsonl", trajectory)
    front = [{"a": "x"}, {"a": "y"}]
    write_result(folder, "search", architecture={"a": "x"}, front=front, seconds=9.0)
    write_result(folder, "derive", notation="net-1", params=5000, seconds=0.1)
    return folder


def write_bench(folder, searchers=("random", "evolution"), seeds=5, evaluations=30):
    """Write a finished bench."""
    tables = resolved(train=None)
    inputs = {
        "run": tables["run"],
        "space": tables["space"],
        "baseline": searchers[0],
        "budget": f"{evaluations} evaluations",
        "metric": "score",
        "searchers": {name: {"use": name} for name in searchers},
    }
    write_json(folder / "bench.json", inputs)
    for place, name in enumerate(searchers):
        for seed in range(seeds):
            random, best, curve = Random(100 * place + seed), -math.inf, []
            for i in range(1, evaluations + 1):
                if (score := 80 + place + 10 * random.random()) > best:
                    best = score
                    curve.append([i, 2.5 * i, score])
            row = {"searcher": name, "seed": seed, "score": best, "notation": "|conv|", "metrics": {}}
            row |= {"evaluations": evaluations, "seconds": 2.5 * evaluations, "curve": curve}
            write_json(folder / "runs" / name / f"{seed}.json", row)
    return folder
