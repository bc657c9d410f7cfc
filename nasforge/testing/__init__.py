"""The public conformance kit: what every plugin must do, as checks its author runs in three lines.

    from nasforge.testing import conformance

    @conformance("my_package.plugin")
    def test_conformance(check):
        check()

Without pytest: ``for check in checks_for(plugin): check()``.
"""

from nasforge.testing.common import ConformanceError
from nasforge.testing.kit import Check, checks_for, conformance
from nasforge.testing.parts import Partners

__all__ = ["Check", "ConformanceError", "Partners", "checks_for", "conformance"]
