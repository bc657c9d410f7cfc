"""Files about the project itself: versions that agree, links that lead somewhere, hooks that exist."""

import tomllib
from pathlib import Path

import pytest

import nasforge

ROOT = Path(__file__).parents[1]

yaml = pytest.importorskip("yaml", reason="the extra docs brings a YAML reader")


def read(name: str):
    path = ROOT / name
    if not path.exists():
        pytest.skip(f"{name} belongs to a checkout")
    return yaml.safe_load(path.read_text("utf8"))


def test_the_citation_is_of_this_version():
    citation = read("CITATION.cff")
    assert citation["version"] == nasforge.__version__
    assert (citation["cff-version"], citation["title"], citation["license"]) == ("1.2.0", "nasforge", "MIT")
    assert [(r["title"].partition(":")[0], r["year"]) for r in citation["references"]] == [
        ("Cyclic Differentiable Architecture Search", 2023),
        ("NAS-Bench-201", 2020),
    ]


def test_what_the_source_distribution_names_is_there():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))
    named = project["tool"]["hatch"]["build"]["targets"]["sdist"]["only-include"]
    assert {"CITATION.cff", "SECURITY.md"} <= set(named)
    assert not [name for name in named if not (ROOT / name).exists()]


@pytest.mark.parametrize(("workflow", "script"), [("ci.yml", "run"), ("nightly.yml", "nightly")])
def test_workflows_run_the_scripts_of_the_project(workflow, script):
    (job,) = read(f".github/workflows/{workflow}")["jobs"].values()
    python = next(step["with"]["python-version"] for step in job["steps"] if "with" in step)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["project"]
    assert project["requires-python"] == f">={python}"
    assert job["steps"][-1]["run"] == f"bash .ci/{script}"
    assert (ROOT / ".ci" / script).exists()


def test_hooks_before_commits_are_those_of_the_dev_extra():
    (local,) = read(".pre-commit-config.yaml")["repos"]
    assert local["repo"] == "local"
    tools = {hook["entry"].split()[0] for hook in local["hooks"]}
    assert tools == {".venv/bin/ruff", ".venv/bin/mypy"}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["project"]["optional-dependencies"]
    assert all(any(line.startswith(Path(tool).name) for line in extras["dev"]) for tool in tools)


def test_publishing_needs_no_secret_and_follows_an_installation():
    jobs = read(".github/workflows/publish.yml")["jobs"]
    may_write = {name for name, job in jobs.items() if "permissions" in job}
    assert may_write == {"publish"}
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert jobs["publish"]["needs"] == "install"
    assert jobs["install"]["needs"] == "build"
    assert "secrets." not in (ROOT / ".github/workflows/publish.yml").read_text("utf8")


def test_releases_are_installed_on_every_python_of_the_classifiers():
    matrix = read(".github/workflows/publish.yml")["jobs"]["install"]["strategy"]["matrix"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["project"]
    named = [line.rpartition(" ")[2] for line in project["classifiers"] if ":: Python :: 3." in line]
    assert matrix["python-version"] == named
