"""Every proxy against numbers worked out by hand, on networks of a few weights."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nasforge.nn import Network, Output
from nasforge_plugins.evaluators.zero_cost.flow import synflow
from nasforge_plugins.evaluators.zero_cost.jacobian import epe_nas, jacov
from nasforge_plugins.evaluators.zero_cost.proxies import PROXIES
from nasforge_plugins.evaluators.zero_cost.regions import naswot
from nasforge_plugins.evaluators.zero_cost.saliency import fisher, grad_norm, grasp, grasp_fast, plain, snip
from nasforge_plugins.evaluators.zero_cost.size import flops, l2_norm, params

LABELS = torch.tensor([0])


class Line(Network):
    """Logits ``W x`` of images with one pixel."""

    def __init__(self, weight):
        super().__init__()
        self.linear = nn.Linear(len(weight[0]), len(weight), bias=False)
        self.linear.weight.data = torch.tensor(weight)

    def forward(self, x, weights=None):
        return Output(self.linear(x.flatten(1)))


class Chain(Network):
    """1x1 convolution, batch-norm if wanted, activation, mean, linear layer."""

    def __init__(self, width=3, classes=2, norm=True, activation=torch.relu):
        super().__init__()
        self.conv = nn.Conv2d(2, width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width) if norm else nn.Identity()
        self.linear = nn.Linear(width, classes)
        self.activation = activation

    def forward(self, x, weights=None):
        feature = self.activation(self.norm(self.conv(x)))
        return Output(self.linear(feature.mean((2, 3))), (feature,))


class Square(Network):
    """Half the squared length of an image, so that its Jacobian is the image."""

    def __init__(self, classes=1):
        super().__init__()
        self.classes = classes

    def forward(self, x, weights=None):
        half = x.square().flatten(1).sum(1, keepdim=True) / 2
        return Output(torch.cat([half, half.new_zeros(len(x), self.classes - 1)], 1))


class Codes(Network):
    def __init__(self, activation):
        super().__init__()
        self.activation = activation

    def forward(self, x, weights=None):
        return Output(self.activation(x.clone()).flatten(1))


def pixels(*rows):
    return torch.tensor(rows)[:, :, None, None]


def test_size():
    network, images = Chain(), torch.zeros(4, 2, 5, 5)
    assert params(network, images, LABELS) == 6 + 6 + 8
    assert flops(network, images, LABELS) == 25 * 6 + 6
    assert l2_norm(Line([[3.0, 4.0], [0.0, 0.0]]), pixels([1.0, 1.0]), LABELS) == 5.0


def test_gradient_of_a_linear_layer():
    # Two classes and equal logits: the gradient is (p - y) x with p - y = (-1/2, 1/2).
    network, image = Line([[1.0, 0.0], [1.0, 0.0]]), pixels([3.0, 4.0])
    assert grad_norm(network, image, LABELS) == pytest.approx(5 * math.sqrt(0.5))
    # Weight times gradient: 1 * (-3/2) and 1 * 3/2.
    assert plain(network, image, LABELS) == pytest.approx(0.0, abs=1e-6)
    assert snip(network, image, LABELS) == pytest.approx(3.0)
    # Activations (3, 3) times gradients (-1/2, 1/2), squared, halved; two weights per logit.
    assert fisher(network, image, LABELS) == pytest.approx(2 * 0.5 * 2 * 1.5**2)


def test_fisher_averages_over_images_and_sums_over_positions():
    network = Line([[1.0], [1.0]])
    one = fisher(network, pixels([2.0]), LABELS)
    assert one == pytest.approx(0.5 * 2 * 1.0)
    # The mean loss of two equal images halves each gradient: a quarter of the square.
    assert fisher(network, pixels([2.0], [2.0]), torch.tensor([0, 0])) == pytest.approx(one / 4)


class Cells(Network):
    """Two residual blocks; the shortcut of the second has no batch-norm, as in NAS-Bench-201."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4))
        self.cell = nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4))
        self.last = nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4))
        self.shortcut = nn.Conv2d(4, 4, 1, bias=False)
        self.head = nn.Linear(4, 3)

    def forward(self, x, weights=None):
        x = self.stem(x)
        x = x + self.cell(x)
        x = self.shortcut(x) + self.last(x)
        return Output(self.head(F.relu(x).mean((2, 3))))


@pytest.mark.parametrize("seed", range(3))
def test_fisher_against_every_weight_of_every_image(seed):
    """zero-cost-nas assigns the information of a channel to each weight of the channel, then sums."""
    torch.manual_seed(seed)
    network = Cells().double().train()
    images, labels = torch.randn(5, 2, 8, 8, dtype=torch.float64), torch.randint(0, 3, (5,))
    kept = {}
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    for layer in convolutions:
        layer.register_forward_hook(lambda layer, _, output: kept.update({layer: output}))
    loss = F.cross_entropy(network(images).logits, labels)
    total = 0.0
    for layer in convolutions:
        activation, (gradient,) = (
            kept[layer].detach(),
            torch.autograd.grad(loss, kept[layer], retain_graph=True),
        )
        for channel, weights in enumerate(layer.weight):
            by_image = [
                float((a[channel] * g[channel]).sum()) for a, g in zip(activation, gradient, strict=True)
            ]
            total += weights.numel() * sum(value**2 for value in by_image) / len(images) / 2
    assert fisher(network, images, labels) == pytest.approx(total, rel=1e-9)


def test_grasp_against_the_whole_hessian():
    torch.manual_seed(0)
    network = Chain(norm=False, activation=torch.tanh)
    images, labels = torch.randn(5, 2, 3, 3), torch.tensor([0, 1, 1, 0, 1])

    def loss(flat):
        conv, linear = flat[:6].view(3, 2, 1, 1), flat[6:].view(2, 3)
        hidden = F.conv2d(images, conv).tanh().mean((2, 3))
        return F.cross_entropy(F.linear(hidden, linear, network.linear.bias.detach()), labels)

    flat = torch.cat([network.conv.weight.flatten(), network.linear.weight.flatten()]).detach()
    gradient = torch.autograd.functional.jacobian(loss, flat)
    hessian = torch.autograd.functional.hessian(loss, flat)
    assert grasp(network, images, labels) == pytest.approx(float(-flat @ hessian @ gradient), rel=1e-4)
    assert grasp_fast(network, images, labels) == pytest.approx(float(-flat @ hessian @ gradient), rel=1e-3)


@pytest.mark.parametrize(("kind", "tolerance"), [(torch.float64, 0.01), (torch.float32, 0.01)])
@pytest.mark.parametrize("seed", range(6))
def test_grasp_fast_is_as_good_as_the_second_derivative(seed, kind, tolerance):
    torch.manual_seed(seed)
    network = Cells().to(kind)
    images, labels = torch.randn(16, 2, 8, 8, dtype=kind), torch.randint(0, 3, (16,))
    exact = grasp(network, images, labels)
    assert abs(exact) > 1e-3
    assert grasp_fast(network, images, labels) == pytest.approx(exact, rel=tolerance)


def test_synflow_of_two_layers():
    network = Chain(width=1)
    network.conv.weight.data = torch.tensor([[[[-2.0]], [[1.0]]]])
    network.linear.weight.data = torch.tensor([[3.0], [-1.0]])
    network.linear.bias.data = torch.tensor([-7.0, 0.0])
    # Ones become 2 + 1 = 3, logits 9 + 7 and 3; each layer carries the 12 that depend on it.
    assert synflow(network, torch.randn(4, 2, 3, 3), LABELS) == pytest.approx(math.log1p(24.0))


def test_synflow_grows_with_the_product_of_scales():
    torch.manual_seed(0)
    network, images = Chain(), torch.zeros(1, 2, 4, 4)
    before = math.expm1(synflow(network, images, LABELS))
    network.conv.weight.data *= -10
    assert math.expm1(synflow(network, images, LABELS)) == pytest.approx(10 * before)


def test_jacov_between_one_reaction_and_different_ones():
    same = jacov(Line([[1.0, 2.0]]), pixels([1.0, 0.0], [0.0, 1.0], [5.0, 5.0]), LABELS)
    k = 1e-5
    worst = -(math.log(3 + k) + 1 / (3 + k)) - 2 * (math.log(k) + 1 / k)
    assert same == pytest.approx(worst, rel=1e-6)
    apart = pixels([1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0])
    assert jacov(Square(), apart, LABELS) == pytest.approx(-2 * (math.log(1 + k) + 1 / (1 + k)))


def test_epe_nas_counts_pairs_within_classes():
    k = 1e-5
    apart = ([1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0])
    images = pixels(*apart, [2.0, -2.0, 0.0, 0.0])
    one_class = epe_nas(Square(), pixels(*apart), torch.tensor([0, 0]))
    # Two pairs correlate with 1 and two with 0.
    expected = abs(2 * math.log(1 + k) + 2 * math.log(k))
    assert one_class == pytest.approx(expected)
    # The third image is alone in its class: its only pair is with itself.
    assert epe_nas(Square(), images, torch.tensor([0, 0, 1])) == pytest.approx(expected + math.log(1 + k))
    # Above 100 classes: mean difference of the classes' means.
    both = abs((expected / 2) + math.log(1 + k)) * 2 / 2
    assert epe_nas(Square(101), images, torch.tensor([0, 0, 1])) == pytest.approx(both, rel=1e-4)


@pytest.mark.parametrize(
    "activation",
    [
        torch.relu,
        F.relu,
        torch.Tensor.relu,
        torch.relu_,
        nn.ReLU(),
        nn.ReLU(inplace=True),
        nn.ReLU6(),
        nn.SiLU(),
    ],
)
def test_naswot_counts_agreeing_units(activation):
    # Codes 10 and 11 agree in one unit of two: the kernel is ((2, 1), (1, 2)).
    images = pixels([1.0, -1.0], [2.0, 3.0])
    assert naswot(Codes(activation), images, LABELS) == pytest.approx(math.log(3))


def test_naswot_stays_finite_for_equal_codes_and_without_activations():
    images = pixels([1.0, 1.0], [2.0, 3.0])
    assert naswot(Codes(torch.relu), images, LABELS) == pytest.approx(math.log(4) + math.log(1e-5))
    assert naswot(Codes(torch.sigmoid), images, LABELS) == pytest.approx(2 * math.log(1e-5))


@pytest.mark.parametrize("name", PROXIES)
def test_the_network_is_left_as_it_was(name):
    torch.manual_seed(0)
    network, images = Chain().eval(), torch.randn(4, 2, 4, 4)
    network.linear.requires_grad_(False)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    PROXIES[name](network, images, torch.tensor([0, 1, 0, 1]))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not network.training
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not network.linear.weight.requires_grad


@pytest.mark.parametrize("name", [name for name in PROXIES if name not in ("zen", "zico")])
def test_the_order_of_images_does_not_matter(name):
    torch.manual_seed(0)
    network, images, labels = Chain(), torch.randn(6, 2, 4, 4), torch.tensor([0, 1, 0, 1, 1, 0])
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    torch.manual_seed(1)
    first = PROXIES[name](network, images, labels)
    torch.manual_seed(1)
    assert PROXIES[name](network, images[order], labels[order]) == pytest.approx(first, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("name", ["jacov", "epe_nas", "naswot", "synflow", "zen"])
def test_proxies_that_ignore_the_scale_of_the_first_weights(name):
    """Batch-norm undoes it, or (synflow) it only adds a constant."""
    torch.manual_seed(0)
    network, images, labels = Chain(), torch.randn(6, 2, 4, 4), torch.tensor([0, 1, 0, 1, 1, 0])
    scores = []
    for scale in (1.0, 4.0):
        network.conv.weight.data *= scale
        torch.manual_seed(1)
        scores.append(PROXIES[name](network, images, labels))
    if name == "synflow":
        assert math.expm1(scores[1]) == pytest.approx(4 * math.expm1(scores[0]))
    else:
        assert scores[1] == pytest.approx(scores[0], rel=1e-3)


@pytest.mark.parametrize("grasp", [grasp, grasp_fast])
def test_grasp_of_gates_that_torch_differentiates_once_only(grasp):
    images, labels = torch.randn(5, 2, 3, 3), torch.tensor([0, 1, 1, 0, 1])
    scores = []
    for activation in (F.hardsigmoid, lambda x: F.relu6(x + 3) / 6):
        torch.manual_seed(0)
        scores.append(grasp(Chain(activation=activation), images, labels))
    assert scores[0] == pytest.approx(scores[1], rel=1e-4)
    assert scores[0] != 0
