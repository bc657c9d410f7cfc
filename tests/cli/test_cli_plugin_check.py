import json
from dataclasses import replace
from pathlib import Path

import pytest

from nasforge.cli import run_command
from nasforge.config import PluginConfig
from nasforge.errors import DataError, PluginError
from nasforge.images import InMemoryImages
from nasforge.plugins import Plugin, Registry
from nasforge.space import TabularSpace
from nasforge.testing import ConformanceError, Partners, checks_for
from support.recipe_samples import plugin

LOSS = '''\
from torch.nn import functional as F

from nasforge import Distiller, Plugin, PluginConfig, hookimpl


class LossConfig(PluginConfig):
    weight: float = 1.0
    """Factor of the loss."""


class Loss(Distiller[LossConfig]):
    def forward(self, student, teacher, target):
        return self.config.weight * F.mse_loss(student.logits, teacher.logits.detach())


@hookimpl
def nasforge_plugins():
    return [Plugin("distiller", "mse", "loss:Loss", LossConfig)]
'''


@pytest.fixture
def loss(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "loss.py"
    path.write_text(LOSS)
    return path


def checked(capsys, *arguments):
    """Run the command; return its status and the outcomes by check."""
    status = run_command(["plugins", "check", *arguments, "--json"])
    report = json.loads(capsys.readouterr().out)
    return status, {row["check"]: row for row in report["checks"]}, report["counts"]


def test_a_good_plugin_passes_every_check(capsys):
    status, rows, counts = checked(capsys, "logits")
    assert status == 0
    assert {row["outcome"] for row in rows.values()} == {"ok"}
    assert {"listing_is_light", "state_is_restored", "identical_outputs_are_the_minimum"} <= set(rows)
    assert counts == {"ok": len(rows), "failed": 0, "waived": 0, "skipped": 0}


def test_a_file_is_checked_before_it_is_a_package(loss, capsys):
    status, rows, counts = checked(capsys, "./loss.py")
    assert status == 0
    assert rows["listing_is_light"]["outcome"] == "skipped"
    assert (counts["failed"], counts["skipped"]) == (0, 1)


def test_a_broken_rule_is_told_and_ends_with_status_1(loss, capsys):
    loss.write_text(LOSS.replace("F.mse_loss(", "-F.mse_loss("))
    assert run_command(["plugins", "check", "loss.py"]) == 1
    out = capsys.readouterr().out
    assert "  failed   identical_outputs_are_the_minimum: a student that equals its teacher has loss" in out
    assert "  ok       options_are_described\n" in out
    assert out.splitlines()[0].startswith("distiller mse (loss.py ")
    assert out.splitlines()[-1] == "11 ok, 1 failed, 1 skipped."


def test_options_can_be_set(loss, capsys):
    assert checked(capsys, "loss.py", "--set", "weight=2.0")[0] == 0
    status, rows, _ = checked(capsys, "loss.py", "--set", "weight=-1")
    assert (status, rows["identical_outputs_are_the_minimum"]["outcome"]) == (1, "failed")
    assert run_command(["plugins", "check", "loss.py", "--set", "wait=1"]) == 2
    assert "--set wait: no such option. Did you mean 'weight'?" in capsys.readouterr().err


def test_a_check_can_be_waived_with_a_reason_as_long_as_it_fails(loss, capsys):
    loss.write_text(LOSS.replace('    """Factor of the loss."""\n', ""))
    waiver = ["--waive", "options_are_described=it has one option"]
    status, rows, counts = checked(capsys, "loss.py", *waiver)
    assert (status, counts["waived"]) == (0, 1)
    assert rows["options_are_described"]["message"] == "it has one option"
    loss.write_text(LOSS)
    status, rows, _ = checked(capsys, "loss.py", *waiver)
    assert status == 1
    assert rows["options_are_described"]["message"] == "passes: remove the waiver."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["logit"], "no plugin named 'logit'. Did you mean 'logits'?"),
        (["logits", "--kind", "space"], "'logits' is a distiller, not a space."),
        (["logits", "--waive", "state_is_restored"], "a waiver needs a reason"),
        (["logits", "--waive", "state_is_restord=x"], "no such check. Did you mean 'state_is_restored'?"),
        (["./gone.py"], "./gone.py: cannot read "),
    ],
)
def test_mistakes_end_with_status_2(arguments, message, capsys):
    assert run_command(["plugins", "check", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_what_needs_an_option_that_was_not_given_is_skipped(capsys):
    status, rows, counts = checked(capsys, "npz")
    assert (status, counts["failed"]) == (0, 0)
    assert rows["options_have_defaults"]["outcome"] == "ok"  # where its file is, nobody else can know
    assert rows["splits_are_disjoint"] == {
        "plugin": "data npz",
        "check": "splits_are_disjoint",
        "outcome": "skipped",
        "message": "give --set path=…",
    }


def test_a_target_that_cannot_be_imported_is_one_failure(capsys, monkeypatch):
    gone = Plugin("distiller", "gone", "nowhere_to_be_found:Loss", origin="theirs 1.0")
    monkeypatch.setattr(Registry, "discover", lambda: Registry([gone]))
    status, rows, counts = checked(capsys, "gone")
    assert (status, counts["failed"]) == (1, 1)
    assert "cannot be loaded from 'nowhere_to_be_found:Loss'" in rows["target_can_be_imported"]["message"]
    assert rows["state_is_restored"]["outcome"] == "skipped"


def test_a_need_that_only_another_plugin_meets_is_met_or_told(capsys, monkeypatch):
    assert checked(capsys, "tabular")[0] == 0
    tabular = Registry.discover().get("evaluator", "tabular")
    needing = replace(tabular, needs=frozenset({TabularSpace}), partners={})
    monkeypatch.setattr(Registry, "discover", lambda: Registry([needing]))
    _, rows, _ = checked(capsys, "tabular")
    assert (
        rows["state_is_restored"]["message"] == "it needs a space with TabularSpace, and none is installed."
    )


def test_the_list_names_what_misbehaves_and_what_is_disabled(capsys, monkeypatch):
    registry = Registry([plugin("space", "a")])
    registry.notes = [("loud = loud (loud 1.0)", "prints 'hello' when it is listed. Remove the print.")]
    registry.disabled = ["space-darts"]
    monkeypatch.setattr(Registry, "discover", lambda: registry)
    assert run_command(["plugins", "list"]) == 0
    out = capsys.readouterr().out
    assert "\nwarnings:\n  loud = loud (loud 1.0): prints 'hello'" in out
    assert "  space 'a' (tests 1): its target 'nowhere:A' cannot be found: no module 'nowhere'.\n" in out
    assert out.endswith("\ndisabled by NASFORGE_DISABLE: space-darts\n")
    assert run_command(["plugins", "list", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [row["plugin"] for row in report["warnings"]] == ["loud = loud (loud 1.0)", "space 'a' (tests 1)"]
    assert report["disabled"] == ["space-darts"]


def test_images_that_are_not_here_are_no_fault_of_the_plugin(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Registry, "discover", lambda: Registry([plugin_of("data", "Gone")]))
    status, rows, counts = checked(capsys, "gone")
    assert (status, counts["failed"]) == (0, 0)
    told = {row["message"] for row in rows.values() if row["outcome"] == "skipped"}
    assert told == {"its images are not here, or need options: data.root: nothing there. Download it."}


def plugin_of(kind, name):
    return Plugin(kind, name.lower(), f"{__name__}:{name}", origin="theirs 1.0")


class Gone(InMemoryImages):
    def load(self):
        raise DataError("data.root: nothing there. Download it.")


def test_all_plugins_are_checked_and_only_what_is_not_ok_is_told(capsys, monkeypatch):
    installed = Registry.discover()
    few = [installed.get("distiller", "logits"), installed.get("data", "npz"), plugin_of("data", "Gone")]
    broken = Plugin("distiller", "broken", "nowhere_to_be_found:Loss", origin="theirs 1.0")
    monkeypatch.setattr(Registry, "discover", lambda: Registry(few))
    assert run_command(["plugins", "check", "--all"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" (")[0] for line in lines if line[0] != " "][:-1] == [
        "data gone",
        "data npz",
        "distiller logits",
    ]
    assert not [line for line in lines if line.startswith("  ok ")]
    assert "  skipped  15 checks: give --set path=…" in lines
    monkeypatch.setattr(Registry, "discover", lambda: Registry([*few, broken]))
    assert run_command(["plugins", "check", "--all", "--kind", "distiller", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["counts"]["failed"] == 1
    assert {row["plugin"] for row in report["checks"]} == {"distiller logits", "distiller broken"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a NAME, or --all"),
        (["logits", "--all"], "give a NAME, or --all"),
        (["--all", "--set", "weight=2"], "--all without --set"),
        (["--all", "--kind", "distler"], "--kind distler: no such kind. Did you mean 'distiller'?"),
    ],
)
def test_all_and_a_name_exclude_each_other(arguments, message, capsys):
    assert run_command(["plugins", "check", *arguments]) == 2
    assert message in capsys.readouterr().err


PRICES = """\
from nasforge import Evaluation, EvaluatorConfig, Evaluator, Plugin, hookimpl

PRICES = {"none": 0, "skip_connect": 1, "nor_conv_1x1": 2, "nor_conv_3x3": 3, "avg_pool_3x3": 4}


class PricesConfig(EvaluatorConfig):
    def reports(self):
        return frozenset()


class Prices(Evaluator[PricesConfig]):
    def evaluate(self, arch, *, budget=None):
        return Evaluation(arch, float(sum(PRICES[arch[name][0]] for name in arch)), 1.0, {})


@hookimpl
def nasforge_plugins():
    return [Plugin("evaluator", "prices", "prices:Prices", PricesConfig, needs=frozenset({"space"}))]
"""


@pytest.fixture
def prices(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "prices.py"
    path.write_text(PRICES)
    return path


def test_an_evaluator_of_one_space_is_checked_with_it(prices, capsys):
    status, rows, _ = checked(capsys, "prices.py")
    assert status == 1
    assert "KeyError" in rows["evaluations_are_complete"]["message"]
    assert checked(capsys, "prices.py", "--with", "space=nasbench201")[0] == 0
    prices.write_text(PRICES.replace("needs=", 'partners={"space": "nasbench201"}, needs='))
    assert checked(capsys, "prices.py")[0] == 0


def test_the_way_out_is_told(prices, capsys):
    assert run_command(["plugins", "check", "prices.py"]) == 1
    assert "works with one plugin alone, name that one: --with space=NAME" in capsys.readouterr().out
    assert run_command(["plugins", "check", "prices.py", "--with", "space=nasbench201"]) == 0
    assert "--with" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("space", "--with space: write KIND=NAME, such as space=my-space."),
        ("spaces=nasbench201", "no such kind of partner. Did you mean 'space'?"),
        ("space=nasbench20", "Did you mean 'nasbench201'?"),
        ("data=npz", "its tiny options do not suffice"),
    ],
)
def test_partners_that_are_not_there(prices, capsys, written, message):
    assert run_command(["plugins", "check", "prices.py", "--with", written]) == 2
    assert message in capsys.readouterr().err


def test_debug_shows_the_traceback_of_a_failed_check(prices, capsys):
    assert run_command(["plugins", "check", "prices.py"]) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert run_command(["plugins", "check", "prices.py", "--debug"]) == 1
    told = capsys.readouterr().err
    assert "Traceback" in told
    assert "in evaluate" in told
    assert "KeyError" in told


def test_partners_in_python():
    plugin = Registry.discover().get("evaluator", "tabular")
    by_name = replace(plugin, partners={"space": "nasbench201"})
    for check in checks_for(by_name):
        if check.name == "evaluations_are_complete":
            check()
    assert Partners.named({"space": "darts"}).space().choices[0].name
    with pytest.raises(PluginError, match="no such kind of partner"):
        Partners.named({"observer": "csv"})


def test_a_default_that_recipes_refuse_is_a_broken_rule():
    class Wrong(PluginConfig):
        folder: Path = "text"
        """A folder."""
        count: int = "3"
        """A number."""

    checks = {c.name: c for c in checks_for(Plugin("distiller", "wrong", "nowhere:Loss", Wrong))}
    with pytest.raises(ConformanceError, match="count must be a whole number"):
        checks["options_have_defaults"]()
