"""What must hold for every input, however wrong: checks around one command."""

import io
import json
import os
import re
import resource
import shutil
import signal
import time
import warnings
from collections import Counter
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from hashlib import sha256
from pathlib import Path

from nasforge.cli import run_command
from nasforge.cli.output import LONGEST

SCALE = int(os.environ.get("NASFORGE_FUZZ", "1"))
"""How many times as many inputs as in CI; 6 for the campaign of docs/reliability.md."""

STATUSES = {0, 1, 2, 3}
SLOWEST = 5.0
HANGS = 60
"""Seconds of processor time after which a command is ended; of waiting, ten times as many."""

MEMORY = 16 * 2**30

_seen: dict[str, set[bytes]] = {}
_slowest: dict[str, tuple[float, str]] = {}
statuses: Counter[tuple[str, int]] = Counter()


class Hangs(BaseException):
    """A command did not end; derives from BaseException so that no handler of errors catches it."""


@contextmanager
def workplace(tmp_path_factory):
    """Enter a folder of its own, which is empty again afterwards."""
    before, place = Path.cwd(), tmp_path_factory.mktemp("input")
    os.chdir(place)
    try:
        yield place
    finally:
        os.chdir(before)
        shutil.rmtree(place, ignore_errors=True)


def attempt(kind: str, content: bytes | str, *commands: list[str]) -> None:
    """Run commands on one input, in the working directory, and check each.

    Args:
        kind: What the input is, for the summary.
        content: What makes the input different from others.
        *commands: Words behind ``nasforge``.
    """
    content = content if isinstance(content, bytes) else content.encode(errors="surrogatepass")
    _seen.setdefault(kind, set()).add(sha256(content).digest())
    for words in commands:
        _check(kind, words)


def _check(kind: str, words: list[str]) -> None:
    output, errors = io.TextIOWrapper(io.BytesIO(), "utf8"), io.TextIOWrapper(io.BytesIO(), "utf8")
    cpu, real = time.process_time(), time.monotonic()
    with redirect_stdout(output), redirect_stderr(errors), _bounded():
        status = run_command(words)
    seconds = min(time.process_time() - cpu, time.monotonic() - real)
    said, shown = (_text(stream) for stream in (errors, output))
    statuses[kind, status] += 1
    if seconds > _slowest.get(kind, (0.0, ""))[0]:
        _slowest[kind] = (seconds, ascii(" ".join(words))[:150])
    about = f"{ascii(words)[:600]} ended with {status} after {seconds:.1f} s:\n{ascii(said)[-1500:]}"
    assert status in STATUSES, about
    assert "(unexpected" not in said, about
    assert "Traceback" not in said, about
    assert status not in (1, 2) or not said or "error: " in said, about
    for message in re.split(r"^(?=error: |warning: )", said, flags=re.MULTILINE):
        assert len(message) <= LONGEST + 20, about
    for text in (said, shown):
        wrong = {c for c in text if not c.isprintable() and c not in "\n\t"}
        assert not wrong, f"control characters {wrong!r}: {about}\n{ascii(shown)[-800:]}"
    assert not [*_half_written(Path())], about
    if SCALE > 1:
        assert seconds < SLOWEST, about


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    return stream.buffer.getvalue().decode("utf8")


@contextmanager
def _bounded():
    """End a command that waits for ever, or takes all memory; show warnings as a new process does."""

    def stop(number, frame):
        raise Hangs

    signals = (signal.SIGPROF, signal.SIGALRM)
    handlers = [signal.signal(number, stop) for number in signals]
    limit = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, limit[1]))
    signal.setitimer(signal.ITIMER_PROF, HANGS)
    signal.alarm(10 * HANGS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        for number, handler in zip(signals, handlers, strict=True):
            signal.signal(number, handler)
        resource.setrlimit(resource.RLIMIT_AS, limit)


def _half_written(root: Path):
    """Yield files that are written beside and were never renamed."""
    for folder, _, names in os.walk(root):
        yield from (Path(folder) / name for name in names if name.endswith(".partial"))


def whole(path: Path) -> bool:
    """Return whether a JSON file can be read."""
    try:
        json.loads(path.read_text(encoding="utf8"))
    except ValueError:
        return False
    return True


def summary() -> list[str]:
    """Return a line for each kind of input."""
    lines = []
    for kind, inputs in sorted(_seen.items()):
        counts = ", ".join(f"{n} with status {s}" for (k, s), n in sorted(statuses.items()) if k == kind)
        seconds, words = _slowest.get(kind, (0.0, ""))
        lines.append(f"{kind}: {len(inputs)} distinct inputs; {counts}; slowest {seconds:.1f} s")
        if seconds > SLOWEST / 2:
            lines.append(f"    slowest: {words}")
    total = sum(map(len, _seen.values()))
    return [*lines, f"all: {total:,} distinct inputs"] if lines else []
