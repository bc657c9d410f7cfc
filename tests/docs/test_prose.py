"""Measurable rules of plain English: how often docstrings and pages use patterns of translated prose.

Limits are occurrences per 10,000 words. Projects whose prose reads well (optuna, timm, pluggy) stay below.
"""

import ast
import re
from collections.abc import Iterator

import pytest

from support.docs_blocks import DOCS

ROOT = DOCS.parent
LIMITS = {
    "a sentence that begins with What": (
        r"(?:\A|(?<=[.!?:] )|(?<=\n\n))What\b(?! (?:is wrong\. What )?to do\.`)",
        1,
    ),
    "nobody, whoever, somebody, whatever": (r"(?i)\b(?:nobody|whoever|somebody|whatever)\b", 1),
    "is no": (r"(?i)(?<!there )\bis no\b(?! longer)", 1),
    "go on, for resume": (r"(?i)\b(?:go|goes|going|went) on\b", 0),
}


def docstrings() -> Iterator[str]:
    for folder in ("nasforge", "plugins"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf8"))):
                if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                    yield ast.get_docstring(node) or ""
                if isinstance(node, ast.ClassDef):  # texts below options
                    for first, second in zip(node.body, node.body[1:], strict=False):
                        text = second.value if isinstance(second, ast.Expr) else None
                        if isinstance(first, ast.AnnAssign) and isinstance(text, ast.Constant):
                            yield str(text.value)


def pages() -> Iterator[str]:
    names = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
    for path in (*(ROOT / name for name in names), *sorted(DOCS.rglob("*.md"))):
        yield re.sub(r"```.*?```", "", path.read_text("utf8"), flags=re.DOTALL)


@pytest.fixture(scope="module", params=[docstrings, pages], ids=lambda source: source.__name__)
def texts(request) -> list[str]:
    return list(request.param())


@pytest.mark.parametrize("name", LIMITS)
def test_patterns_of_translated_prose_are_rare(texts, name):
    pattern, limit = LIMITS[name]
    found = [
        text[max(0, match.start() - 40) : match.end() + 40]
        for text in texts
        for match in re.finditer(pattern, text)
    ]
    words = sum(len(text.split()) for text in texts)
    assert words > 10_000
    assert len(found) / words * 10_000 <= limit, "\n".join(found)


def test_summary_lines_do_not_begin_with_a_relative_clause(texts):
    begins = re.compile(r"\A(?:What|Who|Whoever|Whatever|Which|Those who|Those that)\b")
    assert [text.splitlines()[0] for text in texts if begins.match(text)] == []
