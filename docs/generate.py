"""Reference pages that are written from the code while the site is built, so that they cannot go stale.

An event hook of mkdocs: see ``hooks`` in mkdocs.yml. Without mkdocs, ``pages()`` returns the same pages.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nasforge.plugins.kinds import KINDS, table_abouts

ROOT = Path(__file__).parents[1]

_SPEC = importlib.util.spec_from_file_location("docs_notebooks", ROOT / "docs" / "notebooks.py")
notebooks = importlib.util.module_from_spec(_SPEC)  # the hook is loaded by its path, so this is as well
_SPEC.loader.exec_module(notebooks)

OUTSIDE = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
"""Pages of the site that lie beside the folder of the site's sources."""

KIND_PAGES = {kind: f"reference/{info.plural}.md" for kind, info in KINDS.items()}
"""Where the plugins of a kind are described."""

SEARCH_BOOSTS = {
    **dict.fromkeys(("start/", "concepts/", "write/", "deploy.md", "runs.md", "recipes.md"), 3.0),
    **dict.fromkeys(
        ("reference/contracts.md", "reference/parts.md", "reference/nn.md", "reference/hooks.md"), 0.3
    ),
    **dict.fromkeys(("results.md", "lab-notes.md", "fidelity.md", "changelog.md", "contributing.md"), 0.3),
}
"""Weight of a page in the search, by the beginning of its path; 1 is the default. Guides come first."""

WRITTEN = "\n\n*This page is written from the code.*\n"


def pages() -> dict[str, str]:
    """Return the Markdown of every generated page, by its path below the site's sources."""
    return {
        "reference/cli.md": cli_page(),
        "reference/options.md": options_page(),
        **{page: kind_page(kind) for kind, page in KIND_PAGES.items()},
        "reference/recipes.md": recipes_page(),
        "reference/hooks.md": hooks_page(),
        "reference/errors.md": errors_page(),
        "reference/conformance.md": conformance_page(),
        **{page: outside_page(ROOT / source) for page, source in OUTSIDE.items()},
        **notebooks.notebooks(),
    }


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command of the command line with its whole name."""
    import typer.main

    from nasforge.cli.app import app

    def walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
        yield name, command
        for child, inner in getattr(command, "commands", {}).items():
            yield from walk(f"{name} {child}", inner)

    return walk("nasforge", typer.main.get_command(app))


def cli_page() -> str:
    """Describe every command with its arguments and options."""
    parts = [
        "# Command line",
        "Errors go to standard error as one paragraph, without a traceback; `--debug` shows it. The exit "
        "status is 0 if all went well, 1 for a run or a check that failed, 2 for a wrong recipe or "
        "argument, 3 for a limit that `run --strict` finds missed, and 130 if the command was interrupted. "
        "Commands with `--json` print data for programs.",
    ]
    for name, command in commands():
        about = inspect.cleandoc(command.help or "")
        parts += [f"## `{name}`", about]
        if inner := getattr(command, "commands", None):
            parts.append("Commands: " + ", ".join(f"[`{c}`](#{_slug(f'{name} {c}')})" for c in inner) + ".")
        if shown := [_parameter(p) for p in command.params if p.name != "help"]:
            parts.append(_table(("Argument or option", "Meaning", "Default"), shown))
    return "\n\n".join(parts) + WRITTEN


def options_page() -> str:
    """Describe the tables of a recipe, and the options of those that name no plugin."""
    from nasforge.recipe.schema import _PLAIN

    parts = [
        "# Tables and plugins",
        "A recipe is made of these tables. Most name a plugin by `use`; the other keys are its options. "
        "`nasforge plugins show NAME` prints them as TOML, ready to paste, also for plugins of others. "
        "[Recipes](../recipes.md) explains how tables combine.",
        "\n".join(f"- `[{table}]`: {about}" for table, about in table_abouts().items()),
    ]
    for kind, info in KINDS.items():
        page = KIND_PAGES[kind].rpartition("/")[2]
        rows = [(f"[`{p.name}`]({page}#{p.name})", p.summary) for p in builtins() if p.kind == kind]
        parts += [f"## {info.title}", _table(("Plugin", "What it is"), rows)]
    for table, config in _PLAIN.items():
        parts += [f"## `[{table}]`", _about(config), _option_table(config)]
    return "\n\n".join(parts) + WRITTEN


def kind_page(kind: str) -> str:
    """Describe every option of the plugins of a kind that come with nasforge."""
    from nasforge.plugins.capabilities import describe_need

    info = KINDS[kind]
    contract = info.contract.replace(":", ".")
    parts = [f"# {info.title}", f"{info.about} Base class: [`{contract}`](contracts.md#{contract})."]
    for plugin in builtins():
        if plugin.kind == kind:
            parts += [f"## `{plugin.name}`", f"{plugin.summary}.", _about(plugin.config)]
            needs = ", ".join(f"`{need}`" for need in sorted(map(describe_need, plugin.needs)))
            provides = ", ".join(sorted(f"`{one.__name__}`" for one in plugin.provides))
            parts += [f"Needs {needs}."] if needs else []
            parts += [f"Provides {provides}."] if provides else []
            parts.append(_option_table(plugin.config))
    return "\n\n".join(parts) + WRITTEN


def builtins() -> list[Any]:
    """Return the plugins that come with nasforge, whatever else is installed."""
    from nasforge.plugins import Registry

    found = [p for p in Registry.discover() if p.target.startswith("nasforge_plugins.")]
    if not found:
        raise RuntimeError("nasforge's own plugins are not installed here. Run: pip install -e '.[docs]'")
    return found


def recipes_page() -> str:
    """Show every recipe that comes with nasforge, and what it needs."""
    from nasforge.plugins import Registry
    from nasforge.recipe import load
    from nasforge.recipe.shipped import missing_costs, recipe_costs, shipped_recipes

    missing = missing_costs()
    (machine, costs), registry = recipe_costs(), Registry(builtins())
    parts = [
        "# Shipped recipes",
        "Run one by its name: `nasforge run NAME`, get a copy to change with `nasforge recipes copy "
        "NAME`. What was measured with them is in [Results](../results.md), what papers report in "
        "[Reproducing papers](../reproducing.md).",
        f"Times are processor time, rounded up to a second ({machine}). *Measured* is a whole run; *derived* "
        "is the number of units of work times the measured time of a unit. Time and memory on a GPU were not "
        "measured: `nasforge check NAME --deep` forecasts both for your computer.",
    ]
    for recipe in shipped_recipes():
        text = recipe.path.read_text("utf8").strip()
        profiles = ", ".join(f"`{name}`" for name in recipe.profiles)
        parts += [f"## `{recipe.name}`", recipe.summary]
        times = costs.get(recipe.name, []), missing.get(recipe.name, {})
        parts.append(_needs(load(recipe.path, registry), *times))
        parts += [f"Profiles of its own: {profiles}."] if profiles else []
        parts.append(f"```toml\n{text}\n```")
    return "\n\n".join(parts) + WRITTEN


def _needs(recipe: Any, costs: Iterable[Any], missing: Mapping[str, str]) -> str:
    """State the plugins of a recipe, the packages they need, and the times that are known."""
    from nasforge.observer import describe_duration

    tables = [t for t in ("data", "space", "searcher", "distiller", "evaluator") if t in recipe.parts]
    used = [(table, recipe.parts[table].plugin.name) for table in tables]
    links = [f"{table} [`{name}`]({KIND_PAGES[table].rpartition('/')[2]}#{name})" for table, name in used]
    found = [(c.profile, f"{describe_duration(max(1, c.seconds))} ({c.how})") for c in costs]
    found += [(profile, f"unknown ({reason.rstrip('.')})") for profile, reason in missing.items()]
    times = [f"{f'profile `{name}`' if name else 'without a profile'} {text}" for name, text in found]
    return f"Uses {', '.join(links)}. Time: {', '.join(times) or 'not measured'}."


def hooks_page() -> str:
    """Describe the hooks, the description of a plugin, and the variables of the environment."""
    from nasforge.plugins import API, Plugin
    from nasforge.plugins.hooks import GROUP

    parts = [
        "# Hooks",
        f"A distribution announces its plugins by entry points of the group `{GROUP}`, each naming a "
        "module; a recipe names modules in its table `[plugins]`. nasforge imports such a module and "
        "calls its hooks, functions decorated with `@nasforge.hookimpl`. A module that describes plugins "
        "must not import torch.",
        '```toml title="pyproject.toml"\n'
        f'[project.entry-points.{GROUP}]\nspace-my-space = "my_package.plugin"\n```',
    ]
    for name, hook in hook_functions():
        parts += [f"## `{name}`", inspect.cleandoc(hook.__doc__ or "")]
    fields = _attributes(Plugin)
    rows = [(f"`{name}`", about, _default(Plugin, name)) for name, about in fields.items()]
    parts += [
        "## What the hook returns",
        f"A list of `nasforge.Plugin`. The current interface version (`api`) is {API}; a plugin of another "
        "version is listed as broken, with what to update, and harms nothing.",
        _table(("Field", "Meaning", "Default"), rows),
        "What is wrong with a module or a description is listed by `nasforge plugins list` with its "
        "reason; the other plugins still work.",
    ]
    return "\n\n".join(parts) + WRITTEN


def hook_functions() -> list[tuple[str, Any]]:
    """Return the hooks by name."""
    from nasforge.plugins.hooks import Hooks

    return [(n, f) for n, f in vars(Hooks).items() if not n.startswith("_")]


def errors_page() -> str:
    """Describe every error that nasforge raises on purpose."""
    parts = [
        "# Errors",
        "Errors that nasforge raises on purpose are a `nasforge.NasforgeError`. The message says where, "
        "what is wrong, and what to do. The command line prints it and exits with its status.",
        _table(
            ("Error", "Meaning", "Exit status"),
            [(f"`{e.__name__}`", _first(e), str(e.exit_code)) for e in error_classes()],
        ),
        "A `RecipeError` lists everything it found in `problems`. A failed conformance check raises "
        "`nasforge.testing.ConformanceError`, an `AssertionError`.",
    ]
    return "\n\n".join(parts) + WRITTEN


def error_classes() -> list[Any]:
    """Return the family of errors, parent first."""
    from nasforge import errors
    from nasforge.runtime.distributed import LostProcessError
    from nasforge_plugins.evaluators.tabular.errors import TableError

    family = [getattr(errors, n) for n in errors.__all__ if inspect.isclass(getattr(errors, n))]
    return sorted(
        [*family, LostProcessError, TableError], key=lambda e: (e is not errors.NasforgeError, e.__name__)
    )


def conformance_page() -> str:
    """Describe every check of the conformance kit."""
    from nasforge.plugins.capabilities import kind_of
    from nasforge.testing import common
    from nasforge.testing.kit import RULES

    parts = [
        "# Conformance kit",
        "What every plugin must do, as checks that its author runs in three lines:",
        '```python title="tests/test_conformance.py"\nfrom nasforge.testing import conformance\n\n\n'
        '@conformance("my_package.plugin")\ndef test_conformance(check):\n    check()\n```',
        "or without pytest: `nasforge plugins check NAME`, or `nasforge plugins check ./my_file.py`, or "
        "`nasforge plugins check --all` for everything that is installed. A plugin is made from its options "
        "`tiny` and put together with the kit's own tiny parts.",
        "A check can be waived with a reason, by `expected_failures` of `conformance` or by `--waive "
        "CHECK=REASON`; a waived check that passes is a failure, so that waivers do not outlive their "
        "reason.",
        "## Every plugin",
        _rules(common.CHECKS),
    ]
    for need, rules in RULES.items():
        kind = KINDS[kind_of(need)].title
        title = kind if isinstance(need, str) else f"{kind} that provide `{need.__name__}`"
        parts += [f"## {title}", _rules(rules)]
    return "\n\n".join(parts) + WRITTEN


def outside_page(source: Path) -> str:
    """Return a file of the repository as a page of the site."""
    text = source.read_text("utf8").replace("](docs/", "](").replace("](README.md", "](index.md")
    return text.replace("[SECURITY.md](SECURITY.md)", "`SECURITY.md`")  # a file that is not on the site


def _rules(rules: Iterable[Any]) -> str:
    return _table(("Check", "Demands"), [(f"`{rule.__name__}`", _first(rule)) for rule in rules])


def _first(described: Any) -> str:
    return _cell(inspect.cleandoc(described.__doc__ or "").partition("\n\n")[0])


def _about(config: Any) -> str:
    return _code(inspect.cleandoc(config.__doc__ or "").partition("\n\nExamples:")[0])


def _option_table(config: Any) -> str:
    from nasforge.cli.option_text import describe_options

    return "\n\n".join(_option_tables(describe_options(config), "")) or "No options."


def _option_tables(options: list[Any], at: str) -> Iterator[str]:
    """Yield a table of the options, then one for each sub-table, under its name and description."""
    from nasforge.recipe.toml_text import to_toml

    rows = []
    for option in options:
        if "options" in option:
            continue
        default = "must be given"
        if not option["required"]:
            default = "not set" if option["default"] is None else f"`{to_toml(option['default'])}`"
        rows.append((f"`{at}{option['name']}`", option["description"], option["type"], default))
    if rows:
        yield _table(("Option", "Meaning", "Type", "Default"), rows)
    for option in options:
        if "options" in option:
            name = f"{at}{option['name']}"
            yield f"Sub-table `{name}`: {option['description']}"
            yield from _option_tables(option["options"], f"{name}.")


def _parameter(parameter: Any) -> tuple[str, str, str]:
    argument = not parameter.opts[0].startswith("-")
    metavar = parameter.metavar or ("" if getattr(parameter, "is_flag", False) else "N")
    name = metavar or parameter.name.upper() if argument else f"{', '.join(parameter.opts)} {metavar}".strip()
    default = parameter.default
    if parameter.required:
        shown = "must be given"
    elif default in (None, False, (), []) or callable(default):
        shown = ""
    else:
        shown = f"`{default}`"
    return f"`{name}`", parameter.help or "", shown


def _attributes(described: Any) -> dict[str, str]:
    """Read the section ``Attributes`` of a docstring."""
    section = inspect.cleandoc(described.__doc__ or "").partition("Attributes:\n")[2]
    found: dict[str, str] = {}
    for line in section.splitlines():
        if match := re.fullmatch(r"    (\w+): (.*)", line):
            name, found[match[1]] = match[1], match[2]
        elif line.strip() and found:
            found[name] += f" {line.strip()}"
    return {name: _code(text) for name, text in found.items()}


def _code(text: str) -> str:
    return text.replace("``", "`")


def _default(described: Any, name: str) -> str:
    import dataclasses

    field = next(f for f in dataclasses.fields(described) if f.name == name)
    if field.default_factory is not dataclasses.MISSING:
        return "empty"
    if field.default is dataclasses.MISSING:
        return "must be given"
    if isinstance(field.default, type):
        return f"`{field.default.__name__}`"
    return "empty" if field.default in ("", frozenset()) else f"`{field.default}`"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *(tuple(_cell(cell) for cell in row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return _code(" ".join(text.split())).replace("|", "\\|")


def _slug(heading: str) -> str:
    return re.sub(r"[^\w]+", "-", heading.lower()).strip("-")


def on_files(files: Any, config: Any) -> Any:
    """Give mkdocs the generated pages."""
    from mkdocs.structure.files import File

    for path, text in pages().items():
        if stub := files.get_file_from_path(path):  # a file for readers of the repository
            files.remove(stub)
        files.append(File.generated(config, path, content=text))
    files.append(File.generated(config, "llms.txt", content=llms_text(config)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Point links that leave the sources to pages of the site; weigh the page in the search."""
    boost = next((b for path, b in SEARCH_BOOSTS.items() if page.file.src_uri.startswith(path)), 1.0)
    page.meta.setdefault("search", {"boost": boost})
    up = "../" * page.file.src_uri.count("/")
    for target, source in OUTSIDE.items():
        markdown = markdown.replace(f"]({up}../{source}", f"]({up}{target}")
    markdown = re.sub(r"(\]\([\w./-]+)\.ipynb\)", r"\1.md)", markdown)  # notebooks are pages of the site
    return markdown.replace(f"]({up}../README.md", f"]({up}index.md")


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Make empty heads of tables ordinary cells, as a screen reader announces every head."""
    return re.sub(r"<th([^>]*)></th>", r"<td\1></td>", html)


def llms_text(config: Any) -> str:
    """List every page of the navigation with its first sentence, for language models (llmstxt.org)."""
    texts = {path.relative_to(ROOT / "docs").as_posix(): path for path in (ROOT / "docs").rglob("*.md")}
    written = {name: path.read_text("utf8") for name, path in texts.items()} | pages()
    lines = [
        "# nasforge",
        "",
        f"> {config['site_description']}. Each page is a path below {config['site_url'] or './'}",
    ]
    for section in config["nav"]:
        ((title, entries),) = section.items()
        lines += ["", f"## {title}", ""]
        for page in _leaves(entries):
            name, about = _heading_and_summary(written[page])
            address = re.sub(r"(index)?\.md$", "/", page).lstrip("/")
            lines.append(f"- [{name}]({config['site_url'] or './'}{address}): {about}")
    return "\n".join(lines) + "\n"


def _leaves(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    for inner in entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ():
        yield from _leaves(inner)


def _heading_and_summary(markdown: str) -> tuple[str, str]:
    """Return the heading of a page and the first sentence below it."""
    heading, _, rest = markdown.partition("\n")
    blocks = (" ".join(block.split()) for block in rest.split("\n\n"))
    prose = next((b for b in blocks if b and b[0] not in "#|!<`-:*"), "")
    prose = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", prose).replace("**", "")
    return heading.lstrip("# "), re.split(r"(?<=[.?])\s", prose)[0]
