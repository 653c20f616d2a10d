"""One shard: recordings decoded and checked, written with what the lists and the index need."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from adml.audio.decoding import SAMPLE_RATE_HZ
from adml.data.corpora.recording import WORD, Rejected
from adml.data.corpora.sound import reason_of
from adml.data.corpora.verify import length_fault, word_fault
from adml.data.shards.form import FORM, MANIFEST
from adml.data.shards.plan import Planned
from adml.data.shards.records import FRAME_BYTES, example, frame
from adml.data.store import decode_recordings
from adml.errors import AudioError

_SPACES = str.maketrans("\t\n\r", "   ")


@dataclass(frozen=True)
class Job:
    """A shard to be made: its file, its recordings in `source`, and the columns of the lists."""

    source: Path
    target: Path
    columns: tuple[str, ...]
    word_columns: tuple[str, ...]
    planned: tuple[Planned, ...]


def row(*fields: str) -> str:
    """A line of a list."""
    return "\t".join(field.translate(_SPACES) for field in fields) + "\n"


def notes_of(shard: Path) -> Path:
    """What a shard adds to the lists and the index; with it the shard is made."""
    return shard.with_name(shard.name + ".json")


def make_shard(job: Job) -> bool:
    """Write a shard and then its notes; nothing where both are there, made of the same.

    The same are the form, the rows of the lists, and the audio files by size and time of change.

    Returns:
        Whether it was made.
    """
    inputs = _inputs(job)
    if _is_made(job.target, inputs):
        return False
    part = job.target.with_name(job.target.name + ".part")
    with part.open("wb") as file:
        shard = _Shard(file)
        for planned in job.planned:
            shard.add(planned, job)
        _to_disk(file)
    os.replace(part, job.target)
    notes = {
        "inputs": inputs,
        "bytes": shard.bytes,
        "sha256": shard.digest.hexdigest(),
        "speakers": sorted(shard.speakers),
        **shard.notes,
    }
    with part.open("w", encoding="utf-8") as file:
        json.dump(notes, file)
        _to_disk(file)
    os.replace(part, notes_of(job.target))
    return True


def _to_disk(file) -> None:
    file.flush()
    os.fsync(file.fileno())


def _inputs(job: Job) -> str:
    """Hash of all that a shard is made of."""
    digest = hashlib.sha256(repr((FORM, job.columns, job.word_columns)).encode())
    for planned in job.planned:
        state = None
        if not planned.fault:
            with contextlib.suppress(OSError):
                found = os.stat(job.source / planned.line.values["path"])
                state = found.st_size, found.st_mtime_ns
        digest.update(repr((planned, state)).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _is_made(shard: Path, inputs: str) -> bool:
    try:
        notes = json.loads(notes_of(shard).read_text(encoding="utf-8"))
        return notes["inputs"] == inputs and notes["bytes"] == shard.stat().st_size
    except (OSError, ValueError, KeyError, TypeError):
        return False


class _Shard:
    """Appends recordings to a file; keeps their rows, not their samples."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self.bytes = 0
        self.digest = hashlib.sha256()
        self.notes: dict[str, list] = {
            name: []
            for name in ("manifest", "words", "set_aside", "index", "samples_sha256")
        }
        self.speakers: set[str] = set()

    def add(self, planned: Planned, job: Job) -> None:
        """Append a recording, or note why it is set aside."""
        line, values = planned.line, planned.line.values
        path = values.get("path") or f"{MANIFEST}:{line.number}"
        if planned.fault:
            return self._reject(Rejected(path, planned.fault, " ".join(values.values())))
        file = job.source / path
        pieces, entry = decode_recordings([str(file)])
        if not pieces:
            message = entry["failed"][0][1]
            reason = reason_of(AudioError(message), file)
            return self._reject(Rejected(path, reason, message.replace(str(file), path)))
        (samples,) = pieces
        seconds = len(samples) / SAMPLE_RATE_HZ
        if fault := length_fault(values, seconds):
            return self._reject(Rejected(path, fault, f"{seconds:.3f} s decoded"))
        words = list(self._words(planned, seconds))
        raw = samples.tobytes()
        record = frame(example(_features(values, words, raw)))
        at = self.bytes + record.index(raw, FRAME_BYTES)
        self._write(record)
        self.notes["manifest"].append(row(*(values[name] for name in job.columns)))
        self.notes["words"] += [row(*(word[name] for name in job.word_columns)) for word in words]
        self.notes["index"].append([at, len(samples), entry["quiet_starts"][0]])
        self.notes["samples_sha256"].append(entry["sha256"])
        self.speakers.add(values["speaker"])
        return None

    def _words(self, planned: Planned, seconds: float) -> Iterator[dict[str, str]]:
        """The words that can be used, their ends cut to the audio as the manifest tells it."""
        recording = planned.line.values
        told_s = float(recording.get("duration", "inf"))
        limit_s = seconds if math.isinf(told_s) else told_s
        for line in planned.words:
            word = line.values
            fault = _word_fault(word, recording["speaker"], limit_s)
            if fault:
                detail = f"{word['word']!r} {word['start']} {word['end']}"
                self._reject(Rejected(word["path"], fault, detail, WORD))
            else:
                cut = {"end": repr(told_s)} if float(word["end"]) > told_s else {}
                yield word | cut

    def _write(self, record: bytes) -> None:
        self._file.write(record)
        self.digest.update(record)
        self.bytes += len(record)

    def _reject(self, rejected: Rejected) -> None:
        told = rejected.path, rejected.what, rejected.reason, rejected.detail[:300]
        self.notes["set_aside"].append(told)


def _word_fault(word: dict[str, str], speaker: str, seconds: float) -> str | None:
    """Why a row of words.tsv cannot be used, or None."""
    try:
        float(word.get("confidence", "nan"))
    except ValueError:
        return "confidence is not a number"
    return word_fault(word, speaker, seconds)


def _features(values: dict[str, str], words: list[dict[str, str]], raw: bytes) -> dict[str, list]:
    """What a record holds, by name."""
    return {
        "path": [values["path"].encode()],
        "text": [values["text"].encode()],
        "speaker": [values["speaker"].encode()],
        "samples": [raw],
        "word": [word["word"].encode() for word in words],
        "word_start": [float(word["start"]) for word in words],
        "word_end": [float(word["end"]) for word in words],
        "word_index": [int(word.get("index", "-1")) for word in words],
    }
