"""Networks are exported as operators of torch, with and without kernels in C, and ``plain`` is never set."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from support.exported_spaces import SPACES, images, network_of
from support.kernels import needs_kernels

TOLERANCE = 1e-5


@pytest.fixture(params=["1", pytest.param("0", marks=pytest.mark.slow)], ids=["kernels", "no-kernels"])
def native(request, monkeypatch):
    monkeypatch.setenv("NASFORGE_NATIVE", request.param)


def logits_only(network):
    network.register_forward_hook(lambda module, inputs, output: output.logits)
    return network


def difference(a, b):
    return (a - b).abs().max().item()


@pytest.mark.parametrize("name", SPACES)
def test_torch_export(name, native):
    network = logits_only(network_of(name))
    with torch.no_grad():
        computed = network(images(2))  # compiles the kernels
        program = torch.export.export(network, (images(2),), dynamic_shapes=({0: torch.export.Dim("batch")},))
        called = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
        assert not any("nasforge" in operator for operator in called)
        five = images(5)
        assert difference(program.module()(five), network(five)) <= TOLERANCE
    assert computed.shape == (2, 4)
    assert not network.runs_plainly, "the kernels compute again"


@pytest.mark.parametrize("name", SPACES)
def test_trace(name, native):
    network = logits_only(network_of(name))
    with torch.no_grad():
        traced = torch.jit.trace(network, (images(2),), check_trace=False)
        assert "nasforge::" not in str(traced.inlined_graph)
        five = images(5)
        assert difference(traced(five), network(five)) <= TOLERANCE


@pytest.mark.parametrize("name", SPACES)
def test_onnx(name, native, tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    network = logits_only(network_of(name))
    path = tmp_path / "network.onnx"
    with torch.no_grad():
        torch.onnx.export(
            network, (images(2),), path, dynamo=True, verbose=False, dynamic_shapes=({0: "batch"},)
        )
        five = images(5)
        session = onnxruntime.InferenceSession(path)
        (found,) = session.run(None, {session.get_inputs()[0].name: five.numpy()})
        assert difference(torch.from_numpy(found), network(five)) <= TOLERANCE


@needs_kernels
@pytest.mark.parametrize("name", ["darts", "nasbench201"])
def test_the_same_networks_use_kernels_otherwise(name):
    network, seen = network_of(name), []

    class Listen(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(func.namespace)
            return func(*args, **(kwargs or {}))

    with Listen():
        network(images(2))
    assert "nasforge" in seen
