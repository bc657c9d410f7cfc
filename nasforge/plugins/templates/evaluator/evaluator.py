"""The evaluator: what an architecture is worth."""

import math
import time
from itertools import islice
from typing import cast

import torch
from torch.nn import functional as F

from nasforge.arch import Arch
from nasforge.config import PluginConfig
from nasforge.evaluator import Evaluation, Evaluator
from nasforge.plugins.templates.evaluator.config import TemplateEvaluatorConfig
from nasforge.seeding import derive_seed
from nasforge.space import NetworkSpace
from nasforge.training.loops import isolated_random

__all__ = ["TemplateEvaluator"]


class TemplateEvaluator(Evaluator[TemplateEvaluatorConfig]):
    """The logarithm of the gradient norm of an untrained network (Abdelfattah et al., 2021)."""

    def evaluate(self, arch: Arch, *, budget: int | None = None) -> Evaluation:
        """Score an architecture without training it.

        Args:
            arch: The architecture.
            budget: How many batches to look at; None takes the option.
        """
        data = self.ctx.data
        assert data is not None, "the recipe check requires a [data] table"
        space, runtime, began = (
            cast("NetworkSpace[PluginConfig]", self.ctx.space),
            self.ctx.runtime,
            time.perf_counter(),
        )
        # The score is a function of seed and architecture alone, not of earlier evaluations.
        with isolated_random(runtime.device, derive_seed(self.ctx.seed, "gradients", arch.key)):
            network = runtime.prepare(space.build(data.task, arch))
            batches = data.batches("weights", batch_size=self.config.batch_size)
            for images, labels in islice(batches, budget or self.config.batches):
                F.cross_entropy(network(images).logits.float(), labels).backward()
        gradients = [p.grad.float().square().sum() for p in network.parameters() if p.grad is not None]
        score = 0.5 * math.log(float(torch.stack(gradients).sum()) + 1e-12)
        return Evaluation(arch, score, time.perf_counter() - began, {"gradient_norm": math.exp(score)})
