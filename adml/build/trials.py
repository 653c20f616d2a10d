"""The trial lists that a configuration describes."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from adml.build.data import held_out_speakers
from adml.config import Config, TrialsConfig
from adml.data.segments import build_segments
from adml.data.sets import read_clips, read_words
from adml.data.trial_list import Clip, TrialList
from adml.data.trials import classification, clips_of, phrase_trials, wake_words, wsj_style
from adml.data.words import WordTable
from adml.errors import ConfigError, DataError, UsageError
from adml.text.g2p import G2P


def build_trials(
    trials: TrialsConfig, root: str | Path, g2p: G2P, *, held_out: float = 0.0
) -> TrialList:
    """Draw one list of trials, or read one; the same settings and data give the same bytes.

    Args:
        trials: the list's settings.
        root: folder of the sets; the list's paths are relative to it.
        g2p: texts to phonemes.
        held_out: with `trials.held_out_only`, the share of speakers that training left out.

    Raises:
        DataError: the set is missing or holds too little, or the list is not that of the name.
    """
    if trials.kind == "file":
        return _list_in_file(Path(root) / trials.folder, trials.name)
    words = _table(trials, Path(root) / trials.folder, held_out)
    if trials.kind in ("phrases_easy", "phrases_hard"):
        return phrase_trials(
            build_segments(words, min_seconds=trials.min_seconds),
            trials.kind.removeprefix("phrases_"),
            num_positives=trials.positives,
            negatives_per_positive=trials.negatives,
            seed=trials.seed,
            pool=trials.pool,
            g2p=g2p,
            root=root,
            name=trials.name,
        )
    clips = clips_of(
        words,
        root=root,
        min_seconds=trials.min_seconds,
        group="speaker" if trials.kind == "classification" else "text",
        whole_file=trials.whole_file,
    )
    if trials.max_clips is not None and len(clips) > trials.max_clips:
        step = len(clips) / trials.max_clips
        clips = [clips[int(place * step)] for place in range(trials.max_clips)]
    return _list_of(clips, trials, Path(root), g2p)


def _list_in_file(path: Path, name: str) -> TrialList:
    """A list that was drawn beforehand; its paths are relative to the folder of the sets."""
    found = TrialList.read(path)
    if found.name != name:
        raise DataError(
            f"The trial list {path} is another one. Expected: the name {name!r}, as in "
            f"evaluation.trials. Received: {found.name!r}. Give both one name."
        )
    return found


def _list_of(clips: list[Clip], trials: TrialsConfig, root: Path, g2p: G2P) -> TrialList:
    """The list of a kind whose clips are given."""
    if trials.kind == "classification":
        return classification(clips, name=trials.name)
    if trials.kind == "choice":
        counts = Counter(clip.text for clip in clips)
        frequent = sorted(counts, key=lambda text: (-counts[text], text))[: trials.choices]
        return classification(clips, frequent, name=trials.name)
    if trials.kind == "modality":
        return _own_texts(clips, trials)
    common = {"seed": trials.seed, "g2p": g2p, "name": trials.name}
    if trials.kind == "keywords":
        vocabulary = read_words(root / trials.vocabulary).word.tolist() if trials.vocabulary else ()
        return wake_words(clips, sorted(set(vocabulary)), num_random=trials.negatives, **common)
    return wsj_style(clips, negatives_per_positive=trials.negatives, **common)[0]


def _own_texts(clips: list[Clip], trials: TrialsConfig) -> TrialList:
    """Each clip against its own text alone; the seed is that of the measures."""
    texts = sorted({clip.text for clip in clips})
    place = {text: index for index, text in enumerate(texts)}
    own = [place[clip.text] for clip in clips]
    columns = (range(len(clips)), own, [1] * len(clips))
    return TrialList(trials.name, "modality", clips, texts, *columns, {"seed": trials.seed})


def write_trials(
    configs: Sequence[TrialsConfig],
    root: str | Path,
    g2p: G2P,
    folder: Path,
    *,
    held_out: float = 0.0,
    overwrite: bool = False,
) -> list[TrialList]:
    """Draw the lists and write each as a file of `folder`; see `build_trials`.

    Raises:
        UsageError: the folder holds another list of a name and `overwrite` is off; none is written.
    """
    lists = [build_trials(trials, root, g2p, held_out=held_out) for trials in configs]
    paths = [folder / f"{trials.name}.tsv" for trials in lists]
    found = [hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else "" for p in paths]
    for trials, path, before in zip(lists, paths, found, strict=True):
        if before not in ("", trials.sha256) and not overwrite:
            raise UsageError(
                f"{path} is another list of this name, which earlier figures may be of. "
                f"Expected: sha256 {before[:16]}. Received: {trials.sha256[:16]}. Give the new "
                "list another name in evaluation.trials, or replace the old one by --overwrite."
            )
    for trials, path, before in zip(lists, paths, found, strict=True):
        if before != trials.sha256:
            trials.write(path)
    return lists


def _table(trials: TrialsConfig, folder: Path, held_out: float) -> WordTable:
    if trials.kind in ("classification", "keywords"):
        table = read_clips(folder, path_prefix=trials.prefix)
    else:
        table = read_words(folder, words_file=trials.words_file, path_prefix=trials.prefix)
    if trials.held_out_only:
        if held_out == 0:
            raise ConfigError(
                f"evaluation.trials: held_out_only of {trials.name!r} needs speakers that were "
                "kept from training. Expected: data.held_out_speakers above 0. Received: 0."
            )
        table = table.subset(held_out_speakers(table.speaker.tolist(), held_out))
    return table


def chosen_trials(config: Config, only: Sequence[str]) -> list[TrialsConfig]:
    """The lists of a configuration, or those of the given names.

    Raises:
        ConfigError: there are no lists, a name is missing, unknown or occurs twice.
    """
    lists = config.evaluation.trials
    names = [trials.name for trials in lists]
    if not lists:
        raise ConfigError(
            "The configuration names no trials. Expected: a list in evaluation.trials."
        )
    if odd := [name for name in names if not re.fullmatch(r"\w[\w.-]*", name)]:
        raise ConfigError(
            f"A name of evaluation.trials cannot name a file. Expected: letters, digits, dots and "
            f"dashes. Received: {odd[0]!r}."
        )
    if len(set(names)) < len(names):
        raise ConfigError(f"Each of evaluation.trials needs a name of its own. Received: {names}.")
    unknown = sorted(set(only) - set(names))
    if unknown:
        raise ConfigError(
            f"No trials of the name {unknown[0]!r}. Expected one of: {', '.join(names)}."
        )
    return [replace(trials) for trials in lists if not only or trials.name in only]
