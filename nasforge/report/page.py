"""Pages: sections, the template around them, and the file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import nasforge
from nasforge.report.bench_view import BenchView
from nasforge.report.compare_view import CompareView
from nasforge.report.run_view import RunView, option_text

__all__ = ["Section", "bench_sections", "compare_sections", "render", "render_page", "run_sections"]

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
        id: Its anchor.
        title: Its heading.
        body: Its content, HTML.
        short: Its name in the navigation; default: the title.
    """

    id: str
    title: str
    body: Markup
    name: str = ""

    @property
    def short(self) -> str:
        """Name in the navigation."""
        return self.name or self.title


def render(template: str, **values: Any) -> Markup:
    """Fill in a template; every text is escaped.

    Args:
        template: Its place below the folder of templates.
        values: Its variables.
    """
    return Markup(_environment().get_template(template).render(**values))


def run_sections(view: RunView) -> list[Section]:
    """Return the sections on one run; those without content are left out."""
    parts = (
        ("summary", "Summary", "", True),
        ("architecture", "Architecture", "", view.drawings or view.answers or view.notation),
        ("searching", "Search", "", view.search),
        ("weights", "Option weights", "Weights", view.choice_groups),
        (
            "pareto",
            "Pareto front" if view.pareto and view.pareto.is_front else "Score by cost",
            "",
            view.pareto,
        ),
        ("training", "Training", "", view.train),
        (
            "mistakes",
            "Accuracy and mistakes" if view.mistakes else "Accuracy",
            "Accuracy",
            view.numbers or view.mistakes,
        ),
        ("deployment", "Deployment", "", view.deployment),
        ("recipe", "Recipe", "", True),
        ("environment", "Environment", "", view.environment),
    )
    return [
        Section(name, title, render(f"run/{name}.html", view=view), short)
        for name, title, short, content in parts
        if content
    ]


def compare_sections(view: CompareView) -> list[Section]:
    """Return the sections on several runs; those without content are left out."""
    parts = (
        ("results", "Results", True),
        ("pairing", "Paired comparison", True),
        ("differences", "Differences of the recipes", True),
        ("searching", "Search", view.search),
        ("training", "Training", view.train),
        ("architectures", "Architectures", True),
        ("environment", "Environment", True),
    )
    names = {"differences": "Recipes", "pairing": "Paired"}
    return [
        Section(name, title, render(f"runs/{name}.html", view=view), names.get(name, ""))
        for name, title, content in parts
        if content
    ]


def bench_sections(view: BenchView) -> list[Section]:
    """Return the sections on a bench; those without content are left out."""
    parts = (
        ("standings", "Standings", True),
        ("scores", f"{view.metric.capitalize()} of every run", view.boxes),
        ("curves", "Best so far", view.curves),
        ("recipe", "Recipe", True),
        ("environment", "Environment", view.environment),
    )
    return [
        Section(name, title, render(f"bench/{name}.html", view=view), "Scores" if name == "scores" else "")
        for name, title, content in parts
        if content
    ]


def render_page(title: str, kicker: str, lead: str, sections: Sequence[Section]) -> str:
    """Return a whole page.

    Args:
        title: Its heading.
        kicker: A line above the heading.
        lead: A sentence below it.
        sections: Its parts.
    """
    script = Markup((TEMPLATES / "script.js").read_text(encoding="utf8"))
    style = Markup((TEMPLATES / "style.css").read_text(encoding="utf8"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # Nothing is loaded from elsewhere, and no other script runs, even if a run folder holds one.
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:"
    return str(
        render(
            "page.html",
            title=title,
            kicker=kicker,
            lead=lead,
            sections=sections,
            script=script,
            style=style,
            policy=policy,
            version=nasforge.__version__,
        )
    )


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["option"] = option_text
    environment.filters["capital"] = lambda text: text[:1].upper() + text[1:]
    environment.filters["confusion"] = lambda one: (one.label, one.predicted, one.count)
    return environment
