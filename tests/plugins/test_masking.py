"""Values of options that look like secrets are not shown."""

import tomllib

import pytest

from nasforge.observer import Observer, Observers
from nasforge.plugins.masking import mask_options, mask_secrets, mask_text


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


def test_keys_in_quotes_are_masked_too():
    word = 'observers.post.headers={Accept = "x", "Authorization" = "abc"}'
    assert mask_secrets([word]) == ['observers.post.headers={Accept = "x", "Authorization" =***']


TABLES = {
    "run": {"name": "token"},
    "observers": {"post": {"token": "abc", "tokens": 5, "headers": {"X-Api-Key": "abc"}, "secret": ""}},
    "data": {"passwords": ["abc", "def"]},
}
MASKED = {
    "run": {"name": "token"},
    "observers": {"post": {"token": "***", "tokens": 5, "headers": {"X-Api-Key": "***"}, "secret": ""}},
    "data": {"passwords": ["***", "***"]},
}


def test_options_are_masked_by_name_and_only_texts():
    assert mask_options(TABLES) == MASKED
    assert mask_options("abc", "data.token") == "***"


def test_observers_get_masked_options():
    class Notes(Observer):
        def run_start(self, name, resolved):
            self.seen = resolved

    notes = Notes()
    Observers([notes]).run_start("x", TABLES)
    assert notes.seen == MASKED


@pytest.mark.parametrize(
    "value",
    ['"abc"', "'abc'", r'"a\"bc"', '"""a\n"b" abc"""', "'''abc\n'''", '["abc", "def"]', '[\n  "abc",\n]'],
)
def test_recipes_are_shown_without_secrets(value):
    text = f'[observers.post]\nurl = "u"  # a token of yours\napi_key = {value}\nretries = 3\n'
    assert tomllib.loads(text)
    assert mask_text(text) == text.replace(value, '"***"')


@pytest.mark.parametrize("text", ["tokens = 49\n", '[token]\nx = "abc"\n', '# token\nname = "token"\n'])
def test_other_text_of_recipes_stays(text):
    assert mask_text(text) == text
