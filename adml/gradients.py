"""The gradients of each loss term at the newest checkpoint of a run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tqdm import tqdm

from adml.build.training import Training, build_training
from adml.config import load_config
from adml.errors import DataError, UsageError
from adml.experiment import default_cache, read_values, require_encoders
from adml.run_folder import require_run
from adml.text.g2p import G2P
from adml.training.seeding import set_seeds
from adml.training.term_gradients import TermGradient, TermGradients


def term_gradients(
    workdir: str | Path,
    *,
    speech: Path | None = None,
    cache: Path | None = None,
    batches: int = 4,
) -> list[TermGradient]:
    """Measure, at a run's newest checkpoint, the gradient of each weighted term by itself.

    The batches are those that the run would train on next; nothing in the run folder changes.
    The adversary's terms are as the encoders feel them, behind the gradient reversal.

    Args:
        workdir: the run folder.
        speech: folder of the sets; the run's own where None.
        cache: folder for decoded speech.
        batches: how many batches to average over.

    Raises:
        UsageError: the folder is no run or a baseline's, or has no checkpoint.
        DataError: the data is not what the run was trained on.
    """
    training, step = open_training(workdir, cache, speech)
    terms = TermGradients(training.step)
    measured = [
        _measure(training, terms, position)
        for position in tqdm(range(step, step + batches), desc="gradients", unit="batch")
    ]
    return [
        TermGradient(term, encoder, *map(_mean, zip(*rows, strict=True)))
        for term, encoder in measured[0]
        for rows in [[one[term, encoder] for one in measured]]
    ]


def open_training(
    workdir: str | Path, cache: Path | None, speech: Path | None = None
) -> tuple[Training, int]:
    """What a run trains with, at its newest checkpoint on one device, and the steps it has done.

    Raises:
        UsageError: the folder is no run or a baseline's, or has no checkpoint.
    """
    folder = require_run(workdir)
    elsewhere = [f"data.root={json.dumps(str(speech.resolve()))}"] if speech else []
    config = load_config(folder / "config.yaml", ["training.replicas=1", *elsewhere])
    require_encoders(config, folder)
    set_seeds(config.seed)
    training = build_training(config, cache or default_cache(), G2P())
    step = training.checkpoints(folder / "checkpoints", keep=1).restore_latest()
    if not step:
        raise UsageError(f"{folder} has no checkpoint. Expected: a run that trained.")
    before = read_values(folder / "data.json", "it is not known what the run was trained on")
    found = training.source.segments.data_hash
    if before.get("data_hash", found) != found:
        raise DataError(
            f"The data is not what the run in {folder} was trained on. Expected: the segments of "
            f"hash {before['data_hash']}. Received: {found}. Give that data by --speech DIR."
        )
    return training, step


def _measure(
    training: Training, terms: TermGradients, position: int
) -> dict[tuple[str, str], tuple[float | None, ...]]:
    """(term, encoder) -> value, weight, norm, cosine, on the batch of one step."""
    source = training.source
    batch = source.batch(*divmod(position, source.batches_per_epoch))
    fraction = training.margin(position / source.batches_per_epoch)
    return {
        (row.term, row.encoder): (row.value, row.weight, row.norm, row.cosine)
        for row in terms.measure(batch, fraction)
    }


def _mean(values) -> float | None:
    """Mean of what is defined."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def format_gradients(rows: list[TermGradient]) -> str:
    """A table of the terms, one line for a term and an encoder, the largest norm first."""
    lines = [f"{'term':24} {'encoder':9} {'value':>9} {'weight':>7} {'norm':>9} {'cosine':>7}"]
    for row in sorted(rows, key=lambda row: (row.encoder, -row.norm)):
        lines.append(
            f"{row.term:24} {row.encoder:9} {row.value:9.4f} {row.weight:7.3g} {row.norm:9.4f} "
            + ("      –" if row.cosine is None else f"{row.cosine:7.3f}")
        )
    return "\n".join(lines)
