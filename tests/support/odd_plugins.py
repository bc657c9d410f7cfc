"""Plugins that misbehave, for tests of what a run does about it."""

from collections.abc import Mapping

from nasforge.arch import Arch
from nasforge.config import PluginConfig
from nasforge.plugins import Plugin, Registry
from nasforge.searcher import Searcher


class Stubborn(Searcher[PluginConfig]):
    """Takes three steps and returns the first architecture of its space."""

    def setup(self, ctx):
        super().setup(ctx)
        self.steps = 0

    @property
    def done(self) -> bool:
        return self.steps >= 3

    def step(self) -> Mapping[str, float]:
        self.steps += 1
        return {"steps": self.steps}

    def best(self) -> Arch:
        return self.ctx.space.discretize({})

    def state_dict(self):
        return {"steps": self.steps}

    def load_state_dict(self, state):
        self.steps = state["steps"]


class Peeker(Stubborn):
    """Looks at the test images in its second step."""

    def step(self) -> Mapping[str, float]:
        if self.steps == 1:
            next(iter(self.ctx.data.batches("test")))
        return super().step()


def registry() -> Registry:
    """Return the installed plugins and those of this file."""
    odd = [
        Plugin("searcher", cls.__name__.lower(), f"support.odd_plugins:{cls.__name__}")
        for cls in (Stubborn, Peeker)
    ]
    return Registry([*Registry.discover(), *odd])
