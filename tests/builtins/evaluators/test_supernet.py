"""The supernet evaluator: single paths, inherited weights, batch-norm policies, exact resume."""

from pathlib import Path
from random import Random

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nasforge.arch import Arch
from nasforge.config import PluginConfig
from nasforge.errors import RunError
from nasforge.nn import one_hot
from nasforge.plugins import Registry
from nasforge.runtime import Runtime
from nasforge.space import NetworkSpace
from nasforge.testing.parts import TinySpace as EdgeSpace
from nasforge_plugins.evaluators.supernet.config import SupernetConfig
from nasforge_plugins.evaluators.supernet.evaluator import Supernet
from nasforge_plugins.evaluators.supernet.mixing import mixed
from nasforge_plugins.evaluators.supernet.norms import recalibrate
from nasforge_plugins.evaluators.supernet.training import SupernetTraining
from support.tiny_training import ARCH, Interrupted, TinyData, TinySpace, context

REGISTRY = Registry.discover()
SPACES = [plugin for plugin in REGISTRY.of("space") if NetworkSpace in plugin.provides]
ARCHS = [Arch({"layer": option}) for option in ("conv3", "conv1", "skip")]


def made(folder, data=None, seed=0, **options):
    parts = {"space": options.pop("space")} if "space" in options else {}
    evaluator = Supernet(SupernetConfig(**{"epochs": 3, "batch_size": 8, **options}))
    evaluator.setup(context(folder, data, "search", seed, **parts))
    return evaluator


def weights_of(evaluator):
    return {name: value.clone() for name, value in evaluator.supernet().state_dict().items()}


def same(left, right):
    assert left.keys() == right.keys()
    return all(torch.equal(value, right[name]) for name, value in left.items())


def test_recalibration_averages_over_batches():
    norm = nn.BatchNorm2d(2)
    norm.running_mean.fill_(100.0)
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randn(4, 2, 3, 3, generator=generator) + shift for shift in (0.0, 1.0, 5.0)]
    recalibrate(nn.Sequential(norm).eval(), batches, Runtime(torch.device("cpu")))
    means = torch.stack([b.mean((0, 2, 3)) for b in batches]).mean(0)
    variances = torch.stack([b.transpose(0, 1).flatten(1).var(1) for b in batches]).mean(0)
    torch.testing.assert_close(norm.running_mean, means)
    torch.testing.assert_close(norm.running_var, variances)
    assert norm.momentum == 0.1
    assert not norm.training


def test_recalibration_reads_as_many_images_as_asked_for(tmp_path):
    """The paper: 20,000 training images; whole batches, and never more than there are."""
    assert SupernetConfig().recalibration_images == 20_000
    for asked, read in ((1, 8), (16, 16), (17, 24), (20_000, 24)):
        data = TinyData()
        evaluator = made(tmp_path / str(asked), data, recalibration_images=asked)
        assert sum(len(images) for images in evaluator._training_images()) == read


@pytest.mark.parametrize("space", [TinySpace, EdgeSpace])
def test_a_batch_moves_only_the_weights_of_its_architecture(space, tmp_path):
    made_space = space(PluginConfig())
    ctx = context(tmp_path, stage="search", space=made_space)
    config = SupernetConfig(weight_decay=0.1, decay_norms=True)  # a bias before a norm has no other gradient
    training = SupernetTraining(config, ctx, made_space)
    generator = torch.Generator().manual_seed(1)
    images, labels = torch.randn(6, 3, 8, 8, generator=generator), torch.arange(6) % 3
    moved_once = set()
    for number in range(12):
        training._paths = Random(number)
        arch = made_space.sample(Random(number))
        names = {name for name, _ in made_space.build(ctx.data.task, arch, "search").named_parameters()}
        before = {name: value.clone() for name, value in training.network.named_parameters()}
        training.step(images, labels)
        moved = {n for n, p in training.network.named_parameters() if not torch.equal(p, before[n])}
        assert moved <= names
        assert moved
        moved_once |= moved
    assert moved_once == set(before)


def test_architectures_are_drawn_uniformly_and_anew_in_every_epoch(tmp_path):
    space, drawn = TinySpace(PluginConfig()), []
    training = SupernetTraining(SupernetConfig(batch_size=1), context(tmp_path, stage="search"), space)
    training.step = lambda images, labels: (  # type: ignore[method-assign]
        drawn.append(space.sample(training._paths)["layer"][0]) or torch.zeros(()),
        torch.zeros(len(labels), 3),
    )
    epochs = []
    for epoch in range(40):
        drawn.clear()
        training.run_epoch(epoch, lambda values: None)
        epochs.append(tuple(drawn))
    assert len(set(epochs)) == 40
    counts = [sum(e.count(option) for e in epochs) for option in ("conv3", "conv1", "skip")]
    assert sum(counts) == 960
    assert all(260 < count < 380 for count in counts), counts  # 320 expected, four deviations each way
    training.run_epoch(0, lambda values: None)


def test_the_score_is_that_of_the_supernet_under_one_path(tmp_path):
    evaluator = made(tmp_path, norm="inherited")
    supernet = evaluator.supernet().eval()
    for arch in ARCHS:
        result = evaluator.evaluate(arch)
        weights = one_hot(evaluator.ctx.space.choices, arch)
        right = loss = 0.0
        with torch.no_grad():
            for images, labels in evaluator.ctx.data.batches("arch", augment=False):
                logits = supernet(images, weights).logits
                right += float((logits.argmax(1) == labels).sum())
                loss += float(F.cross_entropy(logits, labels, reduction="sum"))
        assert result.score == result.metrics["arch_accuracy"] == pytest.approx(100 * right / 12)
        assert result.metrics["arch_loss"] == pytest.approx(loss / 12, rel=1e-5)


def test_it_learns(tmp_path):
    evaluator = made(tmp_path, epochs=20, lr=0.2)
    assert all(evaluator.evaluate(arch).score > 60.0 for arch in ARCHS)  # a guess is right in 33 %


def test_policies_measure_differently_and_leave_the_supernet_alone(tmp_path):
    losses = []
    for norm in ("recalibrate", "batch", "inherited"):
        evaluator = made(tmp_path, norm=norm)
        before = weights_of(evaluator)
        losses.append(evaluator.evaluate(ARCH).metrics["arch_loss"])
        assert same(before, weights_of(evaluator))
    assert len(set(losses)) == 3


def test_one_supernet_is_trained_for_all(tmp_path):
    data = TinyData()
    evaluator = made(tmp_path, data, norm="inherited")
    for arch in ARCHS * 2:
        evaluator.evaluate(arch)
    assert data.read == ["weights"] * 3 + ["arch"] * 6
    # The next process takes it from its slot, whatever scoring it asks for.
    data.read.clear()
    made(tmp_path, data, norm="batch").evaluate(ARCH)
    assert data.read == ["arch"]
    # Other training options need another supernet.
    data.read.clear()
    made(tmp_path, data, norm="batch", lr=0.01).evaluate(ARCH)
    assert data.read == ["weights"] * 3 + ["arch"]


@pytest.mark.parametrize("stops", [[(0, 2)], [(1, 1)], [(2, 3)], [(0, 1), (1, 2), (2, 1)]], ids=str)
@pytest.mark.parametrize("space", [TinySpace, EdgeSpace])
def test_a_killed_training_ends_in_the_same_bits(tmp_path, stops, space):
    options = {"space": space(PluginConfig())}
    whole = made(tmp_path / "whole", **options)
    arch = options["space"].sample(Random(0))
    for stop in stops:
        torch.manual_seed(77)
        with pytest.raises(Interrupted):
            made(tmp_path / "parts", TinyData(fail=stop), **options).evaluate(arch)
    parts = made(tmp_path / "parts", **options)
    left, right = parts.evaluate(arch), whole.evaluate(arch)
    assert (left.score, left.metrics) == (right.score, right.metrics)
    assert same(weights_of(parts), weights_of(whole))


def test_the_global_generator_goes_on_as_if_nothing_had_happened(tmp_path):
    evaluator = made(tmp_path)
    before = torch.get_rng_state()
    evaluator.evaluate(ARCH)
    assert torch.equal(before, torch.get_rng_state())


def test_a_budget_is_a_number_of_batches(tmp_path):
    evaluator = made(tmp_path, batch_size=4)
    losses = [evaluator.evaluate(ARCH, budget=budget).metrics["arch_loss"] for budget in (1, 2, 3, None)]
    assert len(set(losses[:3])) == 3
    assert losses[2] == pytest.approx(losses[3]), "all images, in another order"


def test_it_scores_on_select_where_arch_is_empty(tmp_path):
    data = TinyData(select=10)
    data._sizes["arch"] = 0
    result = made(tmp_path, data).evaluate(ARCH)
    assert set(result.metrics) == {"select_accuracy", "select_loss"}


def inherited(tmp_path: Path, **options):
    return made(tmp_path / "other", weights=str(tmp_path / "run"), **options)


def test_another_runs_supernet_is_used(tmp_path):
    slots = tmp_path / "run" / "search" / "slots"
    first = made(slots)
    score = first.evaluate(ARCH).score
    data = TinyData()
    second = inherited(tmp_path, data=data)
    assert second.evaluate(ARCH).score == score
    assert same(weights_of(first), weights_of(second))
    assert data.read == ["weights", "arch"]  # to recalibrate, and to score


def test_supernets_that_cannot_be_used_are_refused(tmp_path):
    with pytest.raises(RunError, match=r"evaluator\.weights: '.*run' holds no supernet"):
        inherited(tmp_path).evaluate(ARCH)
    slots = tmp_path / "run" / "search" / "slots"
    with pytest.raises(Interrupted):
        made(slots, TinyData(fail=(1, 1))).evaluate(ARCH)
    with pytest.raises(RunError, match="has 1 of 3 epochs"):
        inherited(tmp_path).evaluate(ARCH)
    made(slots).evaluate(ARCH)
    with pytest.raises(RunError, match="does not fit this space and data"):
        inherited(tmp_path, data=TinyData(classes=2)).evaluate(ARCH)
    for path in slots.iterdir():
        path.write_bytes(b"no checkpoint")
    with pytest.raises(RunError, match=r"evaluator\.weights: .*cannot be read"):
        inherited(tmp_path).evaluate(ARCH)


@pytest.mark.parametrize("norm", ["recalibrate", "batch", "inherited"])
@pytest.mark.parametrize("plugin", SPACES, ids=lambda plugin: plugin.name)
def test_every_space_can_be_searched(plugin, norm, tmp_path):
    space = plugin.load()(plugin.config(**plugin.tiny))
    evaluator = made(tmp_path, space=space, norm=norm, epochs=1, recalibration_images=16)
    for seed in range(2):
        result = evaluator.evaluate(space.sample(Random(seed)))
        assert 0.0 <= result.score <= 100.0


def test_training_says_how_far_it_is_before_the_first_score(tmp_path):
    shares = []
    evaluator = Supernet(SupernetConfig(epochs=3, batch_size=8))
    evaluator.setup(
        context(tmp_path, None, "search", report=lambda values: shares.append(values["prepared"]))
    )
    evaluator.evaluate(ARCH)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_images_that_are_stored_by_class_are_mixed_and_none_is_lost():
    labels = torch.arange(4).repeat_interleave(16)
    images = torch.arange(64.0).reshape(64, 1, 1, 1)
    stored = list(zip(images.split(8), labels.split(8), strict=True))

    def run(held):
        return list(mixed(stored, 16, torch.Generator().manual_seed(0), held))

    for held, classes in ((2**20, 4), (32 * 4, 2)):
        found = run(held)
        assert all(len(y.unique()) == classes for _, y in found)
        x, y = (torch.cat(parts) for parts in zip(*found, strict=True))
        assert torch.equal(x.flatten().sort().values, images.flatten())
        assert torch.equal(labels[x.flatten().long()], y)
        assert all(torch.equal(a, b) for (a, _), (b, _) in zip(found, run(held), strict=True))


class ByClass(TinyData):
    """One class after the other."""

    def batches(self, split, *, epoch=0, augment=True, batch_size=None):
        found = list(super().batches(split, epoch=epoch, augment=augment, batch_size=batch_size))
        if augment:
            return found
        images, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
        order = labels.argsort(stable=True)
        size = batch_size or 8
        return zip(images[order].split(size), labels[order].split(size), strict=True)


def test_statistics_of_a_batch_are_not_those_of_one_class(tmp_path):
    seen = []
    evaluator = made(tmp_path, ByClass(), epochs=1, batch_size=6, norm="batch")
    evaluator.supernet()
    score = F.cross_entropy

    def note(logits, labels, **more):
        seen.append(set(labels.tolist()))
        return score(logits, labels, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nasforge_plugins.evaluators.supernet.evaluator.F.cross_entropy", note)
        evaluator.evaluate(ARCH)
    assert all(len(classes) > 1 for classes in seen[:-1])
