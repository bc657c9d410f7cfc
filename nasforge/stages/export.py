"""The export stage: writes the trained network as files that work without nasforge."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nasforge.data import Split
from nasforge.errors import RunError
from nasforge.recipe.export_table import ExportConfig, FormatName
from nasforge.runs.classes import refuse_changed_classes
from nasforge.runs.clock import StageClock
from nasforge.runs.folder import inputs_of
from nasforge.runs.network import WEIGHTS
from nasforge.runs.scope import DERIVE, TEST, TRAIN, Scope
from nasforge.stages.stage import Stage

if TYPE_CHECKING:
    from nasforge.exports.source import ExportSource, Samples
    from nasforge.stages.runner import Run

__all__ = ["EXPORT", "Export", "export_run", "refuse_rejected"]

TABLE = "export"

_CALIBRATION: frozenset[Split] = frozenset({"weights", "select"})

EXPORT = Scope(TABLE, _CALIBRATION | TEST.reads)
"""Images for calibration; and those of the test stage, which is over: nothing is chosen by them any more."""


class Export(Stage):
    """Writes the formats of the ``[export]`` table, and compares each with the network on test images."""

    scope = EXPORT

    def needed(self, tables: Collection[str]) -> bool:
        """Return whether the recipe has an ``[export]`` table."""
        return TABLE in tables

    def inputs(self, run: Run) -> dict[str, Any]:
        """Return the fingerprint of the training, and the options of the export."""
        trained = run.results[TRAIN.stage]["fingerprint"]
        return {TRAIN.stage: trained, **inputs_of(run.resolved, TABLE)}

    def check(self, run: Run) -> None:
        """Refuse a training that has kept no network.

        Raises:
            RunError: There are no weights.
        """
        if not (run.folder.stage(TRAIN.stage) / WEIGHTS).exists():
            raise RunError(
                f"{TABLE}: the trainer {run.resolved[TRAIN.stage]['use']!r} keeps no trained network, so "
                "there is nothing to export. Train with another one."
            )

    def run(self, run: Run, clock: StageClock) -> dict[str, Any]:
        """Write all formats. One that fails is a warning; `verify` refuses one that disagrees."""
        assert run.recipe.export is not None, "the stage is not needed without"
        result = export_run(run, run.recipe.export.formats)
        for name, found in result["formats"].items():
            if "failed" in found and not found.get("rejected"):
                warnings.warn(
                    f"{TABLE}: {name} was not written (nasforge {TABLE} {run.folder.path} --format {name} "
                    f"tries again): {found['failed']}",
                    stacklevel=2,
                )
        return result

    def verify(self, result: Mapping[str, Any]) -> None:
        """Refuse files that disagree with the network; see `refuse_rejected`."""
        refuse_rejected(result["formats"])


def export_run(run: Run, formats: Sequence[FormatName]) -> dict[str, Any]:
    """Write the network of a trained run in some formats.

    Args:
        run: Has the results of derive, train and test.
        formats: Their names.

    Returns:
        ``formats`` and ``source``; see `nasforge.exports.writing.Written`.
    """
    from nasforge.exports.writing import write_formats

    def report(name: str) -> None:
        run.observer.progress(TABLE, {"done": formats.index(name) / len(formats)})

    written = write_formats(_source(run), run.folder.stage(TABLE), formats, report)
    trained = run.results[TRAIN.stage]["fingerprint"]
    return {"formats": written.formats, "source": written.source, TRAIN.stage: trained}


def refuse_rejected(formats: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise for files that disagree with their network.

    Args:
        formats: Results of formats by name.

    Raises:
        RunError: There is such a file. It is kept in the folder ``rejected``, and all else is stored.
    """
    wrong = [f"{name} {found['failed']}" for name, found in formats.items() if found.get("rejected")]
    if wrong:
        raise RunError(f"{TABLE}: {' '.join(wrong)} All other results are stored.")


def _source(run: Run) -> ExportSource:
    from nasforge.arch import Arch
    from nasforge.exports.source import ExportSource
    from nasforge.images import Preprocessing
    from nasforge.runs.network import load_network, read_weights

    options = run.recipe.export or ExportConfig()
    _, about = read_weights(run.folder.stage(TRAIN.stage) / WEIGHTS)
    derived, tested = run.results[DERIVE.stage], run.results.get(TEST.stage, {})
    described = about.get("preprocessing")
    known = Preprocessing.from_json(described) if described else run.data.preprocessing
    split = "select" if run.data.sizes().get("select") else "weights"
    arch = Arch(derived["architecture"])
    return ExportSource(
        network=load_network(run.folder.path),
        task=run.task,
        samples=_samples(run, "test", options.images, options.batch_size),
        calibration=_samples(run, split, options.calibration_images, options.batch_size),
        class_names=_class_names(run, about),
        preprocessing=known,
        about={"name": run.folder.path.name, **_numbers(derived), **_numbers(tested)},
        graphs=run.space.graphs(arch),
        recipe=run.recipe.text,
        batch_size=options.batch_size,
    )


def _class_names(run: Run, about: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the class names that the network was trained with.

    Raises:
        RunError: The images have other classes now, so their labels do not belong to its logits.
    """
    now = tuple(run.data.class_names)
    if trained := about.get("class_names"):
        refuse_changed_classes(TABLE, trained, now)
    return now


def _numbers(result: Mapping[str, Any]) -> dict[str, Any]:
    kept = {"notation", "params", "macs"}
    return {k: v for k, v in result.items() if k in kept or "accuracy" in k}


def _samples(run: Run, split: Any, count: int, batch_size: int) -> Samples:
    """Return images of a split, spread evenly over it; 0 takes all."""
    import torch

    from nasforge.exports.source import Samples
    from nasforge.runs.guard import GuardedData

    def log(name: str) -> None:
        run.folder.log_access({"stage": TABLE, "reader": TABLE, "split": name})

    data = GuardedData(run.data, EXPORT, TABLE, log)
    size = data.sizes()[split]
    wanted = set(torch.linspace(0, size - 1, min(count or size, size)).round().long().tolist())
    images, labels, seen = [], [], 0
    for batch, target in data.batches(split, augment=False, batch_size=min(batch_size, size)):
        picked = [i for i in range(len(target)) if seen + i in wanted]
        seen += len(target)
        images.append(batch[picked].cpu().contiguous())
        labels.append(target[picked].cpu())
    return Samples(torch.cat(images), torch.cat(labels))
