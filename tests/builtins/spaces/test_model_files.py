"""Models of users' own files: what may change in them, rules for their blocks, and errors."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from nasforge.errors import RunError
from nasforge.space import Task
from nasforge_plugins.spaces.model.config import ModelConfig
from nasforge_plugins.spaces.model.plugin import nasforge_plugins
from nasforge_plugins.spaces.model.space import ModelSpace

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


def test_blocks_that_share_weights_stay_as_they_are(tmp_path):
    body = """
from nasforge_plugins.spaces.model.sample import ResidualBlock, SmallResNet

def build():
    net = SmallResNet(channels=4, blocks=3)
    net.stage1[1] = net.stage1[0]
    net.stage2[2].conv2 = net.stage2[1].conv2
    return net
"""
    made = mine(tmp_path, body, options=["width"])
    assert same(made)
    assert [c.name for c in made.choices] == ["stage1/2", "stage2/0"]


def test_computed_weights_stay_as_they_are(tmp_path):
    body = """
from nasforge_plugins.spaces.model.sample import SmallResNet

def build():
    net = SmallResNet(channels=4, blocks=1)
    torch.nn.utils.parametrizations.weight_norm(net.stage1[0].conv1)
    return net
"""
    made = mine(tmp_path, body, options=["width", "kernel"])
    assert same(made)
    names = [c.name for c in made.choices if c.name.startswith("stage1")]
    assert names == ["stage1/0/conv2/kernel"]


def test_blocks_of_several_values_are_refused(tmp_path):
    body = (
        NET.replace("block(x)", "block(x, 2.0)")
        + """
class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x, scale=1.0):
        return x + scale * self.conv(x)

def build():
    return Net(Scaled)
"""
    )
    made = mine(tmp_path, body)
    with pytest.raises(RunError, match=r"block 'blocks.0' is given 2 values.* exclude = "):
        made.build(TASK, made.baseline)


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
