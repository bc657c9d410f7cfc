"""Every check that nasforge has for this kind of plugin."""

from nasforge.testing import Check, conformance


@conformance("csv_steps.plugin")
def test_conformance(check: Check) -> None:
    check()
