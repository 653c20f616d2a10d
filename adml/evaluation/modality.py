"""The distance of the two modalities on a list of clips and their texts, at both levels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import tensorflow as tf

from adml.data.trial_list import TrialList
from adml.errors import DataError
from adml.evaluation.clips import ReadClip, cut_times
from adml.evaluation.embedded import EmbeddedTest, embed_test
from adml.evaluation.embedding import Embeds, clip_batches, pad
from adml.evaluation.intervals import proportion_estimate, weighted_estimate
from adml.evaluation.suites import SuiteResult, details_of, require_trials, require_usable
from adml.evaluation.texts import G2PFunction
from adml.metrics.modality import centroid_gaps, mmds, probe_outcomes
from adml.metrics.ranking import retrieval_ranks
from adml.text.phonemes import strip_stress, to_ids

MODALITY = "modality"
"""Protocol of the lists: each clip against its own text alone."""

_MOST_ROWS = 4096  # pairs, or phonemes, whose distance is measured: its kernel has their square
_HIDDEN_UNITS = 64  # of the second probe

Align = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
"""align(waveform [B, T], lengths [B], phonemes [B, L], lengths [B]) -> phonemes of the audio and of
the text, both [B, L, D]."""


def aligner(model, log_mel: Callable) -> Align | None:
    """What gathers the frames of each phoneme; None where an `ADML` has no phoneme branch.

    Args:
        model: an `ADML`; its own cross-attention aligns (Eq. 1).
        log_mel: its front end.
    """
    if model.attention is None:
        return None
    lengths = tf.TensorSpec([None], tf.int32)
    specs = [tf.TensorSpec([None, None], tf.float32), lengths]
    specs += [tf.TensorSpec([None, None], tf.int32), lengths]

    @tf.function(input_signature=specs)
    def align(waveform, lengths, phonemes, phoneme_lengths):
        features, frame_lengths = log_mel(waveform, lengths)
        frames, _ = model.acoustic(features, frame_lengths, training=False)
        text, _ = model.text(phonemes, phoneme_lengths, training=False)
        audio, _ = model.attention(text, frames, phoneme_lengths, frame_lengths)
        return audio, text

    return align


def evaluate_modality(
    embedder: Embeds,
    trials: TrialList,
    read_clip: ReadClip,
    g2p: G2PFunction,
    *,
    align: Align | None = None,
    margin_ms: float = 0.0,
    resamples: int = 1000,
) -> SuiteResult:
    """Measure how far apart clips and their texts lie in the space of a dual encoder.

    The part "utterance" is of the embeddings of clips and of their own texts: centroid gap, also
    in units of the spread; MMD; accuracy of two probes that are retrained to tell the modality, a
    plane and a perceptron; retrieval of the right text among all texts of the list and of a right
    clip among all clips. The part "phoneme" is of text phonemes and of the frames that the
    model's cross-attention gathers for each. It has no retrieval: such a phoneme of the audio was
    gathered by the very phoneme of the text that it would have to find.

    Texts that sound alike, stress ignored, are one text. At most 4,096 pairs or phonemes, evenly
    thinned by whole clips, are measured; retrieval has all. Intervals are over texts.

    Args:
        embedder: embeds audio and phonemes.
        trials: each clip against its own text; other pairs are passed over. Its setting `seed` is
            that of the probes and of the bootstrap.
        read_clip: (path, start_s, end_s) -> float32 [T] at 16 kHz.
        g2p: turns a text into phoneme symbols.
        align: from `aligner`; None leaves out the part "phoneme".
        margin_ms: neighbouring speech taken along on each side of a clip; 0 cuts exactly.
        resamples: of the bootstrap over texts.

    Returns:
        The result, without labels and scores.

    Raises:
        DataError: the list is empty, nothing of it can be used, or it has one text only.
        NumericError: an embedding is not finite.

    Not in the paper, which shows what its adversaries (Eq. 4 and 5) do by their effect alone.
    """
    own = np.flatnonzero(trials.pair_label)
    require_trials(trials, len(own))
    test = embed_test(embedder, trials, read_clip, g2p, margin_ms=margin_ms)
    clips, texts = np.asarray(trials.pair_clip)[own], np.asarray(trials.pair_text)[own]
    usable = test.clip_usable[clips] & test.text_usable[texts]
    require_usable(trials, usable, "pair")
    clips, texts = clips[usable], texts[usable]
    sounds = _sounds(test, g2p)
    _require_two_texts(trials, sounds[texts], texts)
    options = {"resamples": resamples, "seed": trials.settings.get("seed", 0)}
    chosen = _thinned(np.ones(len(clips), dtype=int))
    rows = (test.audio[clips[chosen]], test.text[texts[chosen]], sounds[texts[chosen]])
    found = {"utterance": _measures(*rows, options) | _recall(test, clips, texts, sounds, options)}
    details = details_of(trials, test) | {"pairs": len(clips), "pairs_measured": len(chosen)}
    if align is not None:
        rows = _phonemes(test, clips, texts, sounds, read_clip, g2p, align)
        found["phoneme"] = _measures(*rows, options)
        details["phonemes_measured"] = len(rows[0])
    return SuiteResult(trials.name, trials.sha256, found, details)


def _measures(audio, text, groups, options: dict) -> dict[str, dict]:
    """The distances and the probes of pairs of rows."""
    number = len(np.unique(groups))
    distances = {
        "centroid_gap": partial(centroid_gaps, audio, text, groups),
        "centroid_gap_scaled": partial(centroid_gaps, audio, text, groups, scaled=True),
        "mmd": partial(mmds, audio, text, groups),
    }
    found = {
        name: weighted_estimate(values, number, len(audio), **options).to_dict()
        for name, values in distances.items()
    }
    for name, units in (("probe_accuracy", 0), ("mlp_probe_accuracy", _HIDDEN_UNITS)):
        right, rows = probe_outcomes(audio, text, groups, hidden_units=units, seed=options["seed"])
        words = np.repeat(groups[rows], 2)
        found[name] = proportion_estimate(right.reshape(-1), words, **options).to_dict()
    return found


def _recall(test: EmbeddedTest, clips, texts, sounds, options: dict) -> dict[str, dict]:
    """Retrieval among all usable clips and their texts."""
    said = np.unique(texts)
    labels = sounds[texts], sounds[said]
    ranks = retrieval_ranks(test.audio[clips], test.text[said], *labels)
    names = ("audio_to_text", "text_to_audio")
    return {
        f"{name}_recall_{limit}": proportion_estimate(found <= limit, groups, **options).to_dict()
        for name, found, groups in zip(names, ranks, labels, strict=True)
        for limit in (1, 5)
    }


def _require_two_texts(trials: TrialList, sounds: np.ndarray, texts: np.ndarray) -> None:
    if len(np.unique(sounds)) < 2:
        raise DataError(
            f"The modalities cannot be compared on {trials.name!r}: all its texts sound alike. "
            f"Expected: two texts or more. Received: {trials.texts[texts[0]]!r} only."
        )


def _sounds(test: EmbeddedTest, g2p: G2PFunction) -> np.ndarray:
    """A number for the sound of each text; -1 for those that were set aside."""
    numbers: dict[str, int] = {}
    sounds = np.full(len(test.texts), -1)
    for index in np.flatnonzero(test.text_usable):
        symbols = g2p(test.texts[index])
        sound = " ".join(strip_stress(symbol) for symbol in symbols if symbol != " ")
        sounds[index] = numbers.setdefault(sound, len(numbers))
    return sounds


def _thinned(sizes: np.ndarray) -> np.ndarray:
    """Items, evenly spread, whose sizes sum to about `_MOST_ROWS` at most."""
    keep = max(2, int(len(sizes) * min(1.0, _MOST_ROWS / sizes.sum())))
    return np.unique(np.linspace(0, len(sizes) - 1, keep).round().astype(int))


def _phonemes(
    test: EmbeddedTest, clips, texts, sounds, read_clip: ReadClip, g2p: G2PFunction, align: Align
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Phonemes of the audio and of the text [P, D], and the sound of the text of each [P]."""
    ids = {index: to_ids(g2p(test.texts[index])) for index in np.unique(texts)}
    chosen = _thinned(np.array([len(ids[index]) for index in texts]))
    clips, texts = clips[chosen], texts[chosen]
    heard = [test.clips[index] for index in clips]
    samples = [
        read_clip(clip.path, *cut_times(clip.start_s, clip.end_s, test.margin_ms)) for clip in heard
    ]
    audio, text, groups = [], [], []
    for indices, waveform, lengths in clip_batches(samples):
        spelled = [ids[index] for index in texts[indices]]
        counts = np.array([len(row) for row in spelled], dtype=np.int32)
        batch = (waveform, lengths, pad(spelled, np.int32), counts)
        valid = np.arange(counts.max()) < counts[:, None]
        for rows, found in zip((audio, text), align(*map(tf.constant, batch)), strict=True):
            rows.append(found.numpy()[valid])
        groups.append(np.repeat(sounds[texts[indices]], counts))
    return np.concatenate(audio), np.concatenate(text), np.concatenate(groups)
