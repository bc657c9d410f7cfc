"""How bugs are planted: a plugin made from a class of the test, and the check that must find its bug."""

import pytest

from nasforge.plugins import Plugin
from nasforge.testing import ConformanceError, checks_for

CLASSES = {}


class Planted(Plugin):
    """A plugin whose class need not be importable."""

    def load(self):
        found = CLASSES[self.target]
        self.check_capabilities(found)
        return found


def plugin_of(kind, target, **about):
    CLASSES[f"{target.__module__}:{target.__qualname__}"] = target
    return Planted(kind, "planted", f"{target.__module__}:{target.__qualname__}", **about)


def find(plugin, name, **how):
    return next(check for check in checks_for(plugin, **how) if check.name == name)


def assert_caught(plugin, name, words, **how):
    """The named check finds the bug, and its message says what the bug is."""
    with pytest.raises(ConformanceError) as error:
        find(plugin, name, **how)()
    message = str(error.value)
    assert message.startswith(f"{plugin.kind} planted: {name}: ")
    assert words in message, message


def assert_sound(plugin, **how):
    """No check complains about the class without its bug."""
    for check in checks_for(plugin, **how):
        check()
