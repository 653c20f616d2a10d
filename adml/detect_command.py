"""The command that detects keywords, and what it shares with those that make keyword files."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from adml.arguments import EXIT_CODES, positive
from adml.errors import AudioError, UsageError

AUDIO = (".wav", ".flac", ".ogg", ".opus", ".mp3")
DEFAULT_MODEL = " (default: the weights in the package)"
_CHUNK_S = 0.1


def spotting_verb(
    verbs, name: str, text: str, command, *, own: bool = False
) -> argparse.ArgumentParser:
    """A verb that uses a model; with `own` one that changes it, which must be named."""
    parser = verbs.add_parser(name, help=text, description=text, epilog=EXIT_CODES)
    parser.add_argument("--verbose", action="store_true", help="log more")
    parser.add_argument(
        "--model", type=Path, required=own, metavar="DIR",
        help="run folder or export folder" + DEFAULT_MODEL * (not own),
    )  # fmt: skip
    parser.set_defaults(command=command)
    return parser


def add_detect(verbs) -> None:
    """Add the verb to those of the program."""
    text = "Tell when keywords are said in files, in a stream, or at a microphone."
    parser = spotting_verb(verbs, "detect", text, detect)
    parser.add_argument("-k", "--keywords", type=Path, required=True, metavar="FILE",
                        help="of `adml enroll`")  # fmt: skip
    parser.add_argument(
        "audio", nargs="*", metavar="AUDIO",
        help="file, folder, or - for raw 16-bit little-endian mono PCM on stdin, with --rate",
    )  # fmt: skip
    parser.add_argument("--rate", type=positive, metavar="HZ", help="sample rate of stdin")
    parser.add_argument("--mic", action="store_true", help="listen to the microphone (extra mic)")
    parser.add_argument(
        "--threshold", type=number, metavar="X", help="for keywords that were not calibrated"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object a line")


def number(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"expected a number, received {text!r}")
    return value


def detect(arguments: argparse.Namespace) -> int:
    """Print detections as they are made; a bad recording is named and passed over."""
    from adml.spotting.detecting import Detector, detect_stream
    from adml.spotting.keyword_file import KeywordFile
    from adml.spotting.spotter import KeywordSpotter

    _check_sources(arguments)
    keywords = KeywordFile.read(arguments.keywords)
    if arguments.threshold is not None and all(k.threshold is not None for k in keywords.keywords):
        sys.stderr.write(
            "adml: --threshold has no effect: every keyword of the file has one of its own.\n"
        )
    spotter, code = KeywordSpotter.load(arguments.model), 0
    for name, rate_hz, chunks in _sources(arguments, spotter.sample_rate_hz):
        detector = Detector(
            spotter, keywords, sample_rate_hz=rate_hz, threshold=arguments.threshold
        )
        try:
            for found in detect_stream(detector, chunks):
                _print(name, found, arguments.json)
        except AudioError as error:
            for found in detector.close():  # of what was heard until then
                _print(name, found, arguments.json)
            sys.stderr.write(f"adml: {error}\n")
            code = error.exit_code
    return code


def _print(source: str, found, as_json: bool) -> None:
    if as_json:
        told = {name: round(value, 3) if name.endswith("_s") else value
                for name, value in found._asdict().items()}  # fmt: skip
        row = json.dumps({"source": source, **told}, ensure_ascii=False)
    else:
        times = f"{found.start_s:.2f}\t{found.end_s:.2f}\t{found.score:.3f}"
        row = f"{source}\t{times}\t{found.keyword}"
    sys.stdout.write(row + "\n")
    sys.stdout.flush()


def _check_sources(arguments: argparse.Namespace) -> None:
    sources = arguments.audio
    if arguments.mic == bool(sources) or ("-" in sources and len(sources) > 1):
        raise UsageError(
            "It is not clear what to listen to. Expected: files and folders, or - alone, or --mic. "
            f"Received: {' '.join(sources) or 'no audio'}{' with --mic' if arguments.mic else ''}."
        )
    if ("-" in sources) != (arguments.rate is not None):
        raise UsageError(
            "The sample rate of raw audio is never guessed, and files tell their own. Expected: "
            "- with --rate HZ, or neither. Received: one of the two."
        )


def _sources(arguments: argparse.Namespace, rate_hz: int) -> Iterator[tuple[str, int, Iterable]]:
    """Name, rate and chunks of each stream."""
    if arguments.mic:
        from adml.audio.microphone import listen

        yield "microphone", rate_hz, listen(rate_hz, round(_CHUNK_S * rate_hz))
    elif arguments.audio == ["-"]:
        yield "-", arguments.rate, _raw(sys.stdin.buffer, round(_CHUNK_S * arguments.rate))
    else:
        for path in files_of(arguments.audio):
            yield str(path), rate_hz, _decoded(path, rate_hz)


def files_of(given: Iterable[str]) -> Iterator[Path]:
    """The files, and those below the folders, in order."""
    for name in given:
        if not name:
            raise UsageError(
                "There is a file without a name. Expected: files and folders. Received: ''. "
                "Check the command; a variable in it may be empty."
            )
        path = Path(name)
        if not path.is_dir():
            yield path
            continue
        found = sorted(p for p in _below(path) if p.suffix.lower() in AUDIO and p.is_file())
        if not found:
            raise UsageError(
                f"{path} holds no audio. Expected: {', '.join(AUDIO)} files below it. Check it."
            )
        yield from found


def _below(folder: Path) -> Iterator[Path]:
    """All files below a folder; one that cannot be read is an error."""

    def refuse(error: OSError) -> None:
        raise error

    for place, _, names in os.walk(folder, onerror=refuse):
        yield from (Path(place, name) for name in names)


def _decoded(path: Path, rate_hz: int):
    """The file as one chunk, decoded when it is asked for."""
    from adml.audio.decoding import decode

    yield decode(path, sample_rate_hz=rate_hz, allow_silence=True)


def _raw(stream, samples: int):
    """16-bit PCM as it comes, in chunks of at most `samples`; half a sample at the end is odd."""
    import numpy as np

    rest, heard = b"", False
    while data := stream.read1(2 * samples):
        data, heard = rest + data, True
        whole = len(data) // 2 * 2
        rest = data[whole:]
        yield np.frombuffer(data[:whole], "<i2") * np.float32(1 / 32768)
    if not heard:
        raise AudioError(
            "stdin is empty. Expected: 16-bit samples. Received: 0 bytes. Check the program that "
            "should write them."
        )
    if rest:
        raise AudioError(
            "stdin ends within a sample. Expected: 16-bit samples, an even number of bytes. "
            "Received: an odd one. Check the format of the stream."
        )
