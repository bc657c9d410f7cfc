"""What `nasforge new plugin` writes works at once: every check, its own tests, and a real installation."""

import subprocess
import sys

import pytest

from nasforge.plugins import KINDS
from nasforge.testing import conformance
from support.environments import new_environment, run_in, succeed
from support.generated_plugins import NAMES, fake_install, generate, run_python


def checked(kind):
    @conformance(f"nasforge.plugins.templates.{kind}.plugin")
    def test(check):
        check()

    return test


test_searcher = checked("searcher")
test_distiller = checked("distiller")
test_evaluator = checked("evaluator")
test_data = checked("data")
test_observer = checked("observer")
# The laws of a space take long; the tests of a generated one check them below.


@pytest.mark.campaign
def test_the_tests_of_new_plugins_pass(tmp_path):
    projects = [generate(tmp_path, kind) for kind in KINDS]
    paths = [path for project in projects for path in fake_install(project)]
    options = ["-v", "-p", "no:cacheprovider", "--import-mode=importlib", f"--rootdir={tmp_path}"]
    done = run_python(["-m", "pytest", *options, *map(str, projects)], tmp_path, paths)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SKIPPED" not in done.stdout
    for project in projects:
        assert f"{project.name}/tests/" in done.stdout


def test_new_plugins_are_formatted(tmp_path):
    pytest.importorskip("ruff", reason="ruff is not installed")
    for kind in KINDS:
        generate(tmp_path, kind)
    rules = ["--isolated", "--line-length", "110"]
    ruff = [sys.executable, "-m", "ruff"]
    subprocess.run([*ruff, "format", *rules, "--check", "."], check=True, cwd=tmp_path)
    subprocess.run([*ruff, "check", *rules, "--extend-select", "I,UP,B", "."], check=True, cwd=tmp_path)


@pytest.mark.campaign
def test_all_kinds_can_be_installed_at_once(tmp_path):
    """In an environment of its own that sees the packages of this one, without any download."""
    pytest.importorskip("hatchling", reason="hatchling, the build backend, is not installed")
    python = new_environment(tmp_path / "env", with_editables=True)
    projects = [generate(tmp_path, kind) for kind in KINDS]
    editable = [argument for project in projects for argument in ("-e", project)]
    succeed(run_in(python, ["-m", "pip", "install", *editable], tmp_path))
    listed = succeed(run_in(python, ["-m", "nasforge", "plugins", "list"], tmp_path))
    for kind, name in NAMES.items():
        assert f"{name} 0.1.0" in listed, kind
    assert "broken" not in listed
    project = projects[list(KINDS).index("searcher")]
    succeed(run_in(python, ["-m", "pytest", "-q", "-p", "no:cacheprovider"], project))
    succeed(run_in(python, ["-m", "nasforge", "check", "recipe.toml"], project))
