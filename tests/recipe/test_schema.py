import json
import os
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import nasforge
from nasforge.cli import run_command
from nasforge.config import PluginConfig, sub_tables
from nasforge.plugins import Plugin, Registry
from nasforge.recipe import registry_for
from nasforge.recipe.draft import TOP_TABLES
from nasforge.recipe.schema import recipe_schema
from nasforge.recipe.shipped import shipped_recipes
from support.generated_plugins import run_python
from support.recipe_samples import REGISTRY

jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")

ROOT = Path(nasforge.__file__).parents[1]
INSTALLED = Registry.discover()
SCHEMA = recipe_schema(INSTALLED)
FOLDER = shipped_recipes()[0].path.parent
SHIPPED = [path for path in FOLDER.rglob("*.toml") if path.parent != FOLDER / "start"]
EXAMPLES = [path for path in sorted((ROOT / "examples").rglob("*.toml")) if path.name != "pyproject.toml"]


def mistakes(text, schema=SCHEMA):
    return list(jsonschema.Draft7Validator(schema).iter_errors(tomllib.loads(text)))


def test_it_is_a_schema_of_draft_7():
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert set(SCHEMA["properties"]) == {"extends", "profiles", *TOP_TABLES}
    text = json.dumps(SCHEMA)
    assert '"null"' not in text
    assert "prefixItems" not in text
    for reference in {part.partition('"')[0] for part in text.split('"$ref": "')[1:]}:
        assert reference.removeprefix("#/definitions/") in SCHEMA["definitions"]


def test_all_shipped_recipes_were_found():
    assert len(SHIPPED) > len(shipped_recipes()) > 5


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_recipes_are_valid(path):
    assert mistakes(path.read_text(encoding="utf8")) == []


LIBRARIES = {"mlflow_tracking": "mlflow", "wandb_tracking": "wandb"}
"""What an example needs and nasforge's tests do not bring."""


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_examples_are_valid_with_the_plugins_they_bring(path, monkeypatch):
    if library := LIBRARIES.get(path.parent.name):
        pytest.importorskip(library, reason=f"{library} is not installed")
    text, registry = path.read_text(encoding="utf8"), registry_for(path, INSTALLED)
    for code in path.parent.glob("src/*/plugin.py"):
        monkeypatch.syspath_prepend(str(code.parents[1]))
        registry = registry.extended(import_module(f"{code.parent.name}.plugin").nasforge_plugins())
    assert mistakes(text, recipe_schema(registry)) == []
    if "observers" not in text:  # the label of an observer is free, because its table may have `use`
        assert mistakes(text)  # which are not installed


@pytest.mark.parametrize(
    "text",
    [
        '[space]\nuse = "cells"\ncells = 3\nchannels = [16, 32]',
        "[space]\ncells = 3",
        '[data]\nuse = "toys"\nmean = [0.1, 0.2]\nroot = "a/b"',
        '[train]\nuse = "train"\ndecay = 0.1\n[train.distiller]\nuse = "logits"',
        '[train]\ndecay = "by_size"\n[train.distiller]\ntemperature = 2.0',
        'extends = ["quickstart"]\n[profiles.smoke.data]\nrotate = 1\n[profiles.big.run]\nseed = 1',
        '[plugins]\nmodules = ["./a.py"]',
        '[plugins]\nmodules = "./a.py"',
        '[run]\nobservers = ["bars", "csv"]\n[observers.csv]\nevery = 3',
        '[observers.csv]\nuse = "csv"\nevery = 3',
        '[observers.csv]\nuse = "mail"\nfile = "x"',
        '[observers.rare]\nuse = "csv"\nevery = 3',
        "[observers.rare]\nevery = 3",
        "[profiles.smoke.observers.csv]\nevery = 3",
    ],
)
def test_parts_of_recipes_are_valid(text):
    assert mistakes(text, recipe_schema(REGISTRY)) == []


@pytest.mark.parametrize(
    "text",
    [
        '[spaces]\nuse = "cells"',
        '[space]\nuse = "cell"',
        '[space]\nuse = "logits"',
        '[space]\nuse = "cells"\ncels = 3',
        "[space]\ncels = 3",
        '[space]\nuse = "cells"\ncells = 0',
        '[space]\nuse = "cells"\ncells = "3"',
        '[space]\nuse = "cells"\nstem = "big"',
        '[space]\nuse = "chain"\ncells = 3',
        '[space]\nuse = "cells"\ndropout = 1.0',
        "[run]\ndevise = 'cpu'",
        "[run]\nprecision = 'fp61'",
        '[evaluator]\nuse = "train"\n[evaluator.distiller]\nuse = "logits"',
        '[train]\nuse = "train"\n[train.distiller]\nuse = "train"',
        "[profiles.smoke]\nseed = 1",
        "[profiles.smoke.spaces]\ncells = 3",
        "[plugins]\nmodule = './a.py'",
        "extends = 3",
        "[observers.csv]\nevry = 3",
        "[observers.csv]\nevery = 0",
        '[observers.csv]\nfile = "x"',
        '[observers.csv]\nuse = "mail"\nevery = 3',
        '[observers.rare]\nuse = "csv"\nevry = 3',
        '[observers.rare]\nuse = "toys"',
        "observers = ['csv']",
        "[run]\nobservers = 'csv'",
    ],
)
def test_mistakes_are_found(text):
    assert mistakes(text, recipe_schema(REGISTRY))


@pytest.mark.parametrize("plugin", list(INSTALLED), ids=lambda p: f"{p.kind}-{p.name}")
def test_every_option_is_described_with_its_default(plugin):
    variants = SCHEMA["definitions"][plugin.kind]["oneOf"]
    (variant,) = [v for v in variants if v["title"] == plugin.name]
    assert variant["description"] == plugin.summary
    assert set(variant["properties"]) - {"base"} == {"use", *plugin.config.model_fields}
    options_are_described(variant["properties"], plugin.config)


def options_are_described(properties, config):
    inner = sub_tables(config)
    for name, field in config.model_fields.items():
        option = properties[name]
        assert option["description"] == " ".join((field.description or "").split())
        if name in inner:
            (reference,) = option["allOf"]
            table = SCHEMA["definitions"][reference["$ref"].removeprefix("#/definitions/")]
            assert table["additionalProperties"] is False
            assert set(table["properties"]) == set(inner[name].model_fields)
            options_are_described(table["properties"], inner[name])
        elif field.default is not None and not field.is_required():
            assert "default" in option


def test_names_that_are_claimed_twice_are_left_out():
    one, two = (Plugin("space", "a", "x:Y", origin=origin) for origin in ("one", "two"))
    schema = recipe_schema(Registry([one, two, Plugin("space", "b", "x:Y")]))
    assert [v["title"] for v in schema["definitions"]["space"]["oneOf"]][:-1] == ["b"]


def test_options_that_json_has_no_word_for_are_left_open():
    class Odd(PluginConfig, arbitrary_types_allowed=True):
        registry: Registry | None = None

    with pytest.warns(UserWarning, match=r"space 'odd' \(\?\): its options are left out of the schema"):
        schema = recipe_schema(Registry([Plugin("space", "odd", "x:Y", Odd)]))
    assert mistakes('[space]\nuse = "odd"\nanything = 3', schema) == []


def test_nested_options_of_two_plugins_do_not_clash():
    def config(kind):
        class Inner(PluginConfig):
            value: kind = kind()

        class Outer(PluginConfig):
            inner: Inner = Inner()

        return Outer

    plugins = [Plugin("space", name, "x:Y", config(kind)) for name, kind in (("a", int), ("b", str))]
    schema = recipe_schema(Registry(plugins))
    assert mistakes('[space]\nuse = "a"\ninner = {value = 3}', schema) == []
    assert mistakes('[space]\nuse = "b"\ninner = {value = "x"}', schema) == []
    assert mistakes('[space]\nuse = "a"\ninner = {value = "x"}', schema)


def test_the_command_prints_or_writes_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_command(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == SCHEMA
    for _ in range(2):
        assert run_command(["schema", "--out", "deep/nasforge.schema.json"]) == 0
        assert "#:schema ./nasforge.schema.json" in capsys.readouterr().out
    assert json.loads((tmp_path / "deep" / "nasforge.schema.json").read_text()) == SCHEMA
    (tmp_path / "mine.json").write_text('{"title": "mine"}')
    assert run_command(["schema", "--out", "mine.json"]) == 2
    assert "exists and is not a schema of recipes" in capsys.readouterr().err
    assert (tmp_path / "mine.json").read_text() == '{"title": "mine"}'


def test_the_command_knows_the_modules_of_a_recipe(capsys):
    (example,) = [path for path in EXAMPLES if path.parent.name == "mobilenet_chain"]
    assert run_command(["schema", "--recipe", str(example)]) == 0
    assert '"const": "mobilenet-chain"' in capsys.readouterr().out


def test_the_command_imports_nothing_heavy(tmp_path):
    code = (
        "import sys\nfrom nasforge.cli import run_command\n"
        "assert run_command(['schema', '-o', 'x.json']) == 0\n"
        "assert not {'torch', 'numpy', 'sklearn'} & set(sys.modules)"
    )
    done = run_python(["-c", code], tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def taplo(tmp_path):
    """Lint TOML files with Taplo, which editors for TOML use; it is on PyPI."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    program = shutil.which("taplo", path=path)
    if program is None:
        pytest.skip("taplo is not installed")

    def lint(*arguments):
        command = [program, "lint", *map(str, arguments)]
        return subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True)

    return lint


def test_taplo_reads_it(taplo, tmp_path):
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    given = ["--schema", (tmp_path / "schema.json").as_uri()]
    done = taplo(*given, *SHIPPED)
    assert done.returncode == 0, done.stderr
    (tmp_path / "wrong.toml").write_text('[space]\nuse = "darts"\ncels = 3\n')
    done = taplo(*given, "wrong.toml")
    assert done.returncode != 0
    assert "cels" in done.stderr


def test_taplo_finds_it_by_the_first_line_of_a_recipe(taplo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_command(["schema", "--out", "nasforge.schema.json"]) == 0
    for path in SHIPPED:
        (tmp_path / path.name).write_text(f"#:schema ./nasforge.schema.json\n{path.read_text('utf8')}")
    done = taplo(*(path.name for path in SHIPPED))
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "quickstart.toml").read_text()
    (tmp_path / "quickstart.toml").write_text(text.replace("[searcher]", "[searcher]\niteratons = 3"))
    done = taplo("quickstart.toml")
    assert done.returncode != 0
    assert "iteratons" in done.stderr
