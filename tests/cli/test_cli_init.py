import io
import re
import shlex
import sys
import tomllib
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import nasforge
from nasforge.cli import run_command
from nasforge.cost import measure_arch
from nasforge.cost.latency import Timing
from nasforge.plugins import Registry
from nasforge.recipe import load
from nasforge.searcher import AskTellSearcher

REGISTRY = Registry.discover()


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def draw(folder, classes="abc", number=10, size=(40, 30)):
    rng = np.random.default_rng(0)
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(number):
            pixels = rng.integers(0, 100, (size[1], size[0], 3)) + 50 * label
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{i}.png")


def time_by_parameters(network, task, runtime, **more):
    """Stand in for a measurement: a millisecond for every 20,000 parameters."""
    ms = sum(p.numel() for p in network.parameters()) / 20_000
    return Timing(ms, ms, ms, 1)


def init(*arguments, expected=0):
    assert run_command(["init", *map(str, arguments)]) == expected


def test_without_anybody_to_ask_it_writes_a_first_search(here, capsys):
    init()
    out = capsys.readouterr().out
    assert "nasforge run recipe.toml --profile smoke" in out
    recipe = load("recipe.toml", REGISTRY)
    assert recipe.parts["data"].plugin.name == "digits"
    assert recipe.run.name == "recipe"
    assert "smoke" in recipe.profiles


@pytest.mark.parametrize("budget", ["smoke", "minutes", "full"])
def test_images_of_a_folder_are_used(here, budget, capsys):
    draw(here / "pets" / "train")
    draw(here / "pets" / "test", number=4)
    init("mine.toml", "--images", "pets", "--budget", budget, "--device", "cpu")
    assert "found 30 training and 12 test images in 3 classes, about 30 pixels" in capsys.readouterr().out
    recipe = load("mine.toml", REGISTRY)
    data = recipe.parts["data"]
    assert data.plugin.name == "image-folder"
    assert data.config.root == here / "pets"
    assert data.config.image_size == 16
    assert data.config.test_share == 0
    assert data.config.batch_size * 4 <= 30
    assert recipe.parts["train"].config.batch_size == data.config.batch_size
    assert (recipe.run.name, recipe.run.device) == ("pets", "cpu")
    smoke = load("mine.toml", REGISTRY, profile="smoke").parts["data"].config
    assert (smoke.limit_train, smoke.limit_test) == (30, 12)


@pytest.mark.parametrize(("held_out", "use"), [("test", "image-folder"), ("val", "imagenet")])
def test_broken_images_are_listed_and_left_out(here, capsys, held_out, use):
    draw(here / "pets" / "train")
    draw(here / "pets" / held_out, number=4)
    broken = [here / "pets" / name for name in ("train/a/0.png", "train/c/3.png", f"{held_out}/b/1.png")]
    for file in broken:
        file.write_bytes(b"no image")
    init("--images", "pets")
    out, err = capsys.readouterr()
    assert "found 28 training and 11 test images in 3 classes" in out
    assert "3 of 42 images cannot be read" in err
    assert all(str(file) in err for file in broken)
    data = load("recipe.toml", REGISTRY).parts["data"]
    assert (data.plugin.name, data.config.skip_broken) == (use, True)


@pytest.mark.parametrize(("held_out", "use", "share"), [("", "image-folder", 0.2), ("val", "imagenet", None)])
def test_folders_without_test_images_work_too(here, held_out, use, share):
    draw(here / "train", size=(64, 64))
    if held_out:
        draw(here / held_out, number=3, size=(64, 64))
    init("--images", here / "train")  # the folder of the classes is understood as well
    data = load("recipe.toml", REGISTRY).parts["data"]
    assert (data.plugin.name, data.config.root) == (use, here)
    assert getattr(data.config, "test_share", None) == share
    assert data.config.image_size == 32


@pytest.mark.parametrize(("budget", "side", "stem"), [("minutes", 32, "cifar"), ("full", 128, "imagenet")])
def test_large_images_are_made_smaller(here, budget, side, stem):
    draw(here / "train", number=8, size=(300, 400))
    init("--images", ".", "--budget", budget)
    recipe = load("recipe.toml", REGISTRY)
    assert (recipe.parts["data"].config.image_size, recipe.parts["space"].config.stem) == (side, stem)


def test_no_architecture_exceeds_the_number_of_parameters(here):
    init("--max-params", 60_000)
    part = load("recipe.toml", REGISTRY).parts["space"]
    space = part.plugin.load()(part.config)
    task = nasforge.Task(3, 16, 10)
    names = {option for choice in space.choices for option in choice.options}

    def params(space, name):
        weights = {c.name: [float(name == option) for option in c.options] for c in space.choices}
        return measure_arch(space, task, space.discretize(weights)).params

    heaviest = max(params(space, name) for name in names)
    assert f"no architecture has more than {heaviest:,} parameters" in (here / "recipe.toml").read_text()
    assert heaviest <= 60_000
    wider = part.plugin.load()(part.config.model_copy(update={"channels": part.config.channels + 2}))
    assert max(params(wider, name) for name in names) > 60_000
    assert heaviest > 0.8 * 60_000
    smoke = load("recipe.toml", REGISTRY, profile="smoke").parts["space"].config
    assert smoke.channels <= part.config.channels


def test_larger_limits_give_larger_networks(here):
    sizes = []
    for number, limit in enumerate((300_000, 600_000, 10**9)):
        init(f"{number}.toml", "--max-params", limit)
        recipe = load(f"{number}.toml", REGISTRY)
        assert recipe.constraints.max_params == limit
        found = re.search(r"more than ([\d,]+) parameters", (here / f"{number}.toml").read_text())
        sizes.append(int(found[1].replace(",", "")))
    assert 0.85 * 300_000 < sizes[0] <= 300_000
    assert 0.85 * 600_000 < sizes[1] <= 600_000
    config = recipe.parts["space"].config
    assert (config.channels, config.cells) == (48, 5), "a budget has a largest size"


def test_a_limit_on_latency_gets_a_searcher_that_keeps_it(here, monkeypatch):
    monkeypatch.setattr("nasforge.runs.limits.measure_latency", time_by_parameters)
    init("slow.toml", "--max-latency-ms", 12)
    init("fast.toml", "--max-latency-ms", 3, "--max-params", 200_000)
    slow, fast = (load(f"{name}.toml", REGISTRY) for name in ("slow", "fast"))
    for recipe, limit in ((slow, 12), (fast, 3)):
        assert issubclass(recipe.parts["searcher"].plugin.load(), AskTellSearcher)
        assert (recipe.constraints.max_latency_ms, recipe.constraints.latency) == (limit, "measured")
        part = recipe.parts["space"]
        space, task = part.plugin.load()(part.config), nasforge.Task(3, 16, 10)
        rng = Random(1)
        costs = [measure_arch(space, task, space.sample(rng)).params / 20_000 for _ in range(12)]
        assert sum(cost <= limit for cost in costs) >= 3, "a search has something to choose from"
        assert max(costs) > 0.6 * limit, "the limit is made use of"
    assert slow.parts["space"].config.channels > fast.parts["space"].config.channels
    assert load("fast.toml", REGISTRY, profile="smoke").parts["evaluator"].config.epochs == 1


def test_a_backend_for_latency_is_written_down(here, monkeypatch):
    command = f"{sys.executable} -c 'print(dict(latency_ms=1.0))' {{file}}"
    monkeypatch.setattr(
        "nasforge.exports.latency.make_backend",
        lambda config, runtime: SimpleNamespace(time=lambda *_, **__: [Timing(1.0, 1.0, 1.0, 1)]),
    )
    init("--max-latency-ms", 2, "--latency-backend", command)
    assert load("recipe.toml", REGISTRY).latency.backend == command


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_it_asks_if_somebody_is_there(here, monkeypatch, capsys):
    draw(here / "pets" / "train")
    monkeypatch.setattr(sys, "stdin", Terminal("pets\nsmoke\ncpu\n100_000\n"))
    init()
    text = (here / "recipe.toml").read_text()
    tables = tomllib.loads(text)
    assert tables["data"]["root"] == str(here / "pets")
    assert tables["run"] == {"name": "pets", "device": "cpu"}
    assert tables["searcher"]["iterations"] == 2
    assert "no architecture has more than" in text
    assert "Folder of your images" in capsys.readouterr().out


def test_empty_answers_are_the_defaults(here, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Terminal("\n\n\n\n"))
    init()
    assert load("recipe.toml", REGISTRY) == load("quickstart", REGISTRY, overrides=["run.name=recipe"])


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (
            ["--budget", "minute"],
            2,
            "--budget minute: 1 problem\n  - no such budget. Did you mean 'minutes'?",
        ),
        (["--device", "CPU 1"], 2, "run.device: must be 'auto', 'cpu', 'cuda'"),
        (["--max-params", "10"], 2, "the smallest networks of this recipe have up to "),
        (["--max-latency-ms", "0"], 2, "--max-latency-ms 0: 1 problem\n  - give milliseconds above 0"),
        (["--max-latency-ms", "1e-6"], 2, "the smallest networks of this recipe are slower here."),
        (["--latency-backend", "torch"], 2, "measures nothing without --max-latency-ms"),
        (
            ["--max-latency-ms", "5", "--latency-backend", "tourch"],
            2,
            "'tourch' is neither a backend nor a command with {file} in it. Did you mean 'torch'?",
        ),
        (["--images", "gone"], 1, "--images gone: there is no such folder."),
        (["--images", "flat"], 1, "--images flat: has no folder 'train'. Lay the images out as"),
        (["--images", "few"], 1, "are too few to search with"),
        (["--images", "one"], 1, "It must hold one per class, and two or more"),
        (["--images", "broken"], 1, "no image of class 'b' in"),
        (["--images", "unlike"], 1, "Training and test images need the same classes"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(here, capsys, arguments, status, message):
    draw(here / "flat")
    draw(here / "few" / "train", number=1)
    draw(here / "one" / "train", classes="a")
    draw(here / "broken" / "train")
    for file in (here / "broken" / "train" / "b").iterdir():
        file.write_bytes(b"no image")
    draw(here / "unlike" / "train")
    draw(here / "unlike" / "test", classes="abd")
    init(*arguments, expected=status)
    assert message in capsys.readouterr().err
    assert not (here / "recipe.toml").exists()


def test_nothing_is_overwritten(here, capsys):
    (here / "recipe.toml").write_text("mine")
    init(expected=2)
    assert "recipe.toml: 1 problem\n  - exists already" in capsys.readouterr().err
    assert (here / "recipe.toml").read_text() == "mine"


@pytest.mark.slow
@pytest.mark.parametrize("held_out", ["", "test", "val"])
def test_what_it_writes_runs(here, monkeypatch, held_out):
    monkeypatch.setenv("NASFORGE_CACHE", str(here / "cache"))
    draw(here / "pets" / "train")
    if held_out:
        draw(here / "pets" / held_out, number=4)
    init("--images", "pets", "--budget", "smoke", "--device", "cpu", "--max-params", 50_000)
    overrides = ["run.threads=1"] + (["data.workers=0"] if held_out == "val" else [])
    result = nasforge.run("recipe.toml", overrides, profile="smoke")
    assert result.results["test"]["accuracy"] >= 0
    assert result.results["derive"]["params"] <= 50_000


@pytest.mark.slow
def test_the_printed_commands_work_one_after_the_other(here, monkeypatch, capsys):
    monkeypatch.setattr("nasforge.runs.limits.measure_latency", time_by_parameters)
    monkeypatch.setenv("NASFORGE_CACHE", str(here / "cache"))
    draw(here / "my pets" / "train")
    draw(here / "my pets" / "test", number=4)

    def commands(recipe, *limit):
        init(recipe, "--images", "my pets", "--budget", "smoke", "--device", "cpu", *limit)
        return [line for line in capsys.readouterr().out.splitlines() if line.startswith("  nasforge ")]

    unlimited = commands("all pets.toml")
    printed = commands("my pets.toml", "--max-latency-ms", 1000)
    words = [shlex.split(line.replace("all pets", "my pets"), comments=True) for line in unlimited]
    assert words == [shlex.split(line, comments=True) for line in printed]
    assert len(printed) == 5
    for line in printed:
        assert run_command(shlex.split(line, comments=True)[1:]) == 0, line
    assert (here / "runs" / "my-pets" / "export" / "standalone" / "model.py").exists()
