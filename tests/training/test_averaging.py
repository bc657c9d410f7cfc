import pytest
import torch
from torch import nn

from nasforge.training.averaging import WeightAverage


def decay_of(update: int, decay: float, warmup: bool) -> float:
    return min(decay, (1 + update) / (10 + update)) if warmup else decay


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("warmup", [False, True])
def test_the_average_is_the_weighted_sum_of_all_weights(warmup: bool, every: int) -> None:
    layer = nn.Linear(4, 3).double()
    average = WeightAverage(layer, 0.7, warmup=warmup, every=every)
    seen = [layer.weight.detach().clone()]
    for step in range(1, 13):
        with torch.no_grad():
            layer.weight.normal_()
        average.update()
        if step % every == 0:
            seen.append(layer.weight.detach().clone())
    # m_N = d_1…d_N w_0 + Σ (1 - d_i) d_{i+1}…d_N w_i
    expected = torch.zeros_like(seen[0])
    share = 1.0
    for number in range(len(seen) - 1, 0, -1):
        decay = decay_of(number - 1, 0.7, warmup)
        expected += share * (1 - decay) * seen[number]
        share *= decay
    expected += share * seen[0]
    torch.testing.assert_close(average.weights()["weight"], expected, rtol=1e-12, atol=1e-12)


def test_counts_are_copied_and_the_module_gets_its_weights_back() -> None:
    norm = nn.BatchNorm1d(2)
    average = WeightAverage(norm, 0.5, warmup=False)
    norm(torch.randn(8, 2))
    own = {name: tensor.clone() for name, tensor in norm.state_dict().items()}
    average.update()
    assert average.weights()["num_batches_tracked"] == 1
    torch.testing.assert_close(average.weights()["running_var"], (1 + own["running_var"]) / 2)
    with average.applied():
        assert torch.equal(norm.running_var, average.weights()["running_var"])  # type: ignore[arg-type]
    assert all(torch.equal(own[name], tensor) for name, tensor in norm.state_dict().items())
