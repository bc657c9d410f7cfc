"""TOML as text: on which line a key is written, and how a value is written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["key_lines", "to_toml"]

_KEY_PART = re.compile(
    r"""[ \t]*(?:(?P<bare>[A-Za-z0-9_-]+)|"(?P<basic>(?:[^"\\\n]|\\.)*)"|'(?P<literal>[^'\n]*)')[ \t]*"""
)
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'",
    re.DOTALL,
)
_BLANK = re.compile(r"(?:[ \t\r\n,]|#[^\n]*)*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")

Path = tuple[str, ...]


def key_lines(text: str) -> dict[Path, int]:
    """Find the line of every table and key of a valid TOML document.

    Args:
        text: Text that `tomllib` accepts; for anything else the answer is incomplete.

    Returns:
        Line numbers from 1 by path, such as ``("train", "epochs")``; the first place where one is written.
    """
    return _Scanner(text).lines


def to_toml(value: Any) -> str:
    """Write a value as TOML, on one line.

    Args:
        value: Plain data; None, for which TOML has no word, becomes ``null``.
    """
    if value is None:
        return "null"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Mapping):
        pairs = (f"{_key(str(k))} = {to_toml(v)}" for k, v in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple | set | frozenset):
        return f"[{', '.join(map(to_toml, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _quoted(name)


def _quoted(text: str) -> str:
    # JSON leaves the delete character as it is, TOML forbids it.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


class _Scanner:
    """One pass over the text; knows just enough TOML not to take a value for a key."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line, self.counted = 1, 0  # the line of a place before which all line ends are counted
        self.lines: dict[Path, int] = {}
        table: Path = ()
        while self._skip_blank():
            if text[self.at] == "[":
                self.at += 2 if text.startswith("[[", self.at) else 1
                table = self._key(())
                self._to_line_end()
            elif not self._pair(table):
                self._to_line_end()

    def _skip_blank(self) -> bool:
        blank = _BLANK.match(self.text, self.at)
        self.at = blank.end() if blank else self.at
        return self.at < len(self.text)

    def _to_line_end(self) -> None:
        end = self.text.find("\n", self.at)
        self.at = len(self.text) if end < 0 else end + 1

    def _key(self, table: Path) -> Path:
        self.line += self.text.count("\n", self.counted, self.at)
        self.counted = self.at
        line, path = self.line, table
        while part := _KEY_PART.match(self.text, self.at):
            path = (*path, part["bare"] or part["basic"] or part["literal"] or "")
            self.lines.setdefault(path, line)
            self.at = part.end()
            if not self.text.startswith(".", self.at):
                break
            self.at += 1
        return path

    def _pair(self, table: Path) -> bool:
        path = self._key(table)
        if not self.text.startswith("=", self.at):
            return False
        self.at += 1
        self._value(path)
        return True

    def _value(self, path: Path) -> None:
        if not self._skip_blank():
            return
        if string := _STRING.match(self.text, self.at):
            self.at = string.end()
        elif self.text[self.at] in "[{":
            opening = self.text[self.at]
            self.at += 1
            while self._skip_blank() and self.text[self.at] not in "]}":
                before = self.at
                if opening == "[":
                    self._value(path)
                else:
                    self._pair(path)
                if self.at == before:
                    self._to_line_end()
            self.at += 1
        else:
            scalar = re.compile(r"[^,\]}\n#]*").match(self.text, self.at)
            self.at = scalar.end() if scalar else self.at
