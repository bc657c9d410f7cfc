from itertools import product
from random import Random
from typing import Any, get_args

import numpy as np
import pytest

from nasforge.arch import Arch, Choice
from nasforge.errors import RunError
from nasforge_plugins.predictors.agreement import held_out, rank_correlations
from nasforge_plugins.predictors.encodings import Encoding, one_hot
from nasforge_plugins.predictors.models import MODELS, Ensemble
from nasforge_plugins.predictors.options import PredictorName
from nasforge_plugins.spaces.darts.config import DartsConfig
from nasforge_plugins.spaces.darts.space import DartsSpace
from nasforge_plugins.spaces.nasbench201.config import NasBench201Config
from nasforge_plugins.spaces.nasbench201.space import NasBench201
from support.toy_table import ToySpace

CELLS = NasBench201(NasBench201Config())


def test_every_option_has_a_number_in_the_encoding() -> None:
    choices = (Choice("a", ("x", "y", "z"), k=2), Choice("b", ("x", "y")))
    archs = [Arch({"a": ("z", "x"), "b": "y"}), Arch({"a": ("x", "y"), "b": "x"})]
    assert one_hot(choices, archs).tolist() == [[1, 0, 1, 0, 1], [1, 1, 0, 1, 0]]


def test_paths_of_a_nasbench201_cell() -> None:
    arch = CELLS.arch(("nor_conv_3x3", "none", "skip_connect", "avg_pool_3x3", "none", "nor_conv_1x1"))
    assert CELLS.paths(arch) == ("avg_pool_3x3", "nor_conv_3x3>skip_connect>nor_conv_1x1")
    assert CELLS.paths(CELLS.arch(["none"] * 6)) == ()
    assert len(CELLS.paths(CELLS.arch(["nor_conv_3x3"] * 6))) == 3  # two of the four have equal operations


def test_all_paths_of_nasbench201_are_those_of_the_paper_without_none() -> None:
    paths = {path for arch in CELLS.enumerate() for path in CELLS.paths(arch)}
    assert len(paths) == 4 + 4**2 + 4**3


def test_paths_of_a_darts_cell_end_at_every_node() -> None:
    space = DartsSpace(DartsConfig())
    paths = space.paths(space.parse("DARTS_V1"))
    assert {path.partition(">")[0] for path in paths} == {
        "normal/in0",
        "normal/in1",
        "reduce/in0",
        "reduce/in1",
    }
    assert "normal/in1>sep_conv_3x3" in paths
    assert not any("none" in path for path in paths)
    assert len(paths) == len(set(paths))
    assert "normal/in0>sep_conv_3x3>skip_connect" in paths  # through a node


def test_path_columns_are_those_of_the_fitted_architectures() -> None:
    encoding, rng = Encoding(CELLS, "path"), Random(0)
    archs = [CELLS.sample(rng) for _ in range(20)]
    rows = encoding.fit(archs[:10])
    assert rows.sum(1).tolist() == [len(CELLS.paths(arch)) for arch in archs[:10]]
    assert rows.any(0).all()
    assert encoding.encode(archs[10:]).shape == (10, rows.shape[1])
    assert np.array_equal(encoding.encode(archs[:10]), rows)


def test_a_space_without_paths_is_told() -> None:
    with pytest.raises(RunError, match=r"ToySpace is not a space of cells.*Set encoding = 'one-hot'"):
        Encoding(ToySpace(), "path")


# In the published order, in which the first operation of a path varies fastest.
PUBLISHED = [
    path[::-1]
    for length in (1, 2, 3)
    for path in product(
        ("avg_pool_3x3", "nor_conv_1x1", "nor_conv_3x3", "none", "skip_connect"), repeat=length
    )
]


def test_truncated_paths_against_a_list_of_all_paths() -> None:
    assert len(PUBLISHED) == 155
    archs = list(CELLS.enumerate())[::40]
    expected = np.zeros((len(archs), 155))
    for row, arch in zip(expected, archs, strict=True):
        to1, to2, from1to2, to3, from1to3, from2to3 = CELLS.operations(arch)
        for path in ((to3,), (to1, from1to3), (to2, from2to3), (to1, from1to2, from2to3)):
            row[PUBLISHED.index(path)] = 1.0
    assert np.array_equal(Encoding(CELLS, "truncated-path").fit(archs), expected[:, :40])


@pytest.mark.parametrize(
    ("index", "positions"), [(0, (1, 25, 26, 150)), (1, (4, 17, 27, 132)), (6111, (4, 17, 12, 67))]
)
def test_path_indices_of_the_published_code(index: int, positions: tuple[int, ...]) -> None:
    """Computed once with nas_bench_201/cell.py of naszilla/bananas."""
    assert CELLS.path_indices(CELLS.parse(f"#{index}")) == positions


def test_a_space_without_an_order_of_paths_is_told() -> None:
    with pytest.raises(RunError, match=r"DartsSpace has no published order of paths.*encoding = 'path'"):
        Encoding(DartsSpace(DartsConfig()), "truncated-path")
    with pytest.raises(RunError, match="encoding = 'one-hot'"):
        Encoding(ToySpace(), "truncated-path")


def test_every_predictor_has_a_model() -> None:
    assert set(MODELS) == set(get_args(PredictorName))


@pytest.mark.parametrize("kind", list(MODELS))
def test_the_ensemble_ranks_what_it_has_not_seen(kind: Any) -> None:
    rng = np.random.default_rng(0)
    features = rng.integers(0, 2, (60, 8)).astype(float)
    scores = 90 + features @ np.arange(8)
    ensemble = Ensemble(kind, [1, 2, 3])
    ensemble.fit(features[:45], scores[:45])
    mean, deviation = ensemble.predict(features[45:])
    assert np.corrcoef(mean, scores[45:])[0, 1] > 0.7
    assert abs(mean.mean() - scores[45:].mean()) < 5
    assert (deviation > 0).any()
    again = Ensemble(kind, [1, 2, 3])
    again.fit(features[:45], scores[:45])
    assert np.array_equal(again.predict(features[45:])[0], mean)


@pytest.mark.parametrize("kind", list(MODELS))
def test_equal_scores_are_no_trouble(kind: Any) -> None:
    ensemble = Ensemble(kind, [1, 2])
    ensemble.fit(np.eye(3), np.full(3, 7.0))
    assert ensemble.predict(np.eye(3))[0].tolist() == pytest.approx([7.0, 7.0, 7.0], abs=0.2)


def test_held_out_samples_were_not_fitted_to() -> None:
    seen: list[set[int]] = []

    def predict(rest: Any, part: Any) -> Any:
        assert not set(rest) & set(part)
        assert set(rest) | set(part) == set(range(11))
        seen.append(set(part))
        return np.asarray(part, dtype=float)

    assert held_out(11, 4, 0, predict).tolist() == list(range(11))
    assert len(seen) == 4
    assert set().union(*seen) == set(range(11))


def test_rank_correlations_against_counting_pairs() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.random(9), rng.random(9)
    pairs = [(a[i] - a[j]) * (b[i] - b[j]) for i in range(9) for j in range(i)]
    ranks = [np.argsort(np.argsort(x)).astype(float) for x in (a, b)]
    tau, rho = rank_correlations(a, b)
    assert tau == pytest.approx(sum(np.sign(pairs)) / len(pairs))
    assert rho == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert rank_correlations(a, np.ones(9)) == (0.0, 0.0)
