"""What was not finite in the step that ended a run, from its state and batch; nothing is trained.

In order: items of the batch, features, variables, outputs of the model, terms, gradients. The
first of these that is not finite is where to look; what follows it is its consequence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from adml.build.model import build_log_mel, build_losses, build_model, build_strategy
from adml.config import load_config
from adml.errors import UsageError
from adml.numerics.autocast import autocast
from adml.run_folder import read_values, require_run
from adml.text.phonemes import SYMBOLS
from adml.training.checkpoint import Checkpoints, read_arrays
from adml.training.nonfinite import POSTMORTEM
from adml.training.shares import UTTERANCE_KEYS
from adml.training.step import TrainingStep
from adml.training.term_gradients import kept

_LISTED = 5


@dataclass(frozen=True)
class Postmortem:
    """What is not finite.

    Args:
        step: the step that ended the run, counted from 1; its update was left out.
        skipped: all steps of the run that were left out.
        recorded: the figures that the run saw; those not finite as text.
        inputs: array of the batch -> its rows that are not finite.
        features: rows of the batch's audio whose features are not finite.
        variables: variable of the state -> how many of its numbers are not finite.
        outputs: output of the model on the whole batch -> how many of its numbers are not finite.
        alone: utterances whose own embedding is not finite where no other is looked at.
        terms: figures that are not finite, computed anew.
        gradients: term, or "total" -> the variables in which its gradient is not finite.
        items: utterance that `inputs`, `features` or `alone` concern -> its phonemes.
    """

    step: int
    skipped: list[int]
    recorded: dict[str, float | str]
    inputs: dict[str, list[int]]
    features: list[int]
    variables: dict[str, int]
    outputs: dict[str, int]
    alone: list[int]
    terms: list[str]
    gradients: dict[str, list[str]]
    items: dict[int, str]

    @property
    def verdict(self) -> str:
        """Where it began, in words."""
        if self.variables:
            return "The state itself is not finite: it was damaged before this step."
        if self.inputs:
            return "The batch is not finite: look at these utterances and what they are cut from."
        if self.features:
            return "The features are not finite though the audio is: look at these utterances."
        if self.outputs:
            return "Batch and features are finite, the model's outputs are not: its weights are "\
                "too large for them. Train with a smaller optimizer.learning_rate."  # fmt: skip
        if self.terms:
            return "The model's outputs are finite, a loss term is not: look at that term."
        if self.gradients:
            return "All terms are finite, a gradient is not: look at the term and the variables."
        return (
            "All is finite when it is computed anew on one device: the fault does not repeat. "
            "Suspect the machine, or another kind or number of devices than the run had."
        )

    def to_dict(self) -> dict:
        """Plain values."""
        items = {str(number): phonemes for number, phonemes in self.items.items()}
        return {"verdict": self.verdict, **asdict(self), "items": items}


def postmortem(workdir: str | Path) -> Postmortem:
    """Load the state and the batch that a run ended with, and look for what is not finite.

    Args:
        workdir: the run folder.

    Raises:
        UsageError: the folder is no run, or did not end so.
        DataError: what was kept is damaged.
    """
    folder = require_run(workdir)
    ended = folder / POSTMORTEM
    if not ended.is_dir():
        raise UsageError(
            f"{folder} has no {POSTMORTEM}/. Expected: a run that ended by exit code 4. Others "
            "have nothing to look at: adml report shows their curves."
        )
    config = load_config(folder / "config.yaml")
    classes = read_values(folder / "data.json", "it is written anew by --resume").get("classes", 0)
    with autocast(config.training.autocast):
        model, losses = build_model(config), build_losses(config, classes)
        state = Checkpoints(folder, model=model, losses=losses)
        step = state.restore(ended) + 1
        strategy = build_strategy(1)
        trained = TrainingStep(strategy, model, losses, build_log_mel(config), {}, compile=False)
        return _examine(trained, read_arrays(ended), state.restored, step)


def _examine(step: TrainingStep, batch: Mapping, values: Mapping, number: int) -> Postmortem:
    tensors = step.distribute(batch)
    features, _ = step.log_mel(tensors["waveform"], tensors["waveform_lengths"])
    inputs = {name: _bad_rows(value) for name, value in batch.items() if value.dtype.kind == "f"}
    inputs = {name: rows for name, rows in inputs.items() if rows}
    state = [*step.model.variables, *step.losses.variables]
    state = _counted((variable.name, variable) for variable in state)
    alone = _bad_rows(_embeddings(step, tensors))
    variables = step.model.trainable_variables + step.losses.trainable_variables
    fraction = tf.constant(values["margin_fraction"], tf.float32)
    with kept(step.model.non_trainable_variables), tf.GradientTape(persistent=True) as tape:
        outputs = step.outputs(tensors)
        terms = step.terms(tensors, fraction, outputs)
    unheard = _bad_rows(features.numpy())
    recordings = {*unheard, *(row for name in UTTERANCE_KEYS for row in inputs.get(name, ()))}
    return Postmortem(
        step=number,
        skipped=values["skipped"],
        recorded=values["terms"],
        inputs=inputs,
        features=unheard,
        variables=state,
        outputs=_counted(_flat(outputs)),
        alone=alone,
        terms=[name for name, value in terms.items() if not np.isfinite(float(value))],
        gradients=_bad_gradients(tape, terms, variables, getattr(step.losses, "term_weights", {})),
        items=_items(batch, recordings, alone),
    )


def _embeddings(step: TrainingStep, tensors: Mapping) -> np.ndarray:
    """What the model makes of each utterance by the moving averages, so that none sees another."""
    outputs = step.outputs(tensors, training=False)
    name = "audio_utterance" if "audio_utterance" in outputs else "utterance_logits"
    return outputs[name].numpy()


def _bad_gradients(tape, terms: Mapping, variables, weights: Mapping) -> dict[str, list[str]]:
    found = {}
    for name in [*(term for term in terms if weights.get(term)), "total"]:
        gradients = tape.gradient(terms[name], variables)
        pairs = zip(variables, gradients, strict=True)
        there = [(v.name, tf.convert_to_tensor(g)) for v, g in pairs if g is not None]
        if bad := list(_counted(there)):
            found[name] = bad
    return found


def _flat(outputs: Mapping, prefix: str = "") -> Iterator[tuple[str, tf.Tensor]]:
    for name, value in outputs.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif value is not None:
            yield prefix + name, value


def _counted(named) -> dict[str, int]:
    """Name -> how many numbers are not finite, where there are some."""
    counts = {
        name: int(np.sum(~np.isfinite(value.numpy())))
        for name, value in named
        if value.dtype.is_floating
    }
    return {name: count for name, count in counts.items() if count}


def _bad_rows(values: np.ndarray) -> list[int]:
    flat = np.isfinite(values).reshape(len(values), -1)
    return np.flatnonzero(~flat.all(axis=1)).tolist()


def _items(batch: Mapping, recordings: set[int], alone: list[int]) -> dict[int, str]:
    """Utterance -> phonemes, of those cut from bad recordings and those that are bad alone.

    With spans a recording has several utterances; without, it is one.
    """
    keywords = batch["phonemes"]
    sources = batch.get("span_recordings", np.arange(len(batch["waveform"])))
    found = sorted({*np.flatnonzero(np.isin(sources, list(recordings))).tolist(), *alone})
    texts = {row: keywords[row // (len(sources) // len(keywords))] for row in found}
    return {row: " ".join(SYMBOLS[n - 1] for n in ids if n) for row, ids in texts.items()}


def format_postmortem(found: Postmortem) -> str:
    """A few lines, the verdict last."""
    wrong = [f"{name} {value}" for name, value in found.recorded.items() if isinstance(value, str)]
    lines = [f"step {found.step}: {', '.join(wrong)}; steps left out: {found.skipped}"]
    lines += [
        f"{what:22} {_listed(names)}"
        for what, names in (
            *((f"batch, {name}:", [f"row {row}" for row in rows])
              for name, rows in found.inputs.items()),
            ("features:", [f"row {row}" for row in found.features]),
            ("state:", [f"{name} ({count})" for name, count in found.variables.items()]),
            ("outputs:", [f"{name} ({count})" for name, count in found.outputs.items()]),
            ("embeddings alone:", [f"utterance {row}" for row in found.alone]),
            ("terms:", found.terms),
            *((f"gradient of {term}:", names) for term, names in found.gradients.items()),
        )
    ]  # fmt: skip
    lines += [f"utterance {row} says {text}" for row, text in list(found.items.items())[:_LISTED]]
    return "\n".join([*lines, found.verdict])


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more if names else "all finite"
