"""Where the time of one training step goes, part by part.

Each part of the step is compiled as a graph of its own and run on one batch: the features are
given to the acoustic tower, the model's outputs to the losses, the gradients to the optimizers.
The parts overlap nowhere but in what is said beside them, and do not add up to the step exactly:
a whole graph computes parts at the same time, and hands on what apart is kept.
"""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import tensorflow as tf

from adml.benchmarks.encoder import encoder_stepper
from adml.benchmarks.memory import peak_mb
from adml.benchmarks.noise import make_noise_corpus, noise_config
from adml.build.training import Training, build_training
from adml.text.g2p import G2P

logger = logging.getLogger(__name__)

Run = Callable[[], object]


def profile_benchmark(keywords: int = 250, *, rounds: int = 3, seed: int = 0) -> dict:
    """Time the parts of a training step of the paper's objective, and its memory.

    Args:
        keywords: K; the batch has 2 K utterances of 0.3 to 1.5 s.
        rounds: of all parts in turn.
        seed: of the corpus of noise.

    Returns:
        `parts`: a row each of `part`, `seconds`, `low`, `high` (wall time; median, least and
        most of the rounds) and `cpu_seconds`; `batch_size`, `classes`, `phonemes` of the batch;
        `peak_mb`: of the process after the first rounds of whole steps; `share`: utterances per
        CPU-second of the whole step by those of the encoder alone.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = noise_config(make_noise_corpus(Path(folder), seed), keywords)
        training = build_training(config, Path(folder), G2P())
        batch = training.source.batch(0, 0)
        whole = _whole(training, batch)
        whole(), whole()
        peak = peak_mb()
        parts = {"whole step": whole, **_parts(training, batch)}
        for run in parts.values():
            run()
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in parts}
        for number in range(rounds):
            for name, run in parts.items():
                start, cpu = time.perf_counter(), time.process_time()
                run()
                taken[name].append((time.perf_counter() - start, time.process_time() - cpu))
            logger.info("round %d of %d: %.2f s", number + 1, rounds, taken["whole step"][-1][0])
    rows = {name: _row(name, values) for name, values in taken.items()}
    step, alone = rows["whole step"], rows["encoder alone, with update"]
    return {
        "parts": list(rows.values()),
        "batch_size": 2 * keywords,
        "classes": training.source.num_classes,
        "phonemes": int(2 * batch["phoneme_lengths"].sum()),
        "seconds_of_audio": float(batch["waveform_lengths"].sum()) / 16000,
        "peak_mb": peak,
        "share": alone["cpu_seconds"] / step["cpu_seconds"],
        "rounds": rounds,
    }


def _row(name: str, values: list[tuple[float, float]]) -> dict:
    wall = [one for one, _ in values]
    return {
        "part": name,
        "seconds": statistics.median(wall),
        "low": min(wall),
        "high": max(wall),
        "cpu_seconds": statistics.median(cpu for _, cpu in values),
    }


def _whole(training: Training, batch: Mapping) -> Run:
    return lambda: training.step(batch)


def _parts(training: Training, batch: Mapping) -> dict[str, Run]:
    """Part -> what runs it once."""
    step = training.step
    tensors = {name: tf.convert_to_tensor(value) for name, value in batch.items()}
    fraction = tf.constant(1.0)
    features, lengths = step.log_mel(tensors["waveform"], tensors["waveform_lengths"])
    texts = (tensors["phonemes"], tensors["phoneme_lengths"])
    model = step.model
    outputs = _compiled(lambda batch: step.outputs(batch))(tensors)
    variables = [variable for group in step.groups.values() for variable in group.variables]
    forward = _compiled(lambda batch: step.terms(batch, fraction))
    both = _compiled(lambda batch: _gradient(lambda: step.terms(batch, fraction), variables))
    gradients = both(tensors)
    update = _compiled(lambda given: _update(step, given))
    parts = {
        "making of the batch, beside it": lambda: training.source.batch(0, 0),
        "forward": lambda: forward(tensors),
        "forward and backward": lambda: both(tensors),
        "update": lambda: update(gradients),
        "front end": _runner(step.log_mel, tensors["waveform"], tensors["waveform_lengths"]),
        "acoustic tower, both ways": _tower(model.acoustic, features, lengths),
        "text tower, both ways": _tower(model.text, *texts),
    }
    terms = [name for name, weight in step.losses.term_weights.items() if weight]
    for name in ("total", *terms):
        if run := _term(step, outputs, tensors, name):
            parts["all losses, both ways" if name == "total" else f"loss {name}"] = run
    parts["encoder alone, with update"] = encoder_stepper(True, features, lengths)
    return parts


def _compiled(function: Callable) -> Callable:
    return tf.function(function, autograph=False)


def _runner(function: Callable, *inputs) -> Run:
    compiled = _compiled(lambda *given: function(*given))
    return lambda: compiled(*inputs)


def _gradient(loss: Callable, sources: list) -> list:
    with tf.GradientTape() as tape:
        value = loss()["total"]
    return tape.gradient(value, sources)


def _update(step, gradients: list) -> tf.Tensor:
    given = iter(gradients)
    for group in step.groups.values():
        pairs = [(next(given), variable) for variable in group.variables]
        found = [(gradient, variable) for gradient, variable in pairs if gradient is not None]
        ours = [tf.convert_to_tensor(gradient) for gradient, _ in found]
        if group.clip_norm is not None:
            ours, _ = tf.clip_by_global_norm(ours, group.clip_norm)
        group.optimizer.apply_gradients(
            zip(ours, [variable for _, variable in found], strict=True),
            skip_gradients_aggregation=True,
        )
    return tf.zeros([])


def _tower(tower, inputs: tf.Tensor, lengths: tf.Tensor) -> Run:
    """A tower forward and backward, from the square of what it gives."""

    def both(inputs, lengths):
        with tf.GradientTape() as tape:
            found = tower(inputs, lengths, training=True)
            loss = tf.add_n([tf.reduce_mean(tf.square(one)) for one in found])
        return tape.gradient(loss, tower.trainable_variables)

    return _runner(both, inputs, lengths)


def _term(step, outputs: Mapping, batch: Mapping, name: str) -> Run | None:
    """A term forward and backward to the model's outputs; the runtime leaves out the others."""
    floating = {
        key: value
        for key, value in outputs.items()
        if isinstance(value, tf.Tensor) and value.dtype.is_floating
    }
    logits = dict(outputs["modality_logits"])
    reached: list[bool] = []

    def both(floating, logits):
        sources = [*floating.values(), *logits.values(), *step.losses.trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch([*floating.values(), *logits.values()])
            given = {**outputs, **floating, "modality_logits": logits}
            terms = step.losses(given, batch, margin_fraction=1.0, training=True)
        if name not in terms:
            return []
        found = [one for one in tape.gradient(terms[name], sources) if one is not None]
        reached.append(bool(found))
        return found

    compiled = _compiled(both)
    compiled(floating, logits)
    return (lambda: compiled(floating, logits)) if any(reached) else None


def format_profile(values: Mapping) -> str:
    """Returns the figures as a table of Markdown."""
    rows = {row["part"]: row for row in values["parts"]}
    step = rows["whole step"]["seconds"]
    lines = [
        f"| part of a step (batch {values['batch_size']}, {values['phonemes']:,} phonemes, "
        f"{values['seconds_of_audio']:.0f} s of audio, {values['classes']:,} classes) "
        "| seconds | least to most | of the step |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {row['seconds']:.3f} | {row['low']:.3f} to {row['high']:.3f} "
        f"| {row['seconds'] / step:.1%} |"
        for name, row in rows.items()
    ]
    backward = rows["forward and backward"]["seconds"] - rows["forward"]["seconds"]
    return "\n".join(
        [
            *lines,
            "",
            f"Backward alone, by difference: {backward:.3f} s, {backward / step:.0%} of the step. "
            f"By CPU-seconds the whole step trains {values['share']:.0%} as many utterances as "
            f"the acoustic encoder alone. Peak memory {values['peak_mb'] / 1024:.2f} GiB.",
        ]
    )
