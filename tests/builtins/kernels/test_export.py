"""Networks are exported as torch's own operators, whatever computes them otherwise."""

from random import Random

import pytest
import torch

from nasforge.plugins import Registry
from nasforge.space import Task
from nasforge_plugins.kernels.door import computes_plainly
from support.kernels import HAS_KERNELS


@pytest.mark.parametrize("name", ["darts", "nasbench201", "chain"])
def test_networks_can_be_exported(name):
    plugin = Registry.discover().get("space", name)
    space = plugin.load()(plugin.config.model_validate(plugin.tiny))
    task = Task(3, 16, 4)
    torch.manual_seed(0)
    network = space.build(task, space.sample(Random(1))).eval()
    x = torch.randn(2, 3, 16, 16)
    computed = network(x).logits  # compiles the kernels
    with torch.no_grad():
        program = torch.export.export(network, (x,))
    operators = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert "aten.conv2d.default" in operators
    assert not any("nasforge" in operator for operator in operators)
    torch.testing.assert_close(program.module()(x)[0], computed, rtol=1e-4, atol=1e-5)
    assert not computes_plainly(network), "the kernels compute again"


@pytest.mark.skipif(not HAS_KERNELS, reason="there are no kernels in C here")
@pytest.mark.parametrize("name", ["darts", "nasbench201"])
def test_the_same_networks_use_kernels(name):
    plugin = Registry.discover().get("space", name)
    space = plugin.load()(plugin.config.model_validate(plugin.tiny))
    network = space.build(Task(3, 16, 4), space.sample(Random(1))).eval()
    seen = []

    class Listen(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(func.namespace)
            return func(*args, **(kwargs or {}))

    with Listen():
        network(torch.randn(2, 3, 16, 16))
    assert "nasforge" in seen
