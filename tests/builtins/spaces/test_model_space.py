"""Models of users: files, patterns, rules, weights; and the errors that they get."""

import json
from pathlib import Path
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
HEAD = "import torch\nfrom torch import nn\n"
NET = """
class Net(nn.Module):
    def __init__(self, block, classes=10):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.ModuleList(block() for _ in range(2))
        self.fc = nn.Linear(8, classes)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.fc(x.mean((2, 3)))
"""
SHY = """
class Shy(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.norm = nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.act, self.conv2 = nn.ReLU(), nn.Conv2d(16, 8, 3, padding=1)

    def forward(self, x):
        if x.shape[1] != 8:
            return x
        return x + self.conv2(self.act(self.norm(self.conv1(x))))
"""
RULE = {
    "block": "Shy",
    "drop": True,
    "narrow": [["conv1", "norm", "conv2"]],
    "kernels": ["conv2"],
    "activations": ["act"],
    "gate": "conv2",
}


def space(**options: object) -> ModelSpace:
    return ModelSpace(ModelConfig.model_validate({**TINY, **options}))


def mine(folder: Path, body: str, name: str = "build", **options: object) -> ModelSpace:
    path = folder / "my_net.py"
    path.write_text(HEAD + body)
    return space(model=f"{path}:{name}", arguments={}, **options)


def images() -> torch.Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def same(made: ModelSpace) -> bool:
    network = made.build(TASK, made.parse("original")).eval()
    return torch.equal(network(images()).logits, made._original.model.eval()(images()))


def test_a_model_of_a_file(tmp_path):
    made = mine(tmp_path, "from nasforge_plugins.spaces.model.sample import SmallResNet as build")
    assert same(made)
    assert {"stage1/0", "stage2/1/conv2/kernel"} <= {c.name for c in made.choices}


def test_a_shortcut_in_the_code_around_its_branch(tmp_path):
    body = """
class build(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.fc = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 10)
        self.branch = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 8, 1))

    def forward(self, x):
        x = self.stem(x)
        x = self.branch(x) + x
        return self.fc(x.mean((2, 3)))
"""
    made = mine(tmp_path, body)
    assert same(made)
    assert {c.name: c.options for c in made.choices} == {
        "branch": ("full", "w50", "drop"),
        "branch/0/kernel": ("k3", "k1"),
        "branch/activation": ("relu", "hardswish"),
    }
    model, x = made._original.model, images()
    dropped = made.build(TASK, made.parse("branch=drop")).eval()
    assert torch.equal(dropped(x).logits, model.fc(model.stem(x).mean((2, 3))))


def test_a_model_that_cannot_be_traced_needs_a_rule(tmp_path):
    body = NET + SHY + "def build():\n    return Net(Shy)\n"
    with pytest.raises(RunError) as error:
        _ = mine(tmp_path, body).choices
    told = str(error.value)
    assert "torch.fx cannot read module 'blocks.0' (Shy)" in told
    assert "symbolically traced variables cannot be used as inputs to control flow" in told
    assert 'block = "Shy"' in told


def test_a_rule_says_what_may_change(tmp_path):
    made = mine(tmp_path, NET + SHY + "def build():\n    return Net(Shy)\n", rules=[RULE])
    assert {c.name: c.options for c in made.choices if c.name.startswith("blocks/0")} == {
        "blocks/0": ("full", "w50", "drop"),
        "blocks/0/conv2/kernel": ("k3", "k1"),
        "blocks/0/activation": ("relu", "hardswish"),
        "blocks/0/gate": ("none", "se"),
    }
    assert same(made)
    network = made.build(TASK, made.parse("blocks/0=w50 blocks/0/gate=se blocks/1=drop"))
    assert network.model.blocks[0].body.options["w50"].block.conv1.out_channels == 8
    assert network(images()).logits.shape == (2, 10)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"block": "Shyy"}, "no module of the model is a 'Shyy'. Did you mean 'Shy'?"),
        ({"kernels": ["conv3"]}, "kernels names 'conv3', which 'blocks.0' does not have. Did you mean"),
        ({"kernels": ["norm"]}, "is not a convolution with a square, odd kernel"),
        ({"activations": ["norm"]}, "'norm' of 'blocks.0' is a BatchNorm2d. Exchangeable are: ReLU"),
        ({"narrow": [["conv2", "norm", "conv1"]]}, "conv2 has 8, norm has 16, conv1 has 8"),
        (
            {"narrow": [["conv1"]]},
            "needs the convolution that makes the channels and the one that",
        ),
        ({"narrow": [["conv1", "act", "conv2"]]}, "only norms and depthwise convolutions are listed"),
        ({"narrow": [["norm", "conv2"]]}, "begins and ends with a convolution"),
        ({"gate": "act"}, "gate names 'act', which is neither a convolution nor a norm"),
    ],
)
def test_slices_and_rules_that_do_not_fit(tmp_path, change, told):
    made = mine(tmp_path, NET + SHY + "def build():\n    return Net(Shy)\n", rules=[{**RULE, **change}])
    with pytest.raises(RunError, match=r"^space\.rules: ") as error:
        _ = made.choices
    assert told in str(error.value)


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


def test_a_file_that_fails_names_its_line(tmp_path):
    with pytest.raises(RunError, match=r"my_net.py' cannot be imported: line 4: ZeroDivisionError"):
        _ = mine(tmp_path, "\n1 / 0\n").choices


def test_a_file_is_part_of_the_recipe(tmp_path):
    made = mine(tmp_path, "from nasforge_plugins.spaces.model.sample import SmallResNet as build")
    noted = made.config.to_json()
    assert len(noted["checksum"]) == 64
    assert ModelConfig.model_validate(noted) == made.config
    (tmp_path / "my_net.py").write_text("build = None")
    with pytest.raises(ValidationError, match="has been changed since the run began"):
        ModelConfig.model_validate(noted)
    with pytest.raises(ValidationError, match="cannot read"):
        ModelConfig(model=str(tmp_path / "other.py") + ":build")


def test_timm_is_an_extra():
    try:
        import timm  # noqa: F401
    except ImportError:
        with pytest.raises(RunError, match=r"pip install 'nasforge\[timm\]'"):
            _ = space(model="timm:mobilenetv3_small_050", arguments={}).choices
    else:
        made = space(model="timm:mobilenetv3_small_050", arguments={}, image_size=32)
        assert len(made.choices) > 10


def test_models_that_are_no_classifiers(tmp_path):
    seeing = SHY.replace("x.shape[1] != 8", "x.max() > 9")
    made = mine(tmp_path, NET + seeing + "def build():\n    return Net(Shy)\n", rules=[RULE])
    with pytest.raises(RunError, match="must not depend on the numbers in its images"):
        _ = made.reference_task
    made = mine(tmp_path, "def build():\n    return nn.Conv2d(3, 3, 3)\n")
    with pytest.raises(RunError, match="found no residual block in Conv2d"):
        _ = made.choices
    body = NET.replace("self.fc(x.mean((2, 3)))", "x") + SHY + "def build():\n    return Net(Shy)\n"
    made = mine(tmp_path, body, rules=[RULE])
    with pytest.raises(RunError, match=r"returns a tensor of shape \(1, 8, 8, 8\), and a classifier"):
        _ = made.reference_task


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
