"""The samplers of Optuna by name."""

from __future__ import annotations

import warnings

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler

from nasforge_plugins.searchers.optuna.config import OptunaConfig

__all__ = ["STATEFUL", "make_sampler"]

STATEFUL = frozenset({"cma-es", "nsga2"})
"""Samplers that remember more than what they were told; the others depend on that and their seed alone."""


def make_sampler(config: OptunaConfig, seed: int) -> BaseSampler:
    """Make the sampler that the options ask for.

    Args:
        config: The options.
        seed: Of this sampler.
    """
    seed %= 2**32  # numpy takes seeds of 32 bits
    samplers = optuna.samplers
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        match config.sampler:
            case "tpe":
                return samplers.TPESampler(n_startup_trials=config.initial, seed=seed)
            case "gp":
                return samplers.GPSampler(n_startup_trials=config.initial, seed=seed)
            case "cma-es":
                return samplers.CmaEsSampler(
                    n_startup_trials=config.initial,
                    popsize=config.population,
                    warn_independent_sampling=False,
                    seed=seed,
                )
            case "nsga2":
                return samplers.NSGAIISampler(population_size=config.population or 50, seed=seed)
            case "random":
                return samplers.RandomSampler(seed=seed)
