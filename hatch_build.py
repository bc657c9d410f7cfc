"""Build hook: the README as a package index shows it.

In a checkout, links of the README lead to files beside it. A package index has no such files, so the
description of a release links to the repository at the tag of that release.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(?P<image>!?)(?P<text>\[[^\]]*\])\((?!https?:|#)(?P<target>[^)\s]+)\)")


def link_to_repository(text: str, repository: str, tag: str) -> str:
    """Replace relative links of Markdown by links to a tag of the repository."""

    def absolute(match: re.Match[str]) -> str:
        view = "raw" if match["image"] or match["target"].endswith((".png", ".svg")) else "blob"
        return f"{match['image']}{match['text']}({repository}/{view}/{tag}/{match['target']})"

    # A badge is an image inside a link: the first pass replaces the image, the second one the link.
    linked = LINK.sub(absolute, text)
    around = re.compile(r"(?P<badge>\[!\[[^\]]*\]\([^)]*\)\])\((?!https?:|#)(?P<target>[^)\s]+)\)")
    return around.sub(lambda m: f"{m['badge']}({repository}/blob/{tag}/{m['target']})", linked)


class ReadmeHook(MetadataHookInterface):
    """Sets ``readme`` from README.md, with links that work outside the repository."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the readme of the metadata."""
        text = (Path(self.root) / "README.md").read_text("utf8")
        linked = link_to_repository(text, metadata["urls"]["Repository"], f"v{metadata['version']}")
        metadata["readme"] = {"content-type": "text/markdown", "text": linked}
