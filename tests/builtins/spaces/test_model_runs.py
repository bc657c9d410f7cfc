"""Runs that begin with a model: search under a limit, fine-tuning taught by the original, report, export."""

import pytest

import nasforge
from nasforge.errors import RecipeError
from nasforge.plugins import Registry
from nasforge.recipe import check
from nasforge_plugins.spaces.model.config import ModelConfig
from nasforge_plugins.spaces.model.plugin import nasforge_plugins
from nasforge_plugins.spaces.model.space import ModelSpace

TINY = dict(nasforge_plugins()[0].tiny)
LIMIT = 2500


def recipe(**tables):
    return {
        "run": {"name": "shrunk", "threads": 1},
        "data": {
            "use": "synthetic",
            "num_classes": 10,
            "image_size": 8,
            "train_images": 64,
            "test_images": 20,
            "batch_size": 16,
        },
        "space": {"use": "model", **TINY},
        "constraints": {"max_params": LIMIT},
        "searcher": {"use": "evolution", "evaluations": 4, "population": 2, "tournament": 2},
        "evaluator": {"use": "supernet", "epochs": 1, "batch_size": 16},
        "train": {
            "use": "train",
            "epochs": 1,
            "batch_size": 16,
            "teacher": "baseline",
            "distiller": {"use": "stages"},
        },
        **tables,
    }


def test_a_model_becomes_smaller_and_is_taught_by_what_it_was(tmp_path):
    result = nasforge.run(recipe(), out=tmp_path)
    derived = result.results["derive"]
    assert derived["params"] <= LIMIT < derived["baseline"]["params"]
    assert derived["baseline"]["notation"] == "original"
    page = (result.folder / "report.html").read_text(encoding="utf-8")
    assert "Beside &#39;original&#39;" in page
    share = f"({100 * derived['params'] / derived['baseline']['params']:.0f} %)"
    assert share in page
    assert nasforge.load_network(result.folder).feature_info[-1].channels == 8
    # The trained original is where the next space begins.
    first = nasforge.run(
        recipe(
            run={"name": "first", "threads": 1},
            constraints={},
            searcher={"use": "fixed", "arch": "original"},
            train={"use": "train", "epochs": 1, "batch_size": 16, "distiller": {"use": "logits"}}
            | {"teacher": str(result.folder)},
        ),
        out=tmp_path,
    )
    space = ModelSpace(ModelConfig.model_validate({**TINY, "weights": str(first.folder)}))
    network = space.build(space.reference_task, space.baseline)
    trained = nasforge.load_network(first.folder)
    theirs = trained.state_dict()
    assert all(tensor.equal(theirs[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ({"space": {"use": "chain"}}, "teacher: 'baseline', but ChainSpace has none."),
        (
            {"data": {"use": "synthetic", "num_classes": 3, "image_size": 8, "batch_size": 16}},
            "teacher: 'baseline' knows 10 classes, the data has 3",
        ),
    ],
)
def test_baselines_that_cannot_teach(tmp_path, tables, told):
    changed = recipe(**tables, constraints={}, searcher={"use": "fixed", "arch": "random"})
    del changed["evaluator"]
    check(changed, Registry.discover())
    with pytest.raises(RecipeError) as error:
        nasforge.run(changed, out=tmp_path)
    assert told in str(error.value)
