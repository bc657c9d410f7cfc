"""The manifest of a run's environment."""

import pytest

from nasforge.runtime.environment import mask_secrets


@pytest.mark.parametrize(
    "key",
    ["observers.post.api_key", "token", "observers.x.access-key", "a.DB_PASSWORD", "searcher.my_secret"],
)
def test_values_that_look_like_secrets_are_masked(key):
    assert mask_secrets(["run", "--set", f"{key}=abc=\n1", f"--set={key}=abc"]) == [
        "run",
        "--set",
        f"{key}=***",
        f"--set={key}=***",
    ]


@pytest.mark.parametrize("word", ["run.name=key", "train.epochs=3", "x.toml", "searcher.arch=token", "--set"])
def test_other_words_stay(word):
    assert mask_secrets([word]) == [word]
