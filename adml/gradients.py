"""What each loss term asks of the two encoders: the norm and direction of its gradient."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from adml.build.training import Training, build_training
from adml.config import load_config
from adml.errors import DataError, UsageError
from adml.experiment import default_cache, read_values
from adml.text.g2p import G2P
from adml.training.seeding import set_seeds

ENCODERS = ("acoustic", "text")


@dataclass(frozen=True)
class TermGradient:
    """One loss term's pull on one encoder, averaged over batches.

    Args:
        term: its name, as in metrics.csv.
        encoder: "acoustic" or "text".
        value: of the term, before its weight.
        weight: its factor in the total.
        norm: L2 norm of the weighted term's gradient in the encoder's variables.
        cosine: between that gradient and the total's; below 0 the term works against the
            others together. On one batch norm * cosine, added up over the terms, is the norm of
            the total's gradient. None where the term does not reach the encoder.
    """

    term: str
    encoder: str
    value: float
    weight: float
    norm: float
    cosine: float | None


def term_gradients(
    workdir: str | Path, *, cache: Path | None = None, batches: int = 4
) -> list[TermGradient]:
    """Measure, at a run's newest checkpoint, the gradient of each weighted term by itself.

    The batches are those that the run would train on next; nothing in the run folder changes.
    The adversary's terms are as the encoders feel them, behind the gradient reversal.

    Args:
        workdir: the run folder.
        cache: folder for decoded speech.
        batches: how many batches to average over.

    Raises:
        UsageError: the folder is no run, or has no checkpoint.
        DataError: the data is not what the run was trained on.
    """
    training, step = open_training(workdir, cache)
    measured = [
        _measure(training, position)
        for position in tqdm(range(step, step + batches), desc="gradients", unit="batch")
    ]
    return [
        TermGradient(term, encoder, *map(_mean, zip(*rows, strict=True)))
        for term, encoder in measured[0]
        for rows in [[one[term, encoder] for one in measured]]
    ]


def open_training(workdir: str | Path, cache: Path | None) -> tuple[Training, int]:
    """What a run trains with, at its newest checkpoint on one device, and the steps it has done.

    Raises:
        UsageError: the folder is no run, or has no checkpoint.
    """
    folder = Path(workdir)
    if not (folder / "config.yaml").is_file():
        raise UsageError(
            f"{folder} is no run folder. Expected: a folder with config.yaml, made by `adml train`."
        )
    config = load_config(folder / "config.yaml", ["training.replicas=1"])
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
            f"hash {before['data_hash']}. Received: {found}."
        )
    return training, step


def _measure(training: Training, position: int) -> dict[tuple[str, str], tuple[float | None, ...]]:
    """(term, encoder) -> value, weight, norm, cosine, on the batch of one step."""
    source, step = training.source, training.step
    epoch, place = divmod(position, source.batches_per_epoch)
    batch = step.distribute(source.batch(epoch, place))
    fraction = tf.constant(training.margin(position / source.batches_per_epoch), tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        terms = step.terms(batch, fraction)
    encoders = {name: getattr(step.model, name).trainable_variables for name in ENCODERS}
    weights = {name: step.losses.term_weights.get(name, 0.0) for name in terms}
    used = [name for name in terms if name != "total" and weights[name]]
    gradients = {
        name: {
            encoder: weights[name] * _flat(tape.gradient(terms[name], variables), variables)
            for encoder, variables in encoders.items()
        }
        for name in used
    }
    del tape
    total = {encoder: sum(one[encoder] for one in gradients.values()) for encoder in ENCODERS}
    return {
        (name, encoder): (
            float(terms[name]),
            weights[name],
            float(np.linalg.norm(gradients[name][encoder])),
            _cosine(gradients[name][encoder], total[encoder]),
        )
        for name in used
        for encoder in ENCODERS
    }


def _flat(gradients, variables) -> np.ndarray:
    """All gradients as one vector; a variable that the term does not reach counts as zeros."""
    parts = [
        np.zeros(int(np.prod(variable.shape)))
        if gradient is None
        else np.ravel(tf.convert_to_tensor(gradient).numpy())
        for gradient, variable in zip(gradients, variables, strict=True)
    ]
    return np.concatenate(parts).astype(np.float64)


def _cosine(one, other) -> float | None:
    length = np.linalg.norm(one) * np.linalg.norm(other)
    return float(np.dot(one, other) / length) if length else None


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
