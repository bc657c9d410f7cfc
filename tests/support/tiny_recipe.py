"""A recipe whose whole pipeline takes a second or two."""

from copy import deepcopy
from typing import Any

TINY: dict[str, Any] = {
    "run": {"name": "tiny", "threads": 1},
    "data": {
        "use": "synthetic",
        "num_classes": 3,
        "image_size": 16,
        "train_images": 48,
        "test_images": 12,
        "batch_size": 12,
    },
    "space": {
        "use": "darts",
        "channels": 4,
        "cells": 3,
        "search_channels": 4,
        "search_cells": 3,
        "eval_channels": 4,
        "eval_cells": 3,
    },
    "searcher": {"use": "fixed", "arch": "DARTS_V2"},
    "train": {"use": "train", "epochs": 2, "batch_size": 24},
}


def tiny(**tables: Any) -> dict[str, Any]:
    """Return the recipe with some tables changed: options are merged, None removes a table."""
    recipe = deepcopy(TINY)
    for name, options in tables.items():
        if options is None:
            recipe.pop(name, None)
        elif "use" in options:
            recipe[name] = options
        else:
            recipe[name] = {**recipe.get(name, {}), **options}
    return recipe
