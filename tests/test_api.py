"""nasforge from Python."""

import json

import pytest
import torch

import nasforge
from nasforge.errors import ArchError, CheckpointError, PluginError, RecipeError, RunError
from nasforge.nn import Output
from support.tiny_recipe import tiny


def test_a_network_by_published_name_maps_images_to_logits():
    network = nasforge.create_network("darts", arch="DARTS_V2", num_classes=7, channels=4, cells=3)
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 7)
    assert not any(name.startswith("network.") for name in network.state_dict())


def test_features_on_request():
    network = nasforge.create_network("darts", "DARTS_V2", channels=4, cells=3, features=True)
    output = network(torch.zeros(2, 3, 32, 32))
    assert isinstance(output, Output)
    assert [f.shape[1] for f in output.features] == [info.channels for info in network.feature_info]


def test_a_supernet_without_an_architecture():
    network = nasforge.create_network("darts", scale="search", search_channels=4, search_cells=3)
    assert network(torch.zeros(1, 3, 16, 16)).shape == (1, 10)


def test_architectures_come_in_every_form():
    text = nasforge.create_network("darts", "DARTS_V1", channels=4, cells=3)
    space = nasforge.Registry.discover().get("space", "darts")
    arch = space.load()(space.config()).parse("DARTS_V1")
    for form in (arch, arch.to_json()):
        network = nasforge.create_network("darts", form, channels=4, cells=3)
        assert set(network.state_dict()) == set(text.state_dict())


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("dart",), PluginError, "Did you mean 'darts'"),
        (("darts", "DARTS_V3"), ArchError, "DARTS_V"),
        (("darts", {"normal": "x"}), ArchError, "no choice 'normal'"),
    ],
)
def test_mistakes_are_named(arguments, error, words):
    with pytest.raises(error, match=words):
        nasforge.create_network(*arguments)


def test_a_wrong_option_is_named():
    with pytest.raises(RecipeError, match="Did you mean 'channels'"):
        nasforge.create_network("darts", "DARTS_V2", chanels=4)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return nasforge.run(tiny(), {"train.epochs": 1}, out=tmp_path_factory.mktemp("runs"), seed=3)


def test_overrides_and_arguments_reach_the_recipe(finished):
    resolved = json.loads((finished.folder / "resolved.json").read_text())
    assert resolved["train"]["epochs"] == 1
    assert resolved["run"]["seed"] == 3


def test_a_trained_network_comes_back_with_its_weights(finished):
    network = nasforge.load_network(finished.folder)
    assert not network.training
    full = nasforge.load_network(finished.folder, features=True)
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(network(images), full(images).logits)
    tensors, about = nasforge.runtime.checkpoint.load_weights(
        finished.folder / "train" / "weights.safetensors"
    )
    assert all(torch.equal(tensors[name], tensor) for name, tensor in network.state_dict().items())
    assert about["space"]["use"] == "darts"


def test_loading_says_what_is_missing(finished, tmp_path):
    with pytest.raises(RunError, match="not a run folder"):
        nasforge.load_network(tmp_path)
    search_only = nasforge.run(tiny(train=None), out=tmp_path)
    with pytest.raises(RunError, match="no trained network yet"):
        nasforge.load_network(search_only.folder)


def test_truncated_weights_are_an_error(tmp_path):
    result = nasforge.run(tiny(train={"epochs": 1}), out=tmp_path)
    path = result.folder / "train" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(CheckpointError, match=r"weights\.safetensors: is damaged"):
        nasforge.load_network(result.folder)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path):
    def weights(place, seed):
        result = nasforge.run(tiny(train={"epochs": 1}), out=tmp_path / place, seed=seed)
        return (result.folder / "train" / "weights.safetensors").read_bytes()

    assert weights("a", 0) == weights("b", 0) != weights("c", 1)
