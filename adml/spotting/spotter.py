"""Scores audio against any text, from an export: no training code, no configuration."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from adml.audio.decoding import resample
from adml.audio.samples import check_samples
from adml.errors import TextError, UsageError
from adml.spotting.hearing import Hearing
from adml.spotting.signatures import DAMAGED, Running, hash_of, load_saved, running_of, signature
from adml.text.g2p import G2P
from adml.text.normalisation import quote

if TYPE_CHECKING:
    from adml.spotting.keyword_file import KeywordFile
    from adml.spotting.scoring import Detection

ACOUSTIC = Path("acoustic")
TEXT = Path("text")
FRONT_END = ACOUSTIC / "assets" / "front_end.json"
PHONEMES = TEXT / "assets" / "phonemes.txt"

PACKAGED = Path(__file__).resolve().parents[1] / "weights" / "export"
"""The export in the package, which is used where no other is named."""


class KeywordSpotter:
    """Embeds texts and audio in one space; the score of a pair is the cosine of its embeddings.

    Args:
        embed_audio: callable (waveform [1, T] float32, lengths [1] int32) -> unit vectors [1, D].
        embed_text: callable (phonemes [1, L] int32, lengths [1] int32) -> unit vectors [1, D].
        symbols: phoneme symbols in the order of their ids, the first of which is 1.
        sample_rate_hz: rate of the waveforms that `embed_audio` takes.
        to_phonemes: callable text -> phoneme symbols, for example an `adml.G2P` with your own
            pronunciations; it may put " " between words.
        running: the model for running audio; None where the export is older than that.
        model: hash of the model, which keyword files tell.

    Example:
        spotter = KeywordSpotter.load()
        spotter.score("hey bixby", samples, sample_rate_hz=44100)
    """

    def __init__(
        self,
        embed_audio: Callable,
        embed_text: Callable,
        *,
        symbols: Sequence[str],
        sample_rate_hz: int,
        to_phonemes: Callable[[str], Sequence[str]],
        running: Running | None = None,
        model: str = "",
    ) -> None:
        self.sample_rate_hz = sample_rate_hz
        self._embed_audio, self._embed_text = embed_audio, embed_text
        self._ids = {symbol: index + 1 for index, symbol in enumerate(symbols)}
        self._to_phonemes, self._running, self.model = to_phonemes, running, model
        self._keywords: dict[str, np.ndarray] = {}

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        *,
        to_phonemes: Callable[[str], Sequence[str]] | None = None,
    ) -> KeywordSpotter:
        """Load an export folder, the one in a run folder, or the one in the package.

        Args:
            path: folder that `adml export` wrote, or a run folder that holds one as `export/`; the
                weights in the package where None.
            to_phonemes: as for the class; by default `adml.G2P()`.

        Returns:
            A spotter.

        Raises:
            UsageError: there is no export at the path, or it is damaged.
        """
        folder = find_export(path)
        try:
            settings = json.loads((folder / FRONT_END).read_text(encoding="utf-8"))
            sample_rate_hz = int(settings["sample_rate_hz"])
            symbols = (folder / PHONEMES).read_text(encoding="utf-8").split()
            acoustic = load_saved(folder / ACOUSTIC)
            audio = signature(acoustic, "embed_audio", ("waveform", "lengths"))
            reader = load_saved(folder / TEXT)
            text = signature(reader, "embed_text", ("phonemes", "lengths"))
            model = hash_of([folder / ACOUSTIC, folder / TEXT])
            running = running_of(acoustic, settings)
        except DAMAGED as error:
            advice = "Install the package again." if path is None else "Export again."
            raise UsageError(
                f"The export in {folder} is damaged. Expected: two SavedModels with their assets, "
                f"as `adml export` writes them. Received: {error!r}. {advice}"
            ) from error
        return cls(
            audio,
            text,
            symbols=symbols,
            sample_rate_hz=sample_rate_hz,
            to_phonemes=to_phonemes or G2P(),
            running=running,
            model=model,
        )

    def hearing(self, listen: Callable | None = None) -> Hearing:
        """Begin to hear a stream at the model's rate.

        Args:
            listen: hears in place of the model, as `Hearing` tells.

        Raises:
            UsageError: the export was made before it could hear running audio.
        """
        if self._running is None:
            raise UsageError(
                "This export cannot hear running audio. Expected: signatures log_mel and listen. "
                "Export the run again with this version."
            )
        given = {} if listen is None else {"listen": listen}
        return Hearing(**self._running._asdict() | given)

    def stream(
        self, chunks: Iterable[np.ndarray], keywords: KeywordFile | str | Path | Sequence[str],
        *, sample_rate: int, threshold: float | None = None,
    ) -> Iterator[Detection]:  # fmt: skip
        """Detect keywords in a stream; how it is cut into chunks makes no difference.

        Args:
            chunks: float [T] each, one channel, in -1..1.
            keywords: a keyword file or its path, or a sequence of texts.
            sample_rate: of the chunks, in Hz.
            threshold: for keywords that were not calibrated; None: there must be none.

        Returns:
            Detections, as the chunks come in.

        Raises:
            AudioError, DataError, TextError, UsageError: as of `Detector`, `KeywordFile.read` and
                `enrol`.
        """
        from adml.spotting.detecting import Detector, detect_stream
        from adml.spotting.enrolment import enrol
        from adml.spotting.keyword_file import KeywordFile

        if isinstance(keywords, (str, Path)):
            keywords = KeywordFile.read(keywords)
        elif not isinstance(keywords, KeywordFile):
            keywords = KeywordFile(self.model, tuple(enrol(self, text) for text in keywords))
        detector = Detector(self, keywords, sample_rate_hz=sample_rate, threshold=threshold)
        return detect_stream(detector, chunks)

    def embed_text(self, text: str) -> np.ndarray:
        """Embed a keyword; it is remembered.

        Args:
            text: a word or phrase.

        Returns:
            float32 [D], of unit length.

        Raises:
            TextError: it cannot be pronounced, or has a phoneme the encoder does not know.
        """
        if text not in self._keywords:
            self._keywords[text] = self.embed_phonemes(self.pronounce(text), text)
            self._keywords[text].flags.writeable = False
        return self._keywords[text]

    def pronounce(self, text: str) -> list[str]:
        """Phoneme symbols of a text, " " between words left out.

        Raises:
            TextError: it cannot be pronounced.
        """
        return [symbol for symbol in self._to_phonemes(text) if symbol != " "]

    def guessed(self, text: str) -> list[str]:
        """The words of a text that no dictionary knows, whose phonemes their spelling tells."""
        explain = getattr(self._to_phonemes, "explain", lambda _: ())
        return [word.word for word in explain(text) if word.source == "predicted"]

    def embed_phonemes(self, symbols: Sequence[str], text: str = "") -> np.ndarray:
        """Embed a pronunciation.

        Args:
            symbols: phoneme symbols.
            text: what they say, for messages.

        Returns:
            float32 [D], of unit length.

        Raises:
            TextError: there are none, or the encoder does not know one.
        """
        unknown = [symbol for symbol in symbols if symbol not in self._ids]
        if unknown or not symbols:
            raise TextError(
                f"The text {quote(text)} cannot be embedded. Expected: at least one phoneme, all "
                f"among the {len(self._ids)} of this export, such as HH or EY1 (vowels carry a "
                f"stress, 0, 1 or 2). Received: {list(symbols)!r}, of which "
                f"{', '.join(unknown) or 'none'} cannot be used. Correct its pronunciation."
            )
        ids = np.array([[self._ids[symbol] for symbol in symbols]], np.int32)
        embedding = self._embed_text(ids, np.array([ids.shape[1]], np.int32))
        return np.asarray(embedding, np.float32)[0]

    def embed_audio(self, samples: np.ndarray, sample_rate_hz: int) -> np.ndarray:
        """Embed a clip, resampled where its rate is not the encoder's.

        Args:
            samples: float [T], one channel, in -1..1.
            sample_rate_hz: its rate.

        Returns:
            float32 [D], of unit length.

        Raises:
            AudioError: not one channel of finite floats in range, or empty.
            UsageError: a rate that is not positive.
        """
        waveform = resample(check_samples(samples), sample_rate_hz, self.sample_rate_hz)
        lengths = np.array([len(waveform)], np.int32)
        return np.asarray(self._embed_audio(waveform[np.newaxis], lengths), np.float32)[0]

    def score(self, text: str, samples: np.ndarray, sample_rate_hz: int) -> float:
        """Tell how well a clip fits a text.

        Args:
            text: a word or phrase.
            samples: float [T], one channel, in -1..1.
            sample_rate_hz: its rate.

        Returns:
            The cosine of the two embeddings, -1 to 1; the higher, the more alike.

        Raises:
            TextError, AudioError, UsageError: as for the two embeddings.
        """
        return float(self.embed_text(text) @ self.embed_audio(samples, sample_rate_hz))


def find_export(path: str | Path | None = None) -> Path:
    """Find the export folder at a path, in the run folder there, or in the package.

    Args:
        path: an export folder or a run folder; the weights in the package where None.

    Returns:
        The folder that holds the two SavedModels.

    Raises:
        UsageError: there is none.
    """
    if path is None and not holds_export(PACKAGED):
        raise UsageError(
            f"There are no weights in the package. Expected: {ACOUSTIC}/ and {TEXT}/ in {PACKAGED}."
            " Install the package again, or name a run folder or an export of your own by --model."
        )
    path = PACKAGED if path is None else Path(path)
    for folder in (path, path / "export"):
        if holds_export(folder):
            return folder
    advice = "Check the path."
    if (path / "config.yaml").is_file():
        advice = f"This is a run that was not exported yet: adml export {path}"
    received = "a folder without them" if path.is_dir() else "no such folder"
    raise UsageError(
        f"There is no export at {path}. Expected: a folder with {ACOUSTIC}/ and {TEXT}/, or a run "
        f"folder with export/. Received: {received}. {advice}"
    )


def holds_export(folder: Path) -> bool:
    """Whether both SavedModels lie in a folder."""
    return (folder / ACOUSTIC).is_dir() and (folder / TEXT).is_dir()
