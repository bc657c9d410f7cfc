"""Code blocks of a documentation page, and how they are followed step by step."""

import re
import runpy
import shlex
from dataclasses import dataclass
from pathlib import Path

from nasforge.cli import run_command

DOCS = Path(__file__).parents[2] / "docs"
FENCE = re.compile(
    r"(?P<mark><!--\s*run(: (?P<how>slow|shell))?\s*-->\n)?"
    r"^(?P<ticks>`{3,})(?P<info>[^\n]*)\n(?P<body>.*?)^(?P=ticks)\s*$",
    re.MULTILINE | re.DOTALL,
)
TITLE = re.compile(r'title="([^"]+)"')
CONTINUED = " (continued)"


@dataclass(frozen=True)
class Block:
    """One fenced block: a file to write if it has a title, to be run if it is marked.

    One of ``shell`` is run in an environment of its own alone: it installs something.
    """

    language: str
    title: str
    body: str
    run: bool
    slow: bool
    shell: bool


def blocks_of(page: Path) -> list[Block]:
    return [
        Block(
            m["info"].split()[0] if m["info"].strip() else "",
            t[1] if (t := TITLE.search(m["info"])) else "",
            m["body"],
            m["mark"] is not None and m["how"] != "shell",
            m["how"] == "slow",
            m["how"] == "shell",
        )
        for m in FENCE.finditer(page.read_text("utf8"))
    ]


def follow(page: Path, folder: Path, *, slow: bool = False) -> int:
    """Do what a page says, in a folder that is the working directory; return how many blocks were run."""
    done = 0
    for number, block in enumerate(blocks_of(page)):
        if block.title:
            write(block, folder)
        elif block.run and (slow or not block.slow):
            done += 1
            if block.language == "python":
                snippet = folder / f"snippet_{number}.py"
                snippet.write_text(block.body, "utf8")
                runpy.run_path(str(snippet))
            else:
                for command in commands_of(block):
                    assert run_command(command) == 0, f"{page.name}: nasforge {' '.join(command)}"
    return done


def write(block: Block, folder: Path) -> None:
    """Write the file that a block shows, or the next part of it."""
    path = folder / block.title.removesuffix(CONTINUED)
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.read_text("utf8") + "\n\n" if block.title.endswith(CONTINUED) else ""
    path.write_text(before + block.body, "utf8")


def commands_of(block: Block) -> list[list[str]]:
    """Return the arguments of every nasforge command of a shell block."""
    lines = block.body.replace("\\\n", " ").splitlines()
    found = [shlex.split(line, comments=True) for line in lines]
    return [words[1:] for words in found if words and words[0] == "nasforge"]
