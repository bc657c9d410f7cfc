"""What exports start from, without a run."""

import torch

from nasforge.exports.source import ExportSource, Samples
from nasforge.images import Preprocessing
from support.exported_spaces import TASK, network_of

PREPROCESSING = Preprocessing(size=(16, 16), channels="rgb", mean=(0.5, 0.4, 0.3), deviation=(0.2, 0.25, 0.3))
NAMES = ("cat", "dog", "fox", "owl")


def source_of(space: str, *, network=None, images: int = 40, seed: int = 1, **fields) -> ExportSource:
    """Return a small network of a space, with images whose labels are its own answers.

    Args:
        space: One of `support.exported_spaces.SPACES`.
        network: Another network of the same task.
        images: Number of sample images.
        seed: Draws network and images.
        fields: Over those of the source.
    """
    network = network or network_of(space, seed)
    pixels = torch.randint(0, 256, (images, 3, 16, 16), dtype=torch.uint8)
    normalised = PREPROCESSING.apply(pixels).contiguous()
    with torch.no_grad():
        labels = network(normalised).logits.argmax(1)
    samples = Samples(normalised, labels)
    given = {"class_names": NAMES, "preprocessing": PREPROCESSING, "batch_size": 8, **fields}
    return ExportSource(network, TASK, samples, samples, **given)
