"""Choose the checks of a plugin, run them with or without pytest."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nasforge.config import merge_options
from nasforge.errors import PluginError, suggest
from nasforge.plugins import KINDS, Plugin
from nasforge.plugins.capabilities import Need, describe_need
from nasforge.testing import common
from nasforge.testing.common import ConformanceError, Rule, Subject
from nasforge.testing.parts import Partners

if TYPE_CHECKING:
    import pytest

__all__ = ["Check", "checks_for", "conformance"]


def _rules() -> Iterator[tuple[Need, tuple[Rule, ...]]]:
    for kind, info in KINDS.items():
        yield kind, pkgutil.resolve_name(info.checks)
        for capability, checks in info.capability_checks.items():
            yield pkgutil.resolve_name(capability), pkgutil.resolve_name(checks)


RULES: Mapping[Need, tuple[Rule, ...]] = dict(_rules())
"""The rules of each kind, and of capabilities that plugins of a kind provide."""


@dataclass(frozen=True)
class Check:
    """One rule applied to one plugin; call it to run it.

    Attributes:
        rule: The checked rule.
        subject: The plugin, its options and partners.
    """

    rule: Rule
    subject: Subject

    @property
    def name(self) -> str:
        """The rule's name, under which it can be waived."""
        return self.rule.__name__

    @property
    def summary(self) -> str:
        """The rule in a sentence."""
        return (self.rule.__doc__ or "").strip().splitlines()[0]

    def __call__(self) -> None:
        """Run the check.

        Raises:
            ConformanceError: The rule is broken, or the plugin raised an error.
        """
        try:
            self.rule(self.subject)
        except ConformanceError as error:
            raise ConformanceError(f"{self}: {error} [rule: {self.summary}]") from None
        except Exception as error:
            raise ConformanceError(
                f"{self}: raised {type(error).__name__}: {error} [rule: {self.summary}]"
            ) from error

    def __str__(self) -> str:
        return f"{self.subject.plugin.kind} {self.subject.plugin.name}: {self.name}"


def checks_for(
    plugin: Plugin,
    *,
    module: str | None = None,
    options: Mapping[str, Any] | None = None,
    partners: Partners | None = None,
) -> Iterator[Check]:
    """Return every check for a plugin, chosen by its kind and by what it provides.

    Args:
        plugin: The description its hook returns.
        module: The module of the hook; without it, listing_is_light looks at the module of the options.
        options: Options on top of the plugin's ``tiny`` ones, such as the path of images.
        partners: Replace the tiny parts it works with. None: those that the plugin names.

    Raises:
        PluginError: A partner that the plugin names is not there.

    Examples:
        >>> from nasforge.plugins import Registry
        >>> for check in checks_for(Registry.discover().get("space", "darts")):
        ...     check()
    """
    partners = partners or Partners.named(plugin.partners)
    subject = Subject(plugin, module, merge_options(plugin.tiny, options or {}), partners)
    groups: list[Need] = [plugin.kind, *sorted(plugin.provides, key=describe_need)]
    for rule in (*common.CHECKS, *(rule for group in groups for rule in RULES.get(group, ()))):
        yield Check(rule, subject)


def conformance(
    module: str,
    expected_failures: Mapping[str, str] | None = None,
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    partners: Partners | None = None,
) -> pytest.MarkDecorator:
    """Parametrise a pytest function over every check of every plugin that a module describes.

    Args:
        module: The module with the hook ``nasforge_plugins``.
        expected_failures: Waived checks: a reason by the check's name. A waived check that passes is an
            error, so waivers do not outlive their reason.
        options: Options on top of the ``tiny`` ones, by plugin name.
        partners: Replace the tiny parts that plugins work with. None: those that each plugin names.

    Raises:
        PluginError: The module describes no plugin, or a waiver names no check.

    Examples:
        >>> @conformance("my_package.plugin", {"building_is_seeded": "draws from hardware noise"})
        ... def test_conformance(check):
        ...     check()
    """
    import pytest

    hook: Callable[[], Any] | None = getattr(importlib.import_module(module), "nasforge_plugins", None)
    plugins = list(hook()) if hook else []
    if not plugins:
        raise PluginError(f"{module}: describes no plugin. Give the module with the hook nasforge_plugins().")
    waivers, options = dict(expected_failures or {}), options or {}
    checks = [
        check
        for plugin in plugins
        for check in checks_for(plugin, module=module, options=options.get(plugin.name), partners=partners)
    ]
    known = {check.name for check in checks}
    for name, reason in waivers.items():
        if name not in known:
            raise PluginError(f"{module}: no check named {name!r} to waive.{suggest(name, known)}")
        if not reason.strip():
            raise PluginError(f"{module}: the waiver of {name!r} needs a reason.")
    return pytest.mark.parametrize("check", [_parameter(check, waivers.get(check.name)) for check in checks])


def _parameter(check: Check, reason: str | None) -> Any:
    import pytest

    marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
    return pytest.param(check, id=f"{check.subject.plugin.name}-{check.name}", marks=marks)
