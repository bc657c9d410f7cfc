"""Damage to files: flipped bits, and JSON of another shape."""

import json
import os
from contextlib import contextmanager
from pathlib import Path
from random import Random


@contextmanager
def flip(path: Path, draw: Random):
    """Flip one bit of a file; it is put back on exit."""
    whole = path.read_bytes()
    place = draw.randrange(len(whole) * 8)
    changed = bytearray(whole)
    changed[place // 8] ^= 1 << (place % 8)
    path.write_bytes(changed)
    try:
        yield place
    finally:
        path.write_bytes(whole)


WRONG = ("[1]", "null", "3", '"x"', "{}", '{"a": 1}', "", "{", "\x00\x01", "[" * 1200 + "]" * 1200, "NaN")
VALUES = (None, 0, -1, 10**30, 1e400, "", "x", "\x1b[31m", [], [1], {}, {"a": 1}, True, "../../x")


def damage(path: Path, draw: Random) -> str:
    """Damage one file in one of many ways, and say how."""
    ways = [_remove, _empty, _shorten, _flip_some, _garble, _make_folder, _make_loop, _make_pipe]
    if path.suffix == ".json":
        ways += [_replace, _change_entry, _change_entry, _change_entry, _drop_entry, _drop_entry]
    if path.suffix == ".jsonl":
        ways += [_garble_line, _change_line]
    way = draw.choice(ways)
    way(path, draw)
    return f"{path.name} {way.__name__}"


def _remove(path, draw):
    path.unlink()


def _empty(path, draw):
    path.write_bytes(b"")


def _shorten(path, draw):
    content = path.read_bytes()
    path.write_bytes(content[: draw.randrange(max(1, len(content)))])


def _flip_some(path, draw):
    content = bytearray(path.read_bytes() or b"x")
    for _ in range(draw.randint(1, 3)):
        place = draw.randrange(len(content) * 8)
        content[place // 8] ^= 1 << (place % 8)
    path.write_bytes(content)


def _garble(path, draw):
    path.write_bytes(draw.randbytes(draw.randint(1, 300)))


def _make_folder(path, draw):
    path.unlink()
    path.mkdir()


def _make_loop(path, draw):
    path.unlink()
    path.symlink_to(path)


def _make_pipe(path, draw):
    path.unlink()
    os.mkfifo(path)


def _replace(path, draw):
    path.write_text(draw.choice(WRONG))


def _places(data):
    """Return all containers of a nested structure with each of their keys."""
    found = []
    if isinstance(data, dict | list):
        for key in data if isinstance(data, dict) else range(len(data)):
            found += [(data, key), *_places(data[key])]
    return found


def _change_entry(path, draw):
    data = json.loads(path.read_text())
    holder, key = draw.choice(_places(data))
    holder[key] = draw.choice(VALUES)
    path.write_text(json.dumps(data))


def _drop_entry(path, draw):
    data = json.loads(path.read_text())
    holder, key = draw.choice(_places(data))
    del holder[key]
    path.write_text(json.dumps(data))


def _garble_line(path, draw):
    lines = path.read_text().splitlines()
    lines[draw.randrange(len(lines))] = draw.choice(WRONG)
    path.write_text("\n".join(lines) + "\n")


def _change_line(path, draw):
    lines = path.read_text().splitlines()
    number = draw.randrange(len(lines))
    data = json.loads(lines[number])
    holder, key = draw.choice(_places(data))
    holder[key] = draw.choice(VALUES)
    lines[number] = json.dumps(data)
    path.write_text("\n".join(lines) + "\n")
