"""Start a plugin: copy one that works, under a name of its own."""

from __future__ import annotations

import keyword
import re
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import nasforge
from nasforge.errors import PluginError, suggest
from nasforge.plugins import KINDS, Registry
from nasforge.plugins.kinds import with_article

__all__ = ["PluginNames", "new_plugin"]

TEMPLATES = Path(__file__).parent / "templates"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class PluginNames:
    """Names of a new plugin and its parts.

    Args:
        kind: The kind of plugin.
        name: Its name in recipes.

    Raises:
        PluginError: There is no such kind, or the name cannot be used.

    Attributes:
        package: Import name of its package.
        title: Name of its class.
    """

    def __init__(self, kind: str, name: str) -> None:
        if kind not in KINDS:
            raise PluginError(f"--kind {kind}: no such kind.{suggest(kind, KINDS)}")
        if not _NAME.fullmatch(name):
            near = re.sub(r"[^a-z0-9]+", "-", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()).strip("-")
            hint = f" Write {near}." if _NAME.fullmatch(near) else ""
            raise PluginError(
                f"{name!r}: a name has lower-case letters, digits and hyphens, a letter first.{hint}"
            )
        self.kind, self.name, self.package = kind, name, name.replace("-", "_")
        words = "".join(part.capitalize() for part in name.split("-"))
        suffix = kind.capitalize()
        self.title = words if words.endswith(suffix) and words != suffix else f"{words}{suffix}"
        if reason := self._clash():
            raise PluginError(f"{name!r}: {reason} Choose another name.")

    def _clash(self) -> str | None:
        if keyword.iskeyword(self.package) or self.package in sys.stdlib_module_names:
            return f"its package would be called {self.package!r}, which is a word or module of Python."
        if self.package in ("nasforge", "nasforge_plugins", "tests"):
            return f"its package would be called {self.package!r}, which is taken."
        spec = find_spec(self.package)
        if spec is not None and spec.origin is not None:
            return f"a package {self.package!r} is installed already, at {spec.origin}."
        template = "".join(path.read_text(encoding="utf8") for path in (TEMPLATES / self.kind).glob("*.py"))
        for taken in (self.title, f"{self.title}Config"):
            if re.search(rf"\b{taken}\b", template):
                return f"its class would be called {taken!r}, which nasforge's own code uses."
        return None

    def fill(self, text: str) -> str:
        """Replace the names of a template by those of the plugin."""
        kind, words = self.kind, self.kind.capitalize()
        described = with_article(kind)
        replaced = {
            f"nasforge.plugins.templates.{kind}": self.package,
            f"Template{words}": self.title,
            f"template-{kind}-template-name": f"{kind}-{self.name}",
            f"template-{kind}": self.name,
            "template-name": self.name,
            "A template-kind": f"{described[0].upper()}{described[1:]}",
            "a template-kind": described,
            "template-kind": kind,
            "template_package": self.package,
            "template_module": kind,
            "nasforge>=0.0.0": f"nasforge>={nasforge.__version__}",
        }
        # In one pass, the longest first: the plugin may be called like one of these itself.
        longest = sorted(replaced, key=len, reverse=True)
        return re.sub("|".join(map(re.escape, longest)), lambda found: replaced[found[0]], text)


def new_plugin(names: PluginNames, into: Path, registry: Registry) -> Path:
    """Write a distribution with a plugin that works, its tests and a recipe.

    Args:
        names: Its names.
        into: Folder that gets the folder of the distribution; made if missing.
        registry: The installed plugins.

    Returns:
        The folder of the distribution.

    Raises:
        PluginError: The folder exists already, or an installed plugin has that name.
    """
    if names.name in registry.names(names.kind):
        origin = next(p.origin for p in registry if (p.kind, p.name) == (names.kind, names.name))
        raise PluginError(
            f"{names.name!r}: there is a {names.kind} of that name already ({origin}). Choose another name."
        )
    folder = into / names.name
    if folder.exists():
        raise PluginError(f"{folder}: exists already. Choose another name, or another place with --into.")
    try:
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=into, prefix=".new-") as draft:
            for place, text in _files(names).items():
                path = Path(draft) / names.name / place
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf8")
            shutil.move(Path(draft) / names.name, folder)
    except OSError as error:
        raise PluginError(f"{folder}: cannot be written: {error.strerror or error}.") from None
    return folder


def _files(names: PluginNames) -> dict[str, str]:
    """Return the text of every file of the distribution by its path."""
    code = f"src/{names.package}"
    project = {"gitignore": ".gitignore", "pyproject.toml": "pyproject.toml", "README.md": "README.md"}
    files = {place: TEMPLATES / "project" / name for name, place in project.items()}
    files |= {f"tests/{path.name}": path for path in sorted((TEMPLATES / "project").glob("test_*.py"))}
    files |= {f"{code}/{path.name}": path for path in sorted((TEMPLATES / names.kind).glob("*.py"))}
    files["recipe.toml"] = TEMPLATES / names.kind / "recipe.toml"
    texts = {place: names.fill(path.read_text(encoding="utf8")) for place, path in files.items()}
    python = {place: _sorted_imports(t, names.package) for place, t in texts.items() if place.endswith(".py")}
    return {**texts, **python, f"{code}/py.typed": ""}


def _sorted_imports(text: str, package: str) -> str:
    """Sort imports as the plugin's project wants them: to it nasforge is foreign, and its package its own."""
    lines = text.splitlines(keepends=True)
    places = [i for i, line in enumerate(lines) if line.startswith(("import ", "from "))]
    if not places:
        return text
    blocks: dict[str, list[str]] = {"standard": [], "foreign": [], "own": []}
    for i in places:
        top = lines[i].split()[1].partition(".")[0]
        own = "own" if top == package else "foreign"
        blocks["standard" if top in sys.stdlib_module_names else own].append(lines[i])
    # `import a` stands before `from a import b`, as every sorter has it.
    written = ["".join(sorted(block, key=lambda x: (x.startswith("from"), x))) for block in blocks.values()]
    before, after = lines[: places[0]], lines[places[-1] + 1 :]
    return "".join([*before, "\n".join(block for block in written if block), *after])
