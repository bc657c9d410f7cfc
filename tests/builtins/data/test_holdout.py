"""Held-out images of the shipped data: what the conformance kit asks of every split."""

import pytest

from nasforge.plugins import Registry
from nasforge.testing import checks_for


@pytest.mark.parametrize("name", ["digits", "synthetic"])
def test_data_with_held_out_images_conforms(name: str) -> None:
    plugin = Registry.discover().get("data", name)
    checks = {check.name: check for check in checks_for(plugin, options={"holdout_share": 0.2})}
    for rule in ("sizes_are_true", "splits_are_disjoint", "order_is_a_function_of_seed_split_epoch"):
        checks[rule]()
