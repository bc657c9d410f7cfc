from dataclasses import replace

import pytest
import torch

from nasforge.component import Context
from nasforge.config import PluginConfig
from nasforge.data import DataModule, reading_only
from nasforge.errors import AccessError, RunError
from nasforge.observer import Observer
from nasforge.recipe import check
from nasforge.runs.folder import RunFolder
from nasforge.runs.guard import GuardedData
from nasforge.runs.inputs import read_images
from nasforge.runs.scope import SEARCH, TEST, TRAIN, Scope
from nasforge.runtime import Runtime
from nasforge.space import Task
from nasforge.stages import STAGES
from nasforge.stages.runner import Run, run_stages
from nasforge_plugins.data.synthetic.config import SyntheticConfig
from nasforge_plugins.data.synthetic.data import Synthetic
from support.odd_plugins import Stubborn, registry
from support.tiny_recipe import tiny


class OneImage(DataModule[PluginConfig]):
    task = Task(1, 2, 2)

    def sizes(self):
        return dict.fromkeys(("weights", "arch", "select", "full", "test"), 1)

    def num_batches(self, split, *, batch_size=None):
        return 1

    def batches(self, split, *, epoch=0, augment=True, batch_size=None):
        yield torch.zeros(1, 1, 2, 2), torch.zeros(1, dtype=torch.int64)


EARLIER = [stage.scope for stage in STAGES[: [stage.scope for stage in STAGES].index(TEST)]]


@pytest.mark.parametrize("scope", EARLIER, ids=lambda scope: scope.stage)
def test_the_test_split_is_locked_before_the_test_stage(scope):
    assert {"search", "derive", "train"} <= {scope.stage for scope in EARLIER}
    guarded = GuardedData(OneImage(PluginConfig()), scope, "searcher 'peeker'")
    words = r"searcher 'peeker': asked for the 'test' images in the " + scope.stage
    with pytest.raises(RunError, match=words):
        guarded.batches("test")


def test_the_test_stage_reads_nothing_else():
    guarded = GuardedData(OneImage(PluginConfig()), TEST, "train 'train'")
    assert len(list(guarded.batches("test"))) == 1
    for split in ("weights", "arch", "select", "full"):
        with pytest.raises(RunError):
            guarded.batches(split)


def test_the_whole_training_set_is_for_the_train_stage():
    assert "full" in TRAIN.reads
    assert "full" not in SEARCH.reads


def test_a_scope_without_splits_reads_nothing():
    guarded = GuardedData(OneImage(PluginConfig()), Scope("export"), "exporter 'onnx'")
    for split in ("weights", "arch", "select", "full", "test"):
        with pytest.raises(RunError, match="in the export stage, which may read: none"):
            guarded.batches(split)


def test_first_accesses_are_logged_once():
    seen = []
    guarded = GuardedData(OneImage(PluginConfig()), SEARCH, "x", seen.append)
    for split in ("weights", "weights", "arch"):
        list(guarded.batches(split))
    assert seen == ["weights", "arch"]


def context(scope):
    return Context(None, None, 0, scope.stage, None, None, splits=scope.reads)


@pytest.mark.parametrize("scope", EARLIER, ids=lambda scope: scope.stage)
def test_a_second_data_module_has_no_test_split_either(scope):
    """A component may make data anew from ``ctx.data.config`` and set it up with its own context."""
    again = OneImage(GuardedData(OneImage(PluginConfig()), scope, "x").config)
    again.setup(context(scope))
    with pytest.raises(
        AccessError, match=rf"OneImage: asked for the 'test' images in the {scope.stage} stage"
    ):
        again.batches("test")
    for split in scope.reads:
        assert len(list(again.batches(split))) == 1


def test_the_data_of_a_run_serve_every_stage():
    data = OneImage(PluginConfig())
    data.setup(Context(None, None, 0, "search", None, None))
    assert len(list(data.batches("test"))) == 1


def test_classes_of_test_images_are_not_counted_either():
    data = OneImage(PluginConfig())
    data.setup(context(SEARCH))
    with pytest.raises(AccessError, match="asked for the 'test' images"):
        data.class_counts("test")
    assert data.class_counts("arch") == (1, 0)


@pytest.mark.parametrize("scope", EARLIER, ids=lambda scope: scope.stage)
def test_no_stage_before_the_test_can_be_given_its_images(scope):
    with pytest.raises(AccessError, match=f"scope of the {scope.stage} stage: it has the split 'test'"):
        replace(scope, reads=scope.reads | {"test"})


def test_a_stage_limits_data_without_a_context():
    data = OneImage(PluginConfig())
    with reading_only("search", SEARCH.reads):
        with pytest.raises(AccessError, match="OneImage: asked for the 'test' images in the search stage"):
            data.batches("test")
        assert len(list(data.batches("arch"))) == 1
    assert len(list(data.batches("test"))) == 1


def test_a_run_in_a_search_has_no_test_images():
    data = OneImage(PluginConfig())
    with reading_only("search", SEARCH.reads):
        with reading_only("test", TEST.reads), pytest.raises(AccessError, match="which may read: none"):
            data.batches("test")
        assert len(list(data.batches("arch"))) == 1


SYNTHETIC = SyntheticConfig(num_classes=3, image_size=16, train_images=48, test_images=12, batch_size=12)


def make_again(ctx):
    data = Synthetic(SYNTHETIC)
    data.setup(ctx)
    return data


WAYS = {
    "its own context": lambda run, ctx: make_again(ctx).batches("test"),
    "a context without limits": lambda run, ctx: make_again(replace(ctx, splits=None)).batches("test"),
    "a context of the test": lambda run, ctx: make_again(
        replace(ctx, stage="test", splits=TEST.reads)
    ).batches("test"),
    "labels": lambda run, ctx: make_again(ctx).class_counts("test"),
    "arrays": lambda run, ctx: Synthetic(SYNTHETIC).load().test_images,
    "the function of the framework": lambda run, ctx: read_images(run.recipe, ctx.space, ctx.runtime).batches(
        "test"
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_searcher_with_data_of_its_own_is_stopped(tmp_path, way):
    class Smuggler(Stubborn):
        def step(self):
            WAYS[way](run, self.ctx)
            return super().step()

    recipe = check(tiny(searcher={"use": "stubborn"}, train=None), registry())
    run = Run(recipe, RunFolder(tmp_path), Runtime.create("cpu"), Observer())
    run._built = lambda table, built=run._built: (
        Smuggler(PluginConfig()) if table == "searcher" else built(table)
    )
    with pytest.raises(AccessError, match="Synthetic: asked for the 'test' images in the search stage"):
        run_stages(run)
