"""Keywords from text, from recordings, or from both; those that cannot work are refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from adml.errors import AudioError, TextError, UsageError
from adml.spotting.keyword_file import Keyword
from adml.spotting.phones import FRAMES_PER_PHONE
from adml.spotting.spotter import KeywordSpotter
from adml.text.normalisation import quote

FEWEST_PHONES = 3
"""Fewer are part of too many words, chosen."""

LEAST_SPEECH_S = 0.2
LEAST_AGREEMENT = 0.3
"""Cosine of a recording and the text, or the other recordings, below which it is another word.

Chosen by the weights in the package, on up to eight recordings of each of 37 words, of Speech
Commands and wake words: all but one of 251 had more than 0.38 with their own text (that one, marked
"left", had -0.10), and of the pairs of one with the text of another word 18 % had less than this.
"""

_QUIET_DB = 30.0
_STEP = 160
_MARGIN = 5
"""Steps of speech that may be too quiet to be noticed."""


def enrol(
    spotter: KeywordSpotter,
    text: str | None,
    *,
    recordings: Sequence[tuple[str, np.ndarray]] = (),
    pronunciations: Sequence[Sequence[str]] = (),
    name: str | None = None,
    fewest_phones: int = FEWEST_PHONES,
) -> Keyword:
    """Make a keyword.

    Of text, each pronunciation is a vector, of which the best counts. Recordings are averaged, and
    where there is text too, each of its vectors is averaged with theirs.

    Args:
        spotter: the model.
        text: a word or phrase; None: recordings alone.
        recordings: what to call each, and its samples, float32 [T] at the model's rate.
        pronunciations: phoneme symbols in the place of those that the text would get.
        name: what detections call it; the text where None.
        fewest_phones: fewer are refused.

    Raises:
        TextError: the text cannot be pronounced, is too short or too long to be found, or holds
            what cannot be printed.
        AudioError: a recording has too little speech, or says something else.
        UsageError: there is neither text nor recording, or no name.
    """
    name = " ".join((name or text or "").split())
    if not name or not (text or recordings):
        received = "recordings without a name" if recordings else "neither"
        raise UsageError(
            "There is nothing to enrol. Expected: a text, or recordings and a name for them "
            f"(--name). Received: {received}."
        )
    if not name.isprintable():
        raise TextError(
            f"The name {quote(name)} cannot be shown. Expected: characters to print. Received: "
            "some that are not. Type it anew, or give another (--name)."
        )
    spoken = [tuple(symbols) for symbols in pronunciations]
    if text and not spoken:
        spoken = [tuple(spotter.pronounce(text))]
    longest = max(spotter.hearing().places.lengths)
    for symbols in spoken:
        check_length(name, symbols, longest, fewest_phones)
    said = [spotter.embed_phonemes(symbols, name) for symbols in spoken]
    if not recordings:
        return Keyword(name, np.stack(said), tuple(spoken))
    heard = [_hear(spotter, *recording) for recording in recordings]
    _check_agreement(name, [called for called, _ in recordings], heard, said)
    average = _unit(np.mean(heard, axis=0))
    vectors = [_unit(vector + average) for vector in said] or [average]
    return Keyword(name, np.stack(vectors), tuple(spoken), len(recordings))


def check_length(name: str, symbols: Sequence[str], longest: int, fewest: int) -> None:
    """Refuse a pronunciation that is too short or too long to be found.

    Args:
        name: of the keyword, for the message.
        symbols: its phonemes.
        longest: frames of the longest span that is compared with keywords.
        fewest: phonemes.

    Raises:
        TextError: it is.
    """
    most = int(1.25 * longest / FRAMES_PER_PHONE)
    if len(symbols) < fewest:
        raise TextError(
            f"The keyword {quote(name)} is too short. Expected: at least {fewest} phonemes, as "
            f"fewer are part of many words. Received: {' '.join(symbols) or 'none'}. Choose a "
            "longer one."
        )
    if len(symbols) > most:
        raise TextError(
            f"The keyword {quote(name)} is too long. Expected: at most {most} phonemes, which is "
            f"about {longest / 100:.1f} s. Received: {len(symbols)}. Choose a shorter one."
        )


def speech_bounds(samples: np.ndarray) -> tuple[int, int]:
    """First and last sample of what is not much quieter than the loudest.

    Args:
        samples: float [T] at 16 kHz.
    """
    steps = len(samples) // _STEP
    if not steps:
        return 0, len(samples)
    power = np.mean(np.square(samples[: steps * _STEP].reshape(steps, _STEP)), axis=1)
    loud = np.flatnonzero(power >= power.max() * 10 ** (-_QUIET_DB / 10))
    first, last = loud[0] - _MARGIN, loud[-1] + 1 + _MARGIN
    return max(0, first * _STEP), min(len(samples), last * _STEP)


def _hear(spotter: KeywordSpotter, called: str, samples: np.ndarray) -> np.ndarray:
    first, last = speech_bounds(samples)
    seconds = (last - first) / spotter.sample_rate_hz
    longest_s = 1.25 * max(spotter.hearing().places.lengths) / 100
    if not LEAST_SPEECH_S <= seconds <= longest_s:
        raise AudioError(
            f"{called} does not hold one keyword. Expected: {LEAST_SPEECH_S:g} to "
            f"{longest_s:.1f} s of speech. Received: {seconds:.2f} s. Cut the recording to it."
        )
    return spotter.embed_audio(samples[first:last], spotter.sample_rate_hz)


def _check_agreement(
    name: str, called: Sequence[str], heard: Sequence[np.ndarray], said: Sequence[np.ndarray]
) -> None:
    """Refuse a recording that is unlike the text, or unlike the other recordings."""
    for place, vector in enumerate(heard):
        others = said or [other for number, other in enumerate(heard) if number != place]
        if others and max(float(vector @ other) for other in others) < LEAST_AGREEMENT:
            best = max(float(vector @ other) for other in others)
            unlike = f"the text {name!r}" if said else "the other recordings"
            raise AudioError(
                f"{called[place]} is unlike {unlike}. Expected: a cosine of at least "
                f"{LEAST_AGREEMENT:g}. Received: {best:.2f}. Leave it out, or record it again."
            )


def _unit(vector: np.ndarray) -> np.ndarray:
    return (vector / np.linalg.norm(vector)).astype(np.float32)
