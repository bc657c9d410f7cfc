import pytest
import torch

from nasforge.component import Context
from nasforge.config import PluginConfig
from nasforge.data import DataModule
from nasforge.errors import AccessError, RunError
from nasforge.observer import Observer
from nasforge.recipe import check
from nasforge.runs.folder import RunFolder
from nasforge.runs.guard import GuardedData
from nasforge.runs.scope import SEARCH, TEST, TRAIN, Scope
from nasforge.runtime import Runtime
from nasforge.space import Task
from nasforge.stages import STAGES
from nasforge.stages.runner import Run, run_stages
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


def test_a_searcher_with_data_of_its_own_is_stopped(tmp_path):
    class Smuggler(Stubborn):
        def step(self):
            data = type(self.ctx.data._data)(self.ctx.data.config)  # as if imported from its plugin
            data.setup(self.ctx)
            next(iter(data.batches("test")))
            return super().step()

    recipe = check(tiny(searcher={"use": "stubborn"}, train=None), registry())
    run = Run(recipe, RunFolder(tmp_path), Runtime.create("cpu"), Observer())
    run._built = lambda table, built=run._built: (
        Smuggler(PluginConfig()) if table == "searcher" else built(table)
    )
    with pytest.raises(AccessError, match="asked for the 'test' images in the search stage"):
        run_stages(run)
