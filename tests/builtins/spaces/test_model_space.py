"""Patterns, weights and notation of the model space; and the errors that users get."""

import json
from random import Random

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from nasforge.errors import ArchError, CheckpointError, RecipeError, RunError
from nasforge.plugins import Registry
from nasforge.recipe import check
from nasforge.runs.limits import check_limits
from nasforge.space import Task
from nasforge_plugins.spaces.model.config import ModelConfig
from nasforge_plugins.spaces.model.plugin import nasforge_plugins
from nasforge_plugins.spaces.model.sample import SmallResNet
from nasforge_plugins.spaces.model.space import ModelSpace
from nasforge_plugins.spaces.model.weights import original_name

TINY = dict(nasforge_plugins()[0].tiny)
TASK = Task(3, 8, 10)


def space(**options: object) -> ModelSpace:
    return ModelSpace(ModelConfig.model_validate({**TINY, **options}))


def images() -> torch.Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("patterns", "told"),
    [
        ({"include": ["stage7.*"]}, "space.include: 'stage7.*' matches no module of the model."),
        ({"exclude": ["stage1.0.conv7"]}, "'stage1.0.conv7' matches no module of the model. Did you mean"),
        ({"include": ["fc"]}, "leave no choice in its 4 blocks (stage1.0, stage1.1, stage2.0, stage2.1)"),
    ],
)
def test_patterns_that_match_nothing(patterns, told):
    with pytest.raises(RunError) as error:
        _ = space(**patterns).choices
    assert told in str(error.value)


def test_patterns_restrict_what_may_change():
    names = {c.name for c in space(include=["stage2.*"], exclude=["*.1", "*.conv2"]).choices}
    assert names == {"stage2/0", "stage2/0/conv1/kernel", "stage2/0/activation", "stage2/0/gate"}
    assert {c.name for c in space(options=["drop"]).choices} == {"stage1/0", "stage1/1", "stage2/1"}
    kept = space(exclude=["stage1.0.conv1"], options=["width", "kernel"])
    assert {c.name: c.options for c in kept.choices if c.name.startswith("stage1/0")} == {
        "stage1/0/conv2/kernel": ("k3", "k1")
    }


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("torchvision:resnet19", "space.model: 'resnet19' is not one of its"),
        (
            "nasforge_plugins.spaces.model.sample:SmalResNet",
            "has no 'SmalResNet'. Did you mean",
        ),
        ("no_such_package.net:Net", "module 'no_such_package.net' cannot be imported"),
        ("torch.nn:Linear", "fails: TypeError"),
        ("builtins:dict", "made a dict. Name a class of torch.nn.Module"),
        ("torch.nn:Identity", "found no residual block"),
    ],
)
def test_models_that_cannot_be_made(model, told):
    with pytest.raises(RunError) as error:
        _ = space(model=model, arguments={}).choices
    assert told in str(error.value)


@pytest.mark.parametrize("argument", ["checkpoint_path", "pretrained_cfg_overlay"])
def test_timm_reads_no_pickle_of_the_recipe(argument):
    with pytest.raises(ValidationError, match=f"'{argument}' lets timm read a file that may run code"):
        space(model="timm:resnet18", arguments={argument: "weights.pth"})


def test_timm_is_an_extra():
    try:
        import timm  # noqa: F401
    except ImportError:
        with pytest.raises(RunError, match=r"pip install 'nasforge\[timm\]'"):
            _ = space(model="timm:mobilenetv3_small_050", arguments={}).choices
    else:
        made = space(model="timm:mobilenetv3_small_050", arguments={}, image_size=32)
        assert len(made.choices) > 10


def test_weights_of_a_file(tmp_path):
    torch.manual_seed(3)
    trained = SmallResNet(channels=4, num_classes=7)
    save_file(trained.state_dict(), tmp_path / "net.safetensors")
    made = space(weights=str(tmp_path / "net.safetensors"))
    assert made.reference_task.num_classes == 7
    network = made.build(Task(3, 8, 7), made.baseline).eval()
    assert torch.equal(network(images()).logits, trained.eval()(images()))


def test_weights_of_a_run_have_the_names_of_the_network(tmp_path):
    made = space()
    network = made.build(TASK, made.baseline)
    names = [original_name(name) for name in network.state_dict()]
    assert names == list(SmallResNet(channels=4).state_dict())
    (tmp_path / "train").mkdir()
    torch.nn.init.normal_(network.model.fc.weight)
    save_file(network.state_dict(), tmp_path / "train" / "weights.safetensors")
    again = space(weights=str(tmp_path))
    assert torch.equal(again._original.model.fc.weight, network.model.fc.weight)


def test_weights_that_do_not_fit(tmp_path):
    file = tmp_path / "net.safetensors"
    with pytest.raises(RunError, match="is no file"):
        _ = space(weights=str(file)).choices
    with pytest.raises(RunError, match="holds no trained network"):
        _ = space(weights=str(tmp_path)).choices
    file.write_text("nothing")
    with pytest.raises(CheckpointError, match="cannot be read"):
        _ = space(weights=str(file)).choices
    save_file({"stage1.0.conv.weight": torch.zeros(1)}, file)
    with pytest.raises(RunError, match=r"'stem.0.weight' is missing.* And \d+ more\."):
        _ = space(weights=str(file)).choices


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("stage1/0", "'stage1/0' is not a change: write choice=option."),
        ("stage1/9=drop", "no choice 'stage1/9'. Did you mean"),
        ("stage1/0=w51", "choice 'stage1/0' has no option 'w51'. Did you mean 'w50'?"),
        ("stage1/0=drop stage1/0=w50", "answered twice"),
        ("orignal", "is not a change"),
    ],
)
def test_notation_that_cannot_be_read(text, told):
    with pytest.raises(ArchError) as error:
        space().parse(text)
    assert told in str(error.value)


def test_notation_lists_what_differs():
    made = space()
    assert made.notation(made.baseline) == "original"
    text = "stage1/0=w50 stage1/0/conv1/kernel=k1 stage2/1=drop"
    assert made.notation(made.parse(text.replace(" ", ", "))) == text
    assert made.parse(json.dumps(made.parse(text).to_json())) == made.parse(text)


def test_drawings_leave_dropped_blocks_out():
    made = space()
    (graph,) = made.graphs(made.parse("stage1/0=drop stage2/0/conv1/kernel=k1"))
    assert [node.name for node in graph.nodes] == ["stage1.1", "stage2.0", "stage2.1"]
    assert graph.nodes[1].inputs == (("full conv1 k1", "stage1.1"),)


def test_samples_lie_near_and_far():
    made, rng = space(), Random(0)
    changes = [len(made.notation(made.sample(rng)).split()) for _ in range(200)]
    assert min(changes) <= 1
    assert max(changes) >= 8


def test_options_that_are_wrong_are_named():
    for options, told in (
        ({"model": "resnet18"}, "names no network"),
        ({"kernels": [2]}, "kernels are odd"),
        ({"widths": [50, 50]}, "each value is listed once"),
    ):
        with pytest.raises(ValidationError, match=told):
            ModelConfig.model_validate(options)


def test_limits_below_the_smallest_network_are_refused():
    recipe = {
        "run": {"name": "x"},
        "data": {"use": "synthetic", "image_size": 8},
        "space": {"use": "model", **TINY},
        "searcher": {"use": "random", "evaluations": 2},
        "evaluator": {"use": "zero-cost"},
        "constraints": {"max_params": 250},
    }
    with pytest.raises(RecipeError, match="no architecture of this space can keep 250 parameters"):
        check_limits(check(recipe, Registry.discover()))
