"""NIST SPHERE files (.wv1, .sph): the header checked here, the samples read by libsndfile.

A file begins with `NIST_1A`, the size of its header, and lines of `name -type value` up to
`end_head` (NIST, SPHERE 2.6). libsndfile reads uncompressed ones, but a file that is cut short as a
shorter one, and the compressed ones of the older LDC discs not at all.
"""

from __future__ import annotations

import io
from pathlib import Path

import soundfile

from adml.audio.faults import audio_error

MAGIC = b"NIST_1A\n"
_SUBTYPES = {1: "PCM_U8", 2: "PCM_16", 3: "PCM_24", 4: "PCM_32"}
_LONGEST_HEADER = 1 << 16


class NamedBytes(io.BytesIO):
    """Bytes of a file that messages can call by its name."""

    def __init__(self, data: bytes, name: str):
        """Keep bytes and name."""
        super().__init__(data)
        self.name = name


def is_sphere(path: Path) -> bool:
    """Whether a file begins as a SPHERE file does; False where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def sphere_as_wav(path: Path) -> NamedBytes:
    """The same samples as a WAV file in memory.

    Raises:
        AudioError: not a whole, uncompressed SPHERE file.
    """
    name = str(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise audio_error(
            name, "cannot be read", "a readable file", str(error), "Check its permissions."
        ) from error
    size, fields = _header(data, name)
    coding = fields.get("sample_coding", "pcm")
    if "shorten" in coding:
        raise audio_error(
            name, "is compressed by shorten", "samples as plain PCM", f"sample_coding {coding}",
            "Expand it with NIST's w_decode or LDC's sph2pipe, and give the folder of the results.",
        )  # fmt: skip
    if coding != "pcm":
        raise audio_error(
            name, "is of a coding that is not read", "sample_coding pcm", coding,
            "Convert it with sph2pipe.",
        )  # fmt: skip
    try:
        count, channels, width = (
            int(fields[field]) for field in ("sample_count", "channel_count", "sample_n_bytes")
        )
    except (KeyError, ValueError) as error:
        raise _damaged(name, f"no number for {error}") from error
    if min(count, channels, width) < 1:
        raise _damaged(name, f"{count} frames of {channels} channels of {width} bytes")
    if len(data) < size + count * channels * width:
        raise audio_error(
            name, "is cut short or damaged", f"{count} frames, as it says",
            f"{max(0, len(data) - size) // (channels * width)} frames",
            "Copy it again.",
        )  # fmt: skip
    try:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="int32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise _damaged(name, str(error)) from error
    wav = io.BytesIO()
    soundfile.write(wav, samples[:count], rate, format="WAV", subtype=_SUBTYPES.get(width))
    return NamedBytes(wav.getvalue(), name)


def _header(data: bytes, name: str) -> tuple[int, dict[str, str]]:
    """Size of the header in bytes, and its fields."""
    try:
        size = int(data[len(MAGIC) : len(MAGIC) + 8])
        text = data[: min(size, _LONGEST_HEADER)].decode("ascii")
    except (ValueError, UnicodeDecodeError) as error:
        raise _damaged(name, str(error)) from error
    if not data.startswith(MAGIC) or "end_head" not in text:
        raise _damaged(name, "no end_head")
    lines = text.split("end_head")[0].splitlines()[2:]
    parts = [line.split(maxsplit=2) for line in lines]
    return size, {part[0]: part[2].strip() for part in parts if len(part) == 3}


def _damaged(name: str, received: str):
    return audio_error(
        name, "is no SPHERE file that can be read", "a header of NIST_1A and its samples", received,
        "Copy it again.",
    )  # fmt: skip
