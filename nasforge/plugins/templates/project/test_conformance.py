"""Every check that nasforge has for this kind of plugin."""

from nasforge.testing import Check, conformance


@conformance("template_package.plugin")
def test_conformance(check: Check) -> None:
    check()
