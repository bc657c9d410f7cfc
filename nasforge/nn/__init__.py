"""Building blocks that make a network and its supernet the same code."""

from nasforge.nn.choice import ChoiceBlock, EdgeSum
from nasforge.nn.droppath import DropPath, set_drop_path
from nasforge.nn.output import FeatureInfo, Network, OptionWeights, Output
from nasforge.nn.relax import ArchParameters, uniform_weights
from nasforge.nn.weights import copy_shared, one_hot, tie

__all__ = [
    "ArchParameters",
    "ChoiceBlock",
    "DropPath",
    "EdgeSum",
    "FeatureInfo",
    "Network",
    "OptionWeights",
    "Output",
    "copy_shared",
    "one_hot",
    "set_drop_path",
    "tie",
    "uniform_weights",
]
