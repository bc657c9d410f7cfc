"""Results on the meta device that are remembered are those that torch would make."""

import torch

from nasforge.cost.live import LiveStorages
from nasforge.runtime.result_shapes import META, ResultShapes


def describe(tensors):
    return [(t.shape, t.stride(), t.dtype, t.untyped_storage().nbytes()) for t in tensors]


def compute():
    """Pure, in-place, view, foreach, mixed and multiple results; forward and back."""
    x = torch.empty(4, 6, 8, 8, device=META).contiguous(memory_format=torch.channels_last)
    weight = torch.empty(6, 6, 3, 3, device=META, requires_grad=True)
    scale = torch.empty(6, device=META, requires_grad=True)
    mean, deviation = torch.zeros(2, 6, device=META)
    y = torch.conv2d(x, weight, padding=1)
    y = torch.nn.functional.batch_norm(y, mean, deviation, scale, scale, training=True).relu_()
    values, places = torch.nn.functional.max_pool2d(y, 2, return_indices=True)
    loss = (values * 2 + values.mul(2.0) + values.double()).sum()
    loss.backward()
    with torch.no_grad():
        torch._foreach_add_([weight, scale], [weight.grad, scale.grad], alpha=-0.1)
        sums = torch._foreach_mul([weight, scale], 0.9)
        low = weight.to(torch.bfloat16)
        same = x.expand(2, 4, 6, 8, 8).reshape(8, 6, 8, 8)
    made = [
        y,
        values,
        places,
        loss,
        weight.grad,
        scale.grad,
        *sums,
        low,
        same,
        x[1:],
        x > 1,
        torch.add(x, True),
    ]
    return describe(made)


def test_results_are_those_without_memory():
    expected = compute()
    with ResultShapes():
        for _ in range(3):
            assert compute() == expected


def test_as_much_memory_is_alive():
    peaks = []
    with LiveStorages(device=META) as live:
        compute()
        peaks.append(live.peak)
    for _ in range(2):
        with ResultShapes(), LiveStorages(device=META) as live:
            compute()
            compute()
            peaks.append(live.peak)
    assert peaks[0] > 0
    assert len(set(peaks)) == 1


def test_operators_run_once_per_shape():
    ran = []
    library = torch.library.Library("nasforge_result_shapes", "DEF")
    library.define("tripled(Tensor x, float by) -> Tensor")

    def tripled(x, by):
        ran.append((x.shape, by))
        return x.new_empty(3 * len(x))

    library.impl("tripled", tripled, "CompositeExplicitAutograd")
    operator = torch.ops.nasforge_result_shapes.tripled
    with ResultShapes():
        found = [operator(torch.empty(size, device=META), 1.0) for size in (2, 2, 5, 2, 5)]
        outside = operator(torch.ones(2), 1.0)
    assert [len(one) for one in found] == [6, 6, 15, 6, 15]
    assert len({one.untyped_storage()._cdata for one in found}) == 5
    assert len(ran) == 3
    assert outside.device.type == "cpu"
    library._destroy()
