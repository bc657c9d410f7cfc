"""The pages of the site: those that are written and those that are generated."""

import importlib.util

from support.docs_blocks import DOCS


def load_generator():
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate = load_generator()
GENERATED = generate.pages()
WRITTEN = {str(path.relative_to(DOCS)): path.read_text("utf8") for path in DOCS.rglob("*.md")}
ALL = {**WRITTEN, **GENERATED}
