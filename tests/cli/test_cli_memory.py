"""``nasforge check --memory``: amounts of memory as they are written, and what the answer names."""

import pytest

from nasforge.cli import run_command

RECIPE = """
[space]
use = "nasbench201"
search_channels = 4
search_cells = 1

[data]
use = "synthetic"
image_size = 16
batch_size = 32

[searcher]
use = "darts"
"""


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short.toml").write_text(RECIPE)


def test_check_says_what_fits_into_a_memory(capsys):
    assert run_command(["check", "short.toml", "--memory", "3 MB"]) == 0
    text = capsys.readouterr().out
    assert "to fit into 2.9 MiB, write in the recipe:\n  data.batch_size = " in text
    assert "  run.shards = " in text


def test_a_memory_that_no_batch_fits_is_said_in_words(capsys):
    assert run_command(["check", "short.toml", "--memory", "100KiB"]) == 0
    assert "# search: a batch of 1 already needs " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("24 apples", "'apples' is not a unit of memory: write MiB, GiB, MB or GB, as in 24GiB."),
        ("24", "Write its unit: 24GiB."),
        ("24gibb", "Write its unit: 24GiB."),
        (f"1{'0' * 400}TiB", "is more than any GPU has. Write an amount up to 1024TiB."),
        ("-3GiB", "Write a positive number and a unit"),
        ("0MiB", "Write a positive number and a unit"),
    ],
)
def test_memory_that_is_no_amount_is_refused(capsys, written, said):
    assert run_command(["check", "short.toml", "--memory", written]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
