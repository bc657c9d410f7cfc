"""Building blocks that make a network and its supernet the same code."""

from nasforge.nn.choice import ChoiceBlock, EdgeSum, pick_options, weighted_sum
from nasforge.nn.depthwise import convolve_depthwise
from nasforge.nn.droppath import DropPath, set_drop_path
from nasforge.nn.elastic import (
    Extent,
    Sliced,
    SlicedBatchNorm2d,
    SlicedConv2d,
    SlicedLayerNorm,
    SlicedLinear,
    Width,
    cut,
)
from nasforge.nn.output import FeatureInfo, Network, OptionWeights, Output, Picked, is_exporting
from nasforge.nn.partial import bypass, part_of
from nasforge.nn.relax import (
    ArchParameters,
    Dirichlet,
    Gumbel,
    Relaxation,
    Sigmoid,
    Softmax,
    uniform_weights,
)
from nasforge.nn.weights import copy_shared, one_hot, tie

__all__ = [
    "ArchParameters",
    "ChoiceBlock",
    "Dirichlet",
    "DropPath",
    "EdgeSum",
    "Extent",
    "FeatureInfo",
    "Gumbel",
    "Network",
    "OptionWeights",
    "Output",
    "Picked",
    "Relaxation",
    "Sigmoid",
    "Sliced",
    "SlicedBatchNorm2d",
    "SlicedConv2d",
    "SlicedLayerNorm",
    "SlicedLinear",
    "Softmax",
    "Width",
    "bypass",
    "convolve_depthwise",
    "copy_shared",
    "cut",
    "is_exporting",
    "one_hot",
    "part_of",
    "pick_options",
    "set_drop_path",
    "tie",
    "uniform_weights",
    "weighted_sum",
]
