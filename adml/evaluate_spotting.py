"""Spotting evaluated: sets of clips and background, clean and in noise, one engine or two."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from adml.data.sets import open_recordings, read_clips
from adml.errors import DataError, UsageError
from adml.evaluation.records import environment, now
from adml.evaluation.spotting import LIMITS_PER_HOUR, Noise, Read, Spoken, Spotted, spot
from adml.experiment import default_cache
from adml.spotting.engine import SpotterEngine
from adml.spotting.enrolment import enrol
from adml.spotting.keyword_file import KeywordFile
from adml.spotting.spotter import KeywordSpotter

logger = logging.getLogger(__name__)

CLEAN = "clean"


@dataclass(frozen=True)
class SpottingTest:
    """What is heard.

    Args:
        clips: where keywords are said.
        background: paths of recordings that say none of them.
        read: reads a recording.
        noise: recordings of noise.
        snr_db: ratios at which all is heard besides clean.
        seed: of the draws.
        sets: names of the sets of `clips`, `background` and `noise`, for the record.
    """

    clips: tuple[Spoken, ...]
    background: tuple[str, ...]
    read: Read
    noise: tuple[np.ndarray, ...] = ()
    snr_db: tuple[float, ...] = ()
    seed: int = 0
    sets: dict[str, str | None] = field(default_factory=dict)

    @property
    def keywords(self) -> tuple[str, ...]:
        """What is said in the clips."""
        return tuple(sorted({clip.keyword for clip in self.clips}))

    def run(self, engine: Callable) -> dict[str, Spotted]:
        """Let an engine hear it, by condition."""
        given = (engine, self.clips, self.background, self.read)
        found = {CLEAN: spot(*given, seed=self.seed)}
        for snr_db in self.snr_db:
            noise = Noise(self.noise, snr_db, self.seed)
            found[f"{snr_db:g} dB"] = spot(*given, noise=noise, seed=self.seed)
        return found


def make_test(
    clips: Path, background: Path, noise: Path | None = None, *, snr_db: Sequence[float] = (),
    keywords: Sequence[str] | None = None, seed: int = 0, limit: int | None = None,
    cache: Path | None = None,
) -> SpottingTest:  # fmt: skip
    """Read the sets; recordings that cannot be decoded, or say a keyword, are told and left out.

    Args:
        clips: a set whose texts are the keywords.
        background: a set of speech.
        noise: a set of noise, for `snr_db`.
        snr_db: ratios besides clean.
        keywords: those of the clips that are tested; all where None.
        seed: of the draws.
        limit: take so many clips and recordings, drawn; None: all.
        cache: folder for decoded speech.

    Raises:
        UsageError: noise without ratios, or ratios without noise.
        DataError: a set is missing or nothing is left of it.
    """
    if bool(snr_db) != (noise is not None):
        raise UsageError(
            "Noise is added at a ratio. Expected: a set of noise and ratios, both (--noise, --snr) "
            f"or neither. Received: the set {noise}, the ratios {list(snr_db)}."
        )
    table, spoken = read_clips(clips), read_clips(background)
    wanted = set(keywords if keywords is not None else table.word.tolist()) - {""}
    said = [Spoken(path, word) for path, word in zip(table.path, table.word, strict=True)
            if word in wanted]  # fmt: skip
    quiet = [path for path, text in zip(spoken.path, spoken.word, strict=True)
             if not any(f" {word} " in f" {text} " for word in wanted)]  # fmt: skip
    if len(quiet) < len(spoken):
        logger.info("%d recordings left out, which say a keyword", len(spoken) - len(quiet))
    rng = np.random.default_rng(seed)
    if limit is not None:
        said, quiet = ([given[i] for i in sorted(rng.permutation(len(given))[:limit])]
                       for given in (said, quiet))  # fmt: skip
    if not said or not quiet:
        raise DataError(
            f"There is nothing to spot. Expected: clips of {', '.join(sorted(wanted)) or 'words'} "
            f"in {clips}, and speech in {background}. Received: {len(said)} and {len(quiet)}."
        )
    decoded = (cache or default_cache()) / "pcm"
    heard = open_recordings([clip.path for clip in said], decoded)
    apart = open_recordings(quiet, decoded)
    sounds = open_recordings(list(read_clips(noise).path), decoded) if noise else None
    return SpottingTest(
        tuple(clip for clip in said if clip.path in heard),
        tuple(path for path in quiet if path in apart),
        lambda path: (heard if path in heard else apart).read(path),
        tuple(sounds.read(path) for path in sounds.paths) if sounds else (),
        tuple(dict.fromkeys(snr_db)),
        seed,
        {"clips": clips.resolve().name, "background": background.resolve().name,
         "noise": noise.resolve().name if snr_db else None},
    )  # fmt: skip


def text_keywords(spotter: KeywordSpotter, keywords: Sequence[str]) -> KeywordFile:
    """Keywords by their texts alone, as somebody types them."""
    return KeywordFile(spotter.model, tuple(enrol(spotter, keyword) for keyword in keywords))


def evaluate_spotting(
    model: Path | None, test: SpottingTest, *, keywords: KeywordFile | None = None,
    pocketsphinx: bool = False, limits: Sequence[float] = LIMITS_PER_HOUR,
) -> tuple[dict, dict[str, Spotted]]:  # fmt: skip
    """Evaluate a model, and PocketSphinx beside it in the same streams.

    Args:
        model: run folder or export folder; the weights in the package where None.
        test: what is heard.
        keywords: enrolled with the model; by their texts where None.
        pocketsphinx: whether it is heard too (extra `benchmark`).
        limits: false alarms per hour.

    Returns:
        All figures in plain values, and what was spotted by engine and condition.

    Raises:
        UsageError: there is no such export, or no PocketSphinx.
        TextError: a keyword cannot be enrolled.
    """
    spotter = KeywordSpotter.load(model)
    keywords = keywords or text_keywords(spotter, test.keywords)
    engines: dict[str, Callable] = {"adml": SpotterEngine(spotter, keywords)}
    if pocketsphinx:
        from adml.evaluation.pocketsphinx import PocketSphinx

        engines["pocketsphinx"] = PocketSphinx(test.keywords)
    found = {
        f"{name}, {condition}": spotted
        for name, engine in engines.items()
        for condition, spotted in test.run(engine).items()
    }
    told = {
        "created": now(), **environment(), "model": spotter.model, "seed": test.seed,
        "sets": test.sets,
        "clips": {word: sum(clip.keyword == word for clip in test.clips)
                  for word in test.keywords},
        "hours": next(iter(found.values())).hours,
        "engines": {name: _told(spotted, limits) for name, spotted in found.items()},
    }  # fmt: skip
    return told, found


def _told(spotted: Spotted, limits: Sequence[float]) -> dict:
    keywords = {
        name: [
            {
                "limit_per_hour": point.limit_per_hour,
                "misses": point.misses,
                "miss_rate": point.at.miss_rate,
                "miss_interval": list(point.miss_interval),
                "threshold": point.at.threshold,
                "false_alarms": point.at.false_alarms,
                "false_alarms_interval_per_hour": list(point.at.interval_per_hour),
            }
            for point in points
        ]
        for name, points in spotted.points(limits).items()
    }
    return {"cpu_seconds_per_hour": spotted.cpu_seconds_per_hour, "keywords": keywords}


def table(told: dict) -> str:
    """The figures as a Markdown table: misses in percent at each limit."""
    first = next(iter(next(iter(told["engines"].values()))["keywords"].values()))
    limits = [f"{point['limit_per_hour']:g}/h" for point in first]
    lines = [["engine", "keyword", "clips", *limits, "CPU s/h"], ["---"] * (4 + len(limits))]
    for engine, values in told["engines"].items():
        for keyword, points in values["keywords"].items():
            cells = [
                "{:.1f} [{:.1f}, {:.1f}]".format(
                    *(100 * value for value in (point["miss_rate"], *point["miss_interval"]))
                )
                for point in points
            ]
            cost = f"{values['cpu_seconds_per_hour']:.0f}"
            lines.append([engine, keyword, str(told["clips"][keyword]), *cells, cost])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def alarms(told: dict) -> str:
    """How many false alarms each limit lets pass, and between which rates that lies.

    A keyword may have fewer, where the next lower score would bring several at once.
    """
    rows = [row for values in told["engines"].values() for row in values["keywords"].values()]
    each = []
    for points in zip(*rows, strict=True):
        most = max(points, key=lambda point: point["false_alarms"])
        low, high = most["false_alarms_interval_per_hour"]
        rate = f"{most['false_alarms'] / told['hours']:.2f} [{low:.2f}, {high:.2f}] an hour"
        each.append(f"{most['limit_per_hour']:g}/h: {most['false_alarms']} ({rate})")
    return f"False alarms in {told['hours']:.2f} h of background, at most: {'; '.join(each)}."
