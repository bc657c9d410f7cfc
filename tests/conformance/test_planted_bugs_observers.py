"""Bugs planted in a sound observer: the kit finds each, and says what it is."""

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from nasforge.config import PluginConfig
from nasforge.observer import Observer
from support.planting import assert_caught, assert_sound, find, plugin_of


class Options(PluginConfig):
    path: Path = Path("steps.txt")
    """The file."""


class Sound(Observer[Options]):
    """Writes a line per step and per run of a bench."""

    def step(self, stage, step, metrics, arch):
        self.write(f"{stage} {step} {arch or ''}\n")

    def bench_run_end(self, done, total, result):
        self.write(f"{done}/{total} {result['searcher']}\n")

    def write(self, line):
        with (self.folder / self.config.path).open("a") as file:
            file.write(line)


class OpensInConstructor(Sound):
    def __init__(self, config):
        super().__init__(config)
        self.hosts = Path("/etc/hostname").read_text()


class ForgetsOptions(Sound):
    def __init__(self, config):
        super().__init__(Options())


class KnowsFourStages(Sound):
    order = ("search", "derive", "train", "test")

    def stage_start(self, stage, done, total):
        self.number = self.order.index(stage)


class NeedsATotal(Sound):
    def stage_start(self, stage, done, total):
        self.share = done / total


class NeedsAnArchitecture(Sound):
    def step(self, stage, step, metrics, arch):
        self.write(arch + "\n")


class NeedsEveryBeginning(Sound):
    def stage_start(self, stage, done, total):
        self.stage = stage

    def stage_end(self, stage, result, skipped):
        self.write(f"{self.stage} is finished\n")


class ForgetsStagesOfEarlierRuns(Sound):
    """Counts beginnings; a run that continues has fewer."""

    def run_start(self, name, resolved):
        self.begun = []

    def stage_start(self, stage, done, total):
        self.begun.append(stage)

    def stage_end(self, stage, result, skipped):
        self.begun.remove(stage)


class KnowsRunsOnly(Sound):
    def run_start(self, name, resolved):
        self.best = 0.0

    def bench_run_end(self, done, total, result):
        self.best = max(self.best, result["score"])


class ClosesWhatWasNeverOpened(Sound):
    def step(self, stage, step, metrics, arch):
        self.file = self.folder.joinpath("steps.txt").open("a")

    def bench_run_end(self, done, total, result):
        self.file = self.folder.joinpath("steps.txt").open("a")

    def close(self):
        self.file.close()


class RoundsTheResult(Sound):
    def stage_end(self, stage, result, skipped):
        if "accuracy" in result:
            result["accuracy"] = 0.0


class PopsMetrics(Sound):
    def step(self, stage, step, metrics, arch):
        metrics.pop("loss", None)


class SortsStandings(Sound):
    def bench_end(self, standings):
        standings[0].pop("runs")


class DrawsFromTorch(Sound):
    def progress(self, stage, values):
        self.noise = torch.rand(1)


class DrawsFromRandom(Sound):
    def bench_run_end(self, done, total, result):
        self.number = random.random()


class DrawsFromNumpy(Sound):
    def step(self, stage, step, metrics, arch):
        self.number = np.random.rand()


class WritesElsewhere(Sound):
    def run_end(self, result):
        path = Path("nasforge-observer-result.txt")
        path.write_text("done")
        path.unlink()


class WritesAFolderElsewhere(Sound):
    def bench_start(self, name, done, total):
        folder = self.folder.parent / f"{self.folder.name}-more"
        folder.mkdir()
        folder.rmdir()


class NoObserver:
    def __init__(self, config):
        self.config = config

    def __getattr__(self, event):
        return lambda *arguments: None


@pytest.mark.parametrize(
    ("target", "name", "words"),
    [
        (OpensInConstructor, "constructor_does_no_work", "opens /etc/hostname"),
        (ForgetsOptions, "constructor_does_no_work", "does not keep its options"),
        (KnowsFourStages, "later_stages_are_accepted", "stage_start('export', 0, 1) raises ValueError"),
        (NeedsATotal, "run_is_accepted", "stage_start('derive', 0, None) raises TypeError"),
        (NeedsAnArchitecture, "run_is_accepted", "step('search', 2, {}, None) raises TypeError"),
        (NeedsEveryBeginning, "resumed_run_is_accepted", "raises AttributeError"),
        (ForgetsStagesOfEarlierRuns, "resumed_run_is_accepted", "raises ValueError"),
        (KnowsRunsOnly, "bench_is_accepted", "raises AttributeError"),
        (ClosesWhatWasNeverOpened, "interruption_is_accepted", "close() raises AttributeError"),
        (RoundsTheResult, "results_are_not_modified", "changes stage_end/1/accuracy"),
        (PopsMetrics, "results_are_not_modified", "changes step/2/loss"),
        (SortsStandings, "results_are_not_modified", "changes bench_end/0/0/runs"),
        (DrawsFromTorch, "global_rng_is_unused", "generator of torch"),
        (DrawsFromRandom, "global_rng_is_unused", "generator of random"),
        (DrawsFromNumpy, "global_rng_is_unused", "generator of numpy"),
        (WritesElsewhere, "files_stay_in_the_folder", "writes nasforge-observer-result.txt"),
        (WritesAFolderElsewhere, "files_stay_in_the_folder", "-more"),
        (NoObserver, "derives_from_the_contract", "does not derive from nasforge.observer.Observer"),
    ],
)
def test_observers(target, name, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert_caught(plugin_of("observer", target, config=Options), name, words)


def test_the_observer_without_bugs_is_sound():
    assert_sound(plugin_of("observer", Sound, config=Options), module="nasforge.observer")


def test_a_path_that_an_option_names_may_lie_elsewhere(tmp_path):
    subject = plugin_of("observer", Sound, config=Options, tiny={"path": tmp_path / "elsewhere.txt"})
    find(subject, "files_stay_in_the_folder")()
    assert (tmp_path / "elsewhere.txt").read_text().count("search") == 2


def test_a_listing_that_imports_a_heavy_module_is_found(tmp_path, monkeypatch):
    module = tmp_path / "heavy_observer.py"
    module.write_text("import torch\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    plugin = plugin_of("observer", Sound, config=Options)
    assert_caught(plugin, "listing_is_light", "heavy_observer imports torch", module="heavy_observer")


def test_what_an_observer_prints_stays_out_of_the_output_of_checks(tmp_path):
    code = (
        "from nasforge.plugins import Registry; from nasforge.testing import checks_for\n"
        "for check in checks_for(Registry.discover().get('observer', 'progress')): check()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
