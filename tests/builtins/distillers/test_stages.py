import pytest
import torch
from torch import nn

from nasforge.cost import count_parameters
from nasforge.errors import RecipeError
from nasforge.nn import FeatureInfo, Output
from nasforge.space import Task
from nasforge_plugins.distillers.stages.config import StagesConfig
from nasforge_plugins.distillers.stages.distiller import StagesDistiller
from nasforge_plugins.distillers.stages.head import EmbeddingHead
from nasforge_plugins.distillers.stages.losses import distance

CIFAR = (FeatureInfo(128, 2), FeatureInfo(256, 4), FeatureInfo(256, 4))


def answer() -> tuple[torch.Tensor, torch.Tensor]:
    steps = torch.arange(12, dtype=torch.float32)
    student, teacher = (steps / 10).view(3, 4), torch.sin(0.7 * steps - 2).view(3, 4)
    return student.requires_grad_(), teacher.requires_grad_()


def outputs(features=CIFAR, size=32, classes=10, batch=2):
    def one() -> Output:
        maps = tuple(torch.randn(batch, f.channels, size // f.stride, size // f.stride) for f in features)
        return Output(torch.randn(batch, classes, requires_grad=True), maps)

    return one(), one(), torch.zeros(batch, dtype=torch.long)


def bound(features=CIFAR, teacher=None, task=None, **options) -> StagesDistiller:
    distiller = StagesDistiller(StagesConfig(**options))
    distiller.bind(features, teacher or features, task or Task())
    return distiller


@pytest.mark.parametrize(
    ("kind", "reduction", "expected"),
    [("kl", "mean", 0.0130455), ("kl", "batchmean", 0.0521822), ("smooth_l1", "mean", 2.0865421)],
)
def test_published_values_of_the_loss(kind, reduction, expected):
    with torch.no_grad():
        assert float(distance(kind, *answer(), 2.0, reduction)) == pytest.approx(expected, rel=1e-5)


def test_mse_and_cosine_by_hand():
    student, teacher = torch.tensor([[3.0, 4.0]]), torch.tensor([[4.0, 3.0]])
    assert float(distance("mse", student, teacher, 2.0)) == pytest.approx(4 * 1.0)
    assert float(distance("cosine", student, teacher, 2.0)) == pytest.approx(-4 * 24 / 25)


def test_the_smallest_norm_of_a_cosine_is_the_published_one():
    student, teacher = torch.tensor([[1e-7, 0.0]]), torch.tensor([[1.0, 0.0]])
    # Published: 1e-6; the norm of the student is cut to that.
    assert distance("cosine", student, teacher, 1.0).item() == pytest.approx(-0.1, rel=1e-4)


def test_kl_teaches_both_ways():
    student, teacher = answer()
    distance("kl", student, teacher, 2.0).backward()
    assert float(student.grad.abs().sum()) == pytest.approx(0.06684, abs=5e-6)
    assert float(teacher.grad.abs().sum()) == pytest.approx(0.06659, abs=5e-6)


@pytest.mark.parametrize(
    ("features", "size", "classes", "counts"),
    [
        (CIFAR, 32, 10, [417_290, 433_674]),
        (
            (FeatureInfo(128, 16), FeatureInfo(256, 32), FeatureInfo(256, 32)),
            224,
            1000,
            [1_178_600, 1_194_984],
        ),
        ((FeatureInfo(32, 2), FeatureInfo(64, 4), FeatureInfo(64, 4)), 32, 10, [405_002, 409_098]),
    ],
)
def test_published_sizes_of_the_heads(features, size, classes, counts):
    distiller = bound(features, task=Task(image_size=size, num_classes=classes))
    assert [count_parameters(head) for head in distiller.student_heads] == counts
    assert distiller.ensemble.shape == (3,)


def test_published_pooling_windows():
    def windows(features, size):
        heads = bound(features, task=Task(image_size=size)).student_heads
        return [m.kernel_size for m in heads.modules() if isinstance(m, nn.AvgPool2d)]

    assert windows(CIFAR, 32) == [6, 6]
    assert windows((FeatureInfo(8, 16), FeatureInfo(8, 32), FeatureInfo(8, 32)), 224) == [6, 5]


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5, 7, 8, 13, 16])
@pytest.mark.parametrize("pool", [None, 14])
def test_heads_fit_every_side(side, pool):
    head = EmbeddingHead(4, side, 10, pool)
    assert head(torch.randn(2, 4, side, side)).shape == (2, 10)


def test_concatenation_has_one_row_per_depth_and_image():
    student, teacher, target = outputs(batch=2)
    distiller = bound()
    embedded = distiller.embed(student, distiller.student_heads)
    assert embedded.shape == (3 * 2, 10)
    share = distiller.ensemble.softmax(0)[2]
    torch.testing.assert_close(embedded[4:], share * student.logits)
    assert distiller(student, teacher, target).shape == ()


def test_sum_adds_the_depths():
    student, _, _ = outputs(batch=2)
    distiller = bound(combine="sum").eval()
    stacked = bound().eval()
    stacked.load_state_dict(distiller.state_dict())
    rows = stacked.embed(student, stacked.student_heads).view(3, 2, 10)
    torch.testing.assert_close(distiller.embed(student, distiller.student_heads), rows.sum(0))


def test_heads_are_shared_where_the_features_agree():
    wider = (CIFAR[0], FeatureInfo(64, 4), CIFAR[2])
    distiller = bound(CIFAR, wider)
    assert distiller.student_heads[0] is distiller.teacher_heads[0]
    assert distiller.student_heads[1] is not distiller.teacher_heads[1]
    assert count_parameters(distiller) == 417_290 + 433_674 + 409_098 + 3


def test_ensemble_starts_between_zero_and_a_third_and_learns():
    distiller = bound()
    assert 0 <= distiller.ensemble.min().item() <= distiller.ensemble.max().item() < 0.333
    distiller(*outputs()).backward()
    assert float(distiller.ensemble.grad.abs().sum()) > 0


def test_fixed_ensemble_and_frozen_heads_have_nothing_to_train():
    distiller = bound(learn_ensemble=False, freeze_heads=True)
    assert not [p for p in distiller.parameters() if p.requires_grad]
    torch.testing.assert_close(distiller.ensemble.softmax(0), torch.full((3,), 1 / 3))


@pytest.mark.parametrize("detach", [False, True])
def test_detached_teacher_learns_nothing(detach):
    student, teacher, target = outputs()
    bound(detach_teacher=detach)(student, teacher, target).backward()
    assert student.logits.grad is not None
    assert (teacher.logits.grad is None) is detach


def test_taps_choose_the_features():
    distiller = bound(taps=[1])
    student, _, _ = outputs()
    assert distiller.embed(student, distiller.student_heads).shape == (4, 10)
    assert [count_parameters(h) for h in distiller.student_heads] == [433_674]


def test_wrong_taps_and_sizes_are_named_together():
    with pytest.raises(RecipeError, match=r"taps: \[7\] do not exist") as caught:
        bound(taps=[0, 7], pool_sizes=[6])
    assert "1 sizes for 2 heads" in str(caught.value)


def test_networks_without_features_match_logits_alone():
    distiller = bound((), ())
    student = Output(torch.randn(2, 10))
    torch.testing.assert_close(distiller.embed(student, distiller.student_heads), student.logits)
