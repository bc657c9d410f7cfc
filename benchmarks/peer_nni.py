"""Steps of nni's one-shot DARTS, in nni's own environment; `python -m benchmarks --nni-python` drives it.

    python peer_nni.py darts --channels 16 --cells 8 --batch 16

nni 3.0 wants pytorch-lightning below 2.1 and setuptools below 80. What it does per step: a step of the
architecture on one batch, then a step of the weights on another, with its `nni.nas.strategy.DARTS` and its
own training loop. Without ``--driven`` it makes ``--steps`` steps and prints their seconds as JSON; with it,
one step for every line it reads, so that two programs can take turns.
"""

import argparse
import json
import sys
import time
import warnings
from typing import Any

import torch

warnings.filterwarnings("ignore")

import nni.nas.hub.pytorch as hub  # noqa: E402
from nni.nas.evaluator.pytorch import Classification  # noqa: E402
from nni.nas.strategy import DARTS  # noqa: E402
from pytorch_lightning.callbacks import Callback  # noqa: E402


class Turns(Callback):
    """Times what happens between the start and the end of a training batch."""

    def __init__(self, driven: bool, answer: Any) -> None:
        self.driven, self.answer = driven, answer
        self.seconds: list[float] = []

    def on_train_batch_start(self, trainer: Any, *args: Any) -> None:
        if self.driven and not sys.stdin.readline():
            trainer.should_stop = True
            raise SystemExit
        self.started = time.perf_counter()

    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - self.started)
        if self.driven:
            print(json.dumps({"seconds": self.seconds[-1]}), file=self.answer, flush=True)


def space(name: str, channels: int, cells: int) -> Any:
    if name == "darts":
        return hub.DARTS(width=channels, num_cells=cells, dataset="cifar")
    return hub.NasBench201(stem_out_channels=channels, num_modules_per_stack=cells, num_labels=10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("space", choices=["darts", "nasbench201"])
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--driven", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    answer, sys.stdout = sys.stdout, sys.stderr  # what others print is no answer

    torch.manual_seed(0)
    side = options.image_size
    images = torch.randn(2 * options.batch, 3, side, side)
    labels = torch.arange(len(images)) % 10
    examples = list(zip(images, labels, strict=True))
    loaders: list[Any] = [
        torch.utils.data.DataLoader(part, options.batch)
        for part in (examples[: options.batch], examples[options.batch :])
    ]
    turns = Turns(options.driven, answer)
    evaluator = Classification(
        learning_rate=0.025,
        weight_decay=3e-4,
        train_dataloaders=loaders[0],
        val_dataloaders=loaders[1],
        num_classes=10,
        max_epochs=100_000 if options.driven else options.steps,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        callbacks=[turns],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="gpu" if options.device.startswith("cuda") else "cpu",
        devices=1,
    )
    strategy = DARTS(gradient_clip_val=5.0)
    model = strategy.mutate_model(space(options.space, options.channels, options.cells))
    searched = strategy.mutate_evaluator(evaluator)
    searched.module.set_model(model)
    searched.trainer.fit(searched.module, searched.train_dataloaders, searched.val_dataloaders)
    print(json.dumps({"seconds": turns.seconds}), file=answer)


if __name__ == "__main__":
    main()
