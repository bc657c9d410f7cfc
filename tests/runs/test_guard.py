import pytest
import torch

from nasforge.config import PluginConfig
from nasforge.data import DataModule
from nasforge.errors import RunError
from nasforge.runs.guard import GuardedData
from nasforge.runs.scope import SEARCH, TEST, TRAIN, Scope
from nasforge.space import Task
from nasforge.stages import STAGES


class OneImage(DataModule[PluginConfig]):
    task = Task(1, 2, 2)

    def sizes(self):
        return dict.fromkeys(("weights", "arch", "select", "full", "test"), 1)

    def num_batches(self, split, *, batch_size=None):
        return 1

    def batches(self, split, *, epoch=0, augment=True, batch_size=None):
        yield torch.zeros(1, 1, 2, 2), torch.zeros(1, dtype=torch.int64)


EARLIER = [stage.scope for stage in STAGES if stage.scope != TEST]


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
