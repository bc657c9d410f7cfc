"""The notebooks of the site. Execute them anew with ``python docs/notebooks.py``.

They are kept with their outputs, so that they can be read without being run; a test executes them. The
site shows them as Markdown, which takes no further library.
"""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "notebooks"


def notebooks() -> dict[str, str]:
    """Return every notebook as a page, by its path below the site's sources."""
    files = sorted(FOLDER.glob("*.ipynb"))
    return {f"notebooks/{file.stem}.md": to_markdown(json.loads(file.read_text("utf8"))) for file in files}


def to_markdown(notebook: dict[str, Any]) -> str:
    """Write cells as Markdown: code as blocks, drawings as they are, text that was printed as a block."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        parts += [_shown(output) for output in cell.get("outputs", [])]
    return "\n\n".join(parts) + "\n"


def _shown(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    if "image/svg+xml" in data:
        svg = "".join(data["image/svg+xml"])
        return f'<div class="drawing">{svg[svg.index("<svg") :].strip()}</div>'
    return f"```text\n{''.join(output.get('text') or data['text/plain']).rstrip()}\n```"


def execute(file: Path) -> dict[str, Any]:
    """Execute a notebook in an empty folder, and return it with its outputs and without traces of when.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell fails.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(file, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=1800, kernel_name="python3", resources=resources).execute()
    return strip(json.loads(nbformat.writes(notebook)))


def strip(notebook: dict[str, Any]) -> dict[str, Any]:
    """Remove times of execution, versions, and errors that were printed: they differ on every computer."""
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook["metadata"] = {"kernelspec": kernel, "language_info": {"name": "python"}}
    for number, cell in enumerate(notebook["cells"]):
        cell["metadata"], cell["id"] = {}, f"cell-{number}"
        if cell["cell_type"] == "code":
            cell["outputs"] = [one for one in cell["outputs"] if one.get("name") != "stderr"]
            for output in cell["outputs"]:
                if output["output_type"] == "execute_result":
                    output["execution_count"] = None
                if html := output.get("data", {}).get("text/html"):  # as plain text, a link is a whole path
                    output["data"]["text/plain"] = re.sub("<[^>]*>", "", "".join(html)).strip()
            cell["execution_count"] = None
    return notebook


def main() -> None:
    """Execute every notebook and keep its outputs."""
    for file in sorted(FOLDER.glob("*.ipynb")):
        text = json.dumps(execute(file), indent=1, ensure_ascii=False)
        file.write_text(re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE) + "\n", "utf8")


if __name__ == "__main__":
    main()
