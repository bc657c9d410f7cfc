"""Class names and probabilities for image files, from the trained network of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image
from pydantic import PositiveInt
from torch import Tensor

from nasforge.errors import DataError, ImageError, RunError
from nasforge.files import read_json
from nasforge.images import Preprocessing
from nasforge.images.broken import list_broken
from nasforge.nn import Network
from nasforge.runs.network import Trained, load_trained
from nasforge.runs.scope import TEST
from nasforge.runs.stored import StageResult
from nasforge.runtime import Runtime

__all__ = ["ImagePredictor", "Prediction", "load_predictor"]

Source = str | Path | Image.Image | Tensor
"""An image: a file, a Pillow image, or bytes ``(C, H, W)``."""

BATCH = 64
THREADS = 8
"""Images decoded at the same time."""

_REMEDY = "Replace or remove them; nasforge predict leaves them out with --skip-broken."


@dataclass(frozen=True)
class Prediction:
    """The prediction of a network for one image.

    Attributes:
        class_name: Name of the most probable class.
        probability: Its probability, from 0 to 1.
        probabilities: Probabilities of all classes by name, most probable first.
    """

    class_name: str
    probability: float
    probabilities: Mapping[str, float]


class ImagePredictor:
    """A trained network with the preprocessing and the class names of its run.

    Images are prepared by the same code as in the test stage. On the same device, the same images in the same
    batches have the same logits, bit for bit.

    Args:
        network: Maps normalised images to an `Output`; in `eval` mode.
        preprocessing: Preparation of the images.
        class_names: Names of the classes, by position of their logit.
        runtime: Device and precision.
        batch_size: Images per batch.
    """

    def __init__(
        self,
        network: Network,
        preprocessing: Preprocessing,
        class_names: tuple[str, ...],
        runtime: Runtime,
        batch_size: int = BATCH,
    ) -> None:
        self.network = runtime.prepare(network)
        self.preprocessing, self.class_names = preprocessing, class_names
        self.runtime, self.batch_size = runtime, batch_size

    def __call__(self, images: Source | Iterable[Source]) -> list[Prediction]:
        """Predict the classes of images of any size.

        Args:
            images: Files, Pillow images or uint8 tensors ``(C, H, W)``, or one of them.

        Returns:
            A prediction per image, in order.

        Raises:
            DataError: Images cannot be read, or they are something else. All are listed.
        """
        sources = _each(images)
        found: list[Prediction] = []
        broken: dict[str, str] = {}
        position = 0
        while batch := list(islice(sources, self.batch_size)):
            pixels = list(self._decode(batch, position, broken))
            if not broken:  # with a broken image there is no answer; the others are read to list all of them
                found += self.predict(torch.stack(pixels))
            position += len(batch)
        if broken:
            raise DataError(list_broken("predict", broken, position, _REMEDY))
        return found

    @torch.inference_mode()
    def logits(self, pixels: Tensor) -> Tensor:
        """Run the network.

        Args:
            pixels: uint8 ``(N, C, H, W)``, of the size in ``preprocessing``.

        Returns:
            Logits ``(N, classes)``, on the device.
        """
        images = self.preprocessing.apply(pixels.to(self.runtime.device))
        with self.runtime.autocast():
            return self.network(self.runtime.prepare_images(images)).logits

    def predict(self, pixels: Tensor) -> list[Prediction]:
        """Predict the classes of one batch.

        Args:
            pixels: uint8 ``(N, C, H, W)``, of the size in ``preprocessing``.
        """
        logits = self.logits(pixels)
        # The class is that of the highest logit, as accuracy counts it: probabilities may round to a tie.
        best = logits.argmax(1).tolist()
        probabilities = logits.float().cpu().double().softmax(1).tolist()
        return [self._named(row, first) for row, first in zip(probabilities, best, strict=True)]

    def _named(self, probabilities: list[float], first: int) -> Prediction:
        order = sorted(range(len(probabilities)), key=lambda i: (i != first, -probabilities[i]))
        named = {self.class_names[i]: probabilities[i] for i in order}
        return Prediction(self.class_names[first], probabilities[first], named)

    def _decode(self, batch: list[Source], first: int, broken: dict[str, str]) -> Iterator[Tensor]:
        def read(numbered: tuple[int, Source]) -> Tensor | str:
            try:
                return self.preprocessing.read(numbered[1]).cpu()
            except DataError as error:
                return error.reason if isinstance(error, ImageError) else str(error)

        numbered = list(enumerate(batch, first))
        with ThreadPoolExecutor(THREADS) as pool:
            for (number, source), pixels in zip(numbered, pool.map(read, numbered), strict=True):
                if isinstance(pixels, str):
                    broken[_name_of(source, number)] = pixels
                else:
                    yield pixels


def _each(images: Source | Iterable[Source]) -> Iterator[Source]:
    """Iterate over images; what is neither an image nor a list counts as one, for a single error."""
    if isinstance(images, Tensor):
        single = images.dim() != 4
    else:
        known = isinstance(images, str | Path | Image.Image | bytes | np.ndarray)
        single = known or not isinstance(images, Iterable)
    return iter(cast("Iterable[Source]", [images] if single else images))


def load_predictor(folder: str | Path, device: str | None = None) -> ImagePredictor:
    """Load the trained network of a finished run with its preprocessing and class names.

    Args:
        folder: The run folder.
        device: Device to compute on; None takes that of the recipe.

    Raises:
        RunError: The folder is not a run, its network has not been trained, or it lacks the description of
            its images.
        CheckpointError: The weights cannot be read or do not fit.
    """
    trained = load_trained(folder)
    preprocessing, names = _described(trained, Path(folder))
    runtime = Runtime.of(trained.recipe.run, device)
    return ImagePredictor(trained.network, preprocessing, names, runtime, _batch_size(Path(folder)))


def _described(trained: Trained, folder: Path) -> tuple[Preprocessing, tuple[str, ...]]:
    about, weights = trained.about, trained.weights
    anew = (
        f"Delete result.json in '{weights.parent}' and in '{folder / TEST.stage}', then run nasforge run "
        f"{folder}: the trained weights are kept and stored anew, and the network is tested again."
    )
    if missing := [key for key in ("class_names", "preprocessing") if key not in about]:
        raise RunError(
            f"{weights}: lacks {' and '.join(missing)}, because an older version of nasforge wrote it. {anew}"
        )
    if about["preprocessing"] is None:
        raise RunError(
            f"{folder}: its images do not come from image files, says data "
            f"{trained.recipe.parts['data'].plugin.name!r}. To predict, give it a property 'preprocessing'."
        )
    names, count = tuple(about["class_names"]), trained.task.num_classes
    if len(names) != count:
        raise RunError(
            f"{weights}: has {len(names)} class names for {count} logits, so it was changed by something "
            f"else. {anew}"
        )
    return Preprocessing.from_json(about["preprocessing"]), names


def _batch_size(folder: Path) -> int:
    """Return the batch size of the test stage: with the same batches, logits have the same bits."""
    path = folder / TEST.stage / "result.json"
    return int(read_json(path, _TestResult)["test_batch_size"] or BATCH) if path.exists() else BATCH


class _TestResult(StageResult):
    test_batch_size: PositiveInt | None = None


def _name_of(source: Source, number: int) -> str:
    return str(source) if isinstance(source, str | Path) else f"image {number}"
