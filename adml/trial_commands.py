"""What each kind of `adml trials` does with its arguments."""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from adml.arguments import write_json
from adml.errors import DataError, UsageError

if TYPE_CHECKING:
    from adml.data.trial_list import TrialList

logger = logging.getLogger(__name__)

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_EXAMPLES = 3
"""Trials of each label that are shown."""


def draw(arguments: argparse.Namespace) -> int:
    """Write the lists of a configuration and print their counts and hashes."""
    from adml.build.trials import chosen_trials, write_trials
    from adml.config import load_config
    from adml.text.g2p import G2P

    config = load_config(arguments.config)
    lists = write_trials(
        chosen_trials(config, arguments.only),
        arguments.speech,
        G2P(),
        arguments.out,
        held_out=config.data.held_out_speakers,
        overwrite=arguments.overwrite,
    )
    _print([(arguments.out / f"{trials.name}.tsv", trials) for trials in lists], arguments.json)
    return 0


def libriphrase(arguments: argparse.Namespace) -> int:
    """Write a list of LibriPhrase and print its counts and hash."""
    from adml.data.libriphrase import libriphrase_trials, official_fault
    from adml.data.libriphrase_pairs import read_pairs

    if arguments.out.resolve() in {path.resolve() for path in arguments.csv}:
        raise UsageError(f"{arguments.out} is read and written. Give another --out.")
    root = arguments.speech / arguments.audio if arguments.speech else None
    pairs = read_pairs(arguments.csv, root)
    trials = libriphrase_trials(
        pairs, arguments.protocol, arguments.subset, name=arguments.name, folder=arguments.audio
    )
    fault = official_fault(pairs, trials)
    if fault and arguments.official:
        raise DataError(f"{fault} Give all four files as they were published.")
    if fault:
        logger.warning("%s", fault)
    _write(trials, arguments.out, arguments.overwrite)
    _print([(arguments.out, trials)], arguments.json)
    return 0


def neighbours(arguments: argparse.Namespace) -> int:
    """Write the nearest words of each word and print the path."""
    from adml.data.neighbour_list import write_neighbours
    from adml.text.g2p import G2P

    words = _lines(arguments.words)
    write_neighbours(words, arguments.out, G2P().phonemes, count=arguments.count)
    sys.stdout.write(f"{arguments.out}\n")
    return 0


def noisy(arguments: argparse.Namespace) -> int:
    """Write a noisy set and print the counts and the hash of its list."""
    from adml.data.noisy_set import LIST, write_noisy_set
    from adml.data.simulation import make_simulation
    from adml.data.trial_list import TrialList
    from adml.experiment import default_cache

    trials, cache = TrialList.read(arguments.file), (arguments.cache or default_cache()) / "pcm"
    kinds = [
        (name, folder, tuple(snr_db))
        for name, folder, snr_db in (
            ("noise", arguments.noise, arguments.snr),
            ("music", arguments.music, arguments.music_snr),
            ("babble", arguments.babble, arguments.babble_snr),
        )
        if folder is not None
    ]
    simulation = make_simulation(kinds, arguments.rir, seed=arguments.seed, cache=cache)
    made = write_noisy_set(
        trials,
        arguments.out,
        simulation,
        speech=arguments.speech,
        cache=cache,
        name=arguments.name,
    )
    _print([(arguments.out / LIST, made)], arguments.json)
    return 0


def show(arguments: argparse.Namespace) -> int:
    """Print what a list holds."""
    from adml.data.trial_list import TrialList

    trials = TrialList.read(arguments.file)
    values = _summary(arguments.file, trials)
    values |= {"settings": trials.settings, "examples": _examples(trials)}
    if arguments.json:
        write_json(values)
        return 0
    examples = values.pop("examples")
    lines = [f"{name}: {_plain(value)}" for name, value in values.items()]
    lines += [f"  {e['label']}  {e['text']!r}  {e['clip']} says {e['said']!r}" for e in examples]
    # a list may be anybody's: what moves a terminal's cursor is shown, not done
    sys.stdout.write("".join(_CONTROL.sub(lambda c: ascii(c[0])[1:-1], x) + "\n" for x in lines))
    return 0


def _lines(name: str) -> list[str]:
    """The lines of a file of text, or of stdin where the name is "-"."""
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return data.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"The words {name} cannot be read: {error}. Expected: UTF-8 text, a word or phrase a "
            "line. Check the path."
        ) from None


def _write(trials: TrialList, path: Path, overwrite: bool) -> None:
    """Write a list; another list at its place is replaced only where that is asked for."""
    if path.is_file() and not overwrite and path.read_bytes() != trials.to_bytes():
        raise UsageError(
            f"{path} is another list, which earlier figures may be of. Expected: the list "
            f"{trials.sha256[:16]}. Choose another --out, or replace it by --overwrite."
        )
    trials.write(path)


def _summary(path: Path, trials: TrialList) -> dict:
    """What tells one list from another, by name."""
    return {
        "file": str(path),
        "name": trials.name,
        "protocol": trials.protocol,
        "trials": trials.num_trials,
        "positives": trials.num_positives,
        "clips": len(trials.clips),
        "texts": len(trials.texts),
        "sha256": trials.sha256,
    }


def _examples(trials: TrialList) -> list[dict]:
    """The first trials of each label."""
    found = []
    for label in (1, 0):
        for place in (trials.pair_label == label).nonzero()[0][:_EXAMPLES].tolist():
            clip = trials.clips[trials.pair_clip[place]]
            text = trials.texts[trials.pair_text[place]]
            found.append({"label": label, "text": text, "clip": clip.path, "said": clip.text})
    return found


def _print(written: Sequence[tuple[Path, TrialList]], as_json: bool) -> None:
    """The counts and the hash of each list, a line a list or JSON."""
    values = [_summary(path, trials) for path, trials in written]
    if as_json:
        write_json(values)
        return
    for value in values:
        counts = ", ".join(f"{value[key]} {key}" for key in ("trials", "positives", "texts"))
        sys.stdout.write(f"{value['file']}: {counts}, sha256 {value['sha256']}\n")


def _plain(value) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
