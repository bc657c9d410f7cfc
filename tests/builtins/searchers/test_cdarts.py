from __future__ import annotations

import copy

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from nasforge.config import PluginConfig
from nasforge.errors import NasforgeError, RecipeError, RunError
from nasforge.plugins import Registry
from nasforge.runtime import checkpoint
from nasforge.seeding import derive_seed
from nasforge_plugins.distillers.stages.config import StagesConfig
from nasforge_plugins.distillers.stages.distiller import StagesDistiller
from nasforge_plugins.searchers.cdarts.config import PRESETS, CdartsConfig, QuirkOptions
from nasforge_plugins.searchers.cdarts.searcher import Cdarts
from support.twin_world import TinyData, TinySpace, make_context

STEPS = 4
VARIANTS = {
    "clean": {},
    "official": {"preset": "official"},
    "kept optimisers": {"renew_optimizers": False},
    "learned edges": {"edge_weights": "learned", "joint_epochs": 2},
    "pretrained": {"preset": "official", "pretrain": {"epochs": 2}},
    "pretrained by draws": {"pretrain": {"epochs": 1, "architectures": "sampled", "samples": 2}},
    "nothing inherited": {"twin": {"inherit": False, "warmup_epochs": 0}},
}


def make(seed: int = 0, data: TinyData | None = None, report=lambda values: None, space=None, **options):
    torch.manual_seed(derive_seed(seed, "search"))
    searcher = Cdarts(CdartsConfig(**{"iterations": STEPS, "warmup_epochs": 1, **options}))
    searcher.setup(make_context(StagesDistiller(StagesConfig()), data, report, space))
    return searcher


def flat(state, at="") -> dict:
    if isinstance(state, dict):
        return {k: v for name, value in state.items() for k, v in flat(value, f"{at}/{name}").items()}
    if isinstance(state, list | tuple):
        return flat(dict(enumerate(state)), at)
    return {at: state}


def assert_same(one, other) -> None:
    one, other = flat(one), flat(other)
    assert one.keys() == other.keys()
    for name, value in one.items():
        equal = torch.equal(value, other[name]) if isinstance(value, Tensor) else value == other[name]
        assert equal, name


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_resume_after_any_step_ends_in_the_same_bits(options, tmp_path):
    whole = make(**options)
    for step in range(whole.total_steps):
        whole.step()
        # As the engine does: the random state is saved last and restored last.
        state = {"searcher": whole.state_dict(), "random": torch.get_rng_state()}
        checkpoint.save(tmp_path / f"{step}.safetensors", state)
    expected = copy.deepcopy(whole.state_dict())
    for step in range(whole.total_steps):
        resumed = make(seed=99, **options)
        state = checkpoint.load(tmp_path / f"{step}.safetensors")
        resumed.load_state_dict(state["searcher"])
        torch.set_rng_state(state["random"])
        while not resumed.done:
            resumed.step()
        assert_same(resumed.state_dict(), expected)


def test_same_seed_same_bits_other_seed_others():
    def run(seed: int):
        searcher = make(seed)
        searcher.step()
        searcher.step()
        return searcher.state_dict()

    assert_same(run(0), run(0))
    with pytest.raises(AssertionError):
        assert_same(run(0), run(1))


def test_a_search_learns_and_decides():
    searcher = make(
        data=TinyData({"weights": 20, "arch": 20}),
        iterations=8,
        arch_lr=0.05,
        lr=0.02,
        penalty={"coefficient": 0.1},
        twin={"lr": 0.02},
    )
    metrics = [searcher.step() for _ in range(8)]
    assert searcher.done
    assert metrics[-1]["search_loss"] < metrics[0]["search_loss"]
    assert metrics[-1]["eval_loss"] < metrics[1]["eval_loss"]
    assert metrics[-1]["eval_accuracy"] > 60
    assert metrics[0]["arch_entropy"] == pytest.approx(1.0, abs=1e-4)
    assert metrics[-1]["arch_entropy"] < 0.97
    assert metrics[-1]["arch_confidence"] > 0.35
    searcher.space.validate(searcher.best())


def test_metrics_of_warm_up_and_cycle():
    searcher = make()
    assert set(searcher.step()) == {"search_loss", "search_accuracy", "arch_entropy", "arch_confidence"}
    assert set(searcher.step()) == {
        *("search_loss", "search_accuracy", "arch_loss", "eval_loss", "eval_accuracy", "distill_loss"),
        *("penalty", "eval_warmup_loss", "eval_warmup_accuracy", "arch_entropy", "arch_confidence"),
    }


def test_penalty_fades_over_the_cycles():
    searcher = make(iterations=5, penalty={"ratio": 0.5})
    penalties = [searcher.step().get("penalty", -1.0) for _ in range(5)]
    assert penalties[0] == -1.0
    assert penalties[1] > penalties[2] > 0 == penalties[3] == penalties[4]


def test_progress_is_reported_inside_a_step():
    reports: list[dict[str, float]] = []
    searcher = make(report=reports.append, data=TinyData({"weights": 30, "arch": 30}))
    searcher.step()
    shares = [values["done"] for values in reports]
    assert len(shares) >= 20
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert all("search_loss" in values for values in reports)


def test_weights_come_back_to_the_bank_and_into_the_next_network():
    searcher = make(warmup_epochs=0)
    before = {n: t.clone() for n, t in searcher.twin.bank.state_dict().items()}
    searcher.step()
    network, bank = searcher.twin.network.state_dict(), searcher.twin.bank.state_dict()
    assert all(torch.equal(tensor, bank[name]) for name, tensor in network.items())
    assert not torch.equal(bank["classifier.weight"], before["classifier.weight"])
    searcher.twin.rebuild(searcher.best())
    again = searcher.twin.network.state_dict()
    assert all(torch.equal(again[n], bank[n]) for n in again if not n.startswith("stem."))


def test_stem_is_one_module_for_both_networks():
    searcher = make(warmup_epochs=0)
    searcher.step()
    assert searcher.twin.network.stem is searcher.search_net.stem
    resumed = make(warmup_epochs=0)
    resumed.load_state_dict(searcher.state_dict())
    assert resumed.twin.network.stem is resumed.search_net.stem


@pytest.mark.parametrize("kind", ["learned", "mean", "sum"])
def test_edge_weights(kind):
    searcher = make(edge_weights=kind)
    caught = []
    searcher.search_net.register_forward_pre_hook(lambda module, args: caught.append(args[1]))
    searcher.step()
    weights = caught[0]
    assert ("inputs" in weights) is (kind != "sum")
    assert ("inputs" in searcher.alpha.logits) is (kind == "learned")
    if kind != "sum":
        torch.testing.assert_close(weights["inputs"], torch.full((3,), 1 / 3), atol=2e-3, rtol=0)
        assert weights["inputs"].requires_grad is False


def test_sample_ratio_uses_a_share_of_every_epoch():
    reports: list[dict[str, float]] = []
    searcher = make(data=TinyData({"weights": 10, "arch": 10}), sample_ratio=0.25, report=reports.append)
    searcher.step()
    assert [values["done"] for values in reports] == [1 / 3, 2 / 3, 1.0]


@pytest.mark.parametrize("cycle", [1, 2])
def test_a_loss_that_is_no_number_names_cycle_phase_and_batch(cycle):
    searcher = make(data=TinyData(poison=1))
    searcher.epoch = cycle - 1
    phase = "search warm-up" if cycle == 1 else "evaluation warm-up"
    with pytest.raises(RunError, match=f"search, cycle {cycle}, {phase}, batch 2: the loss is nan"):
        searcher.step()


def test_works_without_distiller():
    searcher = Cdarts(CdartsConfig(iterations=2, warmup_epochs=0))
    searcher.setup(make_context())
    assert searcher.step()["distill_loss"] == 0.0
    resumed = Cdarts(CdartsConfig(iterations=2, warmup_epochs=0))
    resumed.setup(make_context())
    resumed.load_state_dict(searcher.state_dict())
    assert resumed.step()["eval_loss"] > 0


def test_presets_fill_what_the_recipe_leaves_out():
    assert CdartsConfig().quirks.clip_scope == "per_network"
    official = CdartsConfig(preset="official", quirks={"copy_bug": False}).quirks
    assert (official.clip_scope, official.stale_gradients, official.copy_bug) == ("all", True, False)
    for name, values in PRESETS.items():
        config = CdartsConfig(preset=name)
        assert config.quirks.to_json() == dict(values)
        assert CdartsConfig(**config.to_json()) == config
    assert CdartsConfig().to_json()["quirks"] == QuirkOptions().to_json() == PRESETS["clean"]


def test_wrong_options_are_refused():
    with pytest.raises(ValidationError, match="preset"):
        CdartsConfig(preset="offical")
    with pytest.raises(ValidationError, match="leaves nothing of iterations = 2"):
        CdartsConfig(iterations=2, warmup_epochs=2)
    with pytest.raises(RecipeError, match=r"no choice has 'poool'. Did you mean 'pool'\?") as caught:
        make(penalty={"options": ["skip", "poool"]})
    assert isinstance(caught.value, NasforgeError)
    assert "set penalty.options = [] to penalise none" in str(caught.value)
    make(penalty={"options": []})


def test_penalised_options_default_to_those_the_space_calls_free():
    class Free(TinySpace):
        parameter_free = frozenset({"pool", "not in this space"})

    searcher = make(space=Free(PluginConfig()), penalty={"multiplier": 1.0})
    logits = dict(searcher.alpha.logits.items())
    expected = sum(float(values.detach()[2].abs()) for values in logits.values())
    assert searcher.penalty(logits).item() == pytest.approx(expected)


@pytest.mark.parametrize("name", ["darts", "nasbench201", "chain"])
@pytest.mark.parametrize("preset", ["clean", "official"])
def test_every_space_with_networks_can_be_searched(name, preset):
    plugin = Registry.discover().get("space", name)
    space = plugin.load()(plugin.config(**plugin.tiny))
    searcher = make(space=space, preset=preset, iterations=2, warmup_epochs=1, lr=0.01, twin={"lr": 0.01})
    while not searcher.done:
        metrics = searcher.step()
    assert metrics["eval_loss"] > 0
    space.validate(searcher.best())
    assert space.parse(space.notation(searcher.best())) == searcher.best()
