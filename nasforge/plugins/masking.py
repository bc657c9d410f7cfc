"""Values of options that look like secrets, hidden where options are shown or passed on.

Only the recipe and ``resolved.json`` hold them, because a run that resumes needs them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["MASK", "is_secret", "mask_options", "mask_secrets", "mask_text"]

MASK = "***"

_NAME = r"(?:password|passwd|secret|token|api[_-]?key|access[_-]?key|credential|authorization)"
_SECRET = re.compile(_NAME, re.IGNORECASE)
_ASSIGNED = rf"{_NAME}[\w-]*[\"']?\s*="
_IN_WORDS = re.compile(rf"({_ASSIGNED}).*", re.IGNORECASE | re.DOTALL)
_IN_TEXT = re.compile(
    rf"({_ASSIGNED}\s*)"
    r"""(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|\[[^]]*["'][^]]*\])""",
    re.IGNORECASE | re.DOTALL,
)


def is_secret(name: str) -> bool:
    """Return whether the name of an option looks like that of a secret."""
    return _SECRET.search(name) is not None


def mask_options(value: Any, name: str = "") -> Any:
    """Return options without the texts whose names look like secrets.

    Args:
        value: JSON data, such as the tables of a resolved recipe.
        name: Name of the option or table; empty for a whole recipe.
    """
    if isinstance(value, Mapping):
        return {key: mask_options(one, f"{name}.{key}") for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [mask_options(one, name) for one in value]
    return MASK if value and isinstance(value, str) and is_secret(name) else value


def mask_secrets(words: Sequence[str]) -> list[str]:
    """Return a command line without the values of options that look like secrets.

    Args:
        words: Such as ``["run", "x.toml", "--set", "observers.post.api_key=abc"]``.
    """
    return [_IN_WORDS.sub(rf"\1{MASK}", word) for word in words]


def mask_text(toml: str) -> str:
    """Return the text of a recipe without the texts of options that look like secrets."""
    return _IN_TEXT.sub(rf'\1"{MASK}"', toml)
