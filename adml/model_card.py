"""The card of the weights in the package, from the JSON beside them alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import yaml

from adml.errors import DataError
from adml.evaluate_spotting import CLEAN, alarms, table
from adml.evaluation.cells import (
    commits_of,
    cost_of,
    format_figure,
    markdown_table,
    results_table,
    short,
)
from adml.evaluation.records import Record
from adml.evaluation.spotting import LEAD_S
from adml.spotting.enrolment import FEWEST_PHONES

ACCENT = "speechocean-words"
"""The list of learners' English, shown apart."""

_DISTURBANCES = ("noise", "music", "babble", "impulse_responses")
_FEWEST_CLIPS = 20
_WORST_WORDS = 5

_HEAD = """# The weights in the package

Made by `make weights` from the JSON in this folder; do not edit.

Two encoders, of audio and of the phonemes of typed English, into one space: a keyword is typed,
need not have been trained on, and is compared with spans of running audio. No network is used:

```sh
adml enroll "hey bixby" -o kw.json
adml calibrate kw.json
adml detect -k kw.json meeting.wav
```

"""


class Source(NamedTuple):
    """What a set of speech, noise or rooms is, its licence, and whom to credit."""

    title: str
    licence: str
    credit: str


SOURCES = {
    "librispeech_train": Source(
        "Mini LibriSpeech train-clean-5: English books, read",
        "CC BY 4.0",
        "V. Panayotov, G. Chen, D. Povey, S. Khudanpur, *LibriSpeech*; OpenSLR 31",
    ),
    "speechocean762": Source(
        "English sentences, read by adults and children whose first language is Mandarin",
        "free, commercial use too (OpenSLR: CC BY 4.0; its makers: Apache-2.0)",
        "J. Zhang and others, *speechocean762*; OpenSLR 101",
    ),
    "ljspeech": Source(
        "English books, read by one woman",
        "public domain",
        "K. Ito, L. Johnson, *The LJ Speech Dataset*",
    ),
    "synthetic": Source(
        "English words by synthetic voices of several accents, as `adml data voices` makes them",
        "none: the synthesiser's (GPL-3.0) does not cover what it speaks",
        "J. Duddington, R. Dunn and others, *eSpeak NG*",
    ),
    "noise": Source(
        "ESC-10, the background noise of Speech Commands, and others",
        "CC BY 3.0, CC BY 4.0, Apache-2.0 and public domain, by recording",
        "K. J. Piczak, *ESC*, from freesound.org; P. Warden, *Speech Commands*",
    ),
    "rir": Source(
        "measured room impulse responses", "Apache-2.0 and MIT, by recording", "Piper; SpeechBrain"
    ),
}
"""By the first folder of the set. The card of a model that was trained on others is refused."""


class Told(NamedTuple):
    """What the card is made of.

    Args:
        model: its hash as `model`, `parameters` by part, and the `environment` of its training.
        evaluations: of `adml evaluate`.
        spotting: of `adml evaluate spotting`, as written.
    """

    model: dict
    evaluations: tuple[Record, ...]
    spotting: tuple[dict, ...]


def render_card(told: Told) -> str:
    """Write the card; every figure in it stands in what is told.

    Raises:
        DataError: a record lacks something, or a set that was trained on has no known licence.
    """
    try:
        sections = [
            _HEAD + _facts(told),
            "## Trained on\n\n" + _sources(told.evaluations[0]),
            "## Figures\n\n" + _figures(told.evaluations),
            "## Running audio\n\n" + _running(told),
            "## Known weaknesses\n\n" + "".join(f"- {line}\n" for line in _weaknesses(told)),
            "## Configuration\n\n```yaml\n"
            + yaml.safe_dump(told.evaluations[0].config, sort_keys=False, width=120)
            + "```\n",
        ]
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise DataError(
            "The records do not suffice for a card. Expected: those of `adml evaluate` and `adml "
            f"evaluate spotting` of this version. Received: {error!r}. Make them again."
        ) from error
    return "\n".join(sections)


def _facts(told: Told) -> str:
    record, model = told.evaluations[0], told.model
    made_on, counts = model["environment"], model["parameters"]
    versions = made_on["versions"]
    total = f"{sum(counts.values()):,}"
    parts = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    rows = [
        ("sha256 of the weights", f"`{model['model']}`"),
        ("parameters", f"{total}: {parts}"),
        ("run", f"`{record.name}`, seed {record.seed}, step {record.details['step']:,}"),
        ("cost of the training", cost_of([record])),
        *(("begun with the weights of", _run_before(run)) for run in _runs_before(record)),
        ("trained on", f"{made_on['processors']} processors, Python {made_on['python']}, "
         f"TensorFlow {versions['tensorflow']}"),
        ("commit of the training", f"`{made_on['commit'][:9]}{'+' * bool(made_on['dirty'])}`"),
        ("commit of the figures", commits_of(told.evaluations)),
        ("sha256 of the training data's table", f"`{short(record.data_hash)}`"),
        ("licence of the weights", "Apache-2.0, as the project; credits of the data below"),
    ]  # fmt: skip
    return markdown_table(["", ""], rows)


def _runs_before(record: Record) -> Iterator[Mapping]:
    """The run that a record's run began with, the one that this began with, and so on."""
    run = record.details.get("initial")
    while run:
        yield run
        run = run["initial"]


def _run_before(run: Mapping) -> str:
    told, cost = f"`{run['run']}`, step {run['step']:,}", run["cost"]
    if cost:
        told += f", {cost['seconds'] / 60:.1f} min, {cost['cpu_seconds'] / 3600:.2f} CPU h"
    return told


def _sources(record: Record) -> str:
    """The sets of a run and of those that it began with."""
    rows, runs = [], [record.config["data"] | record.config["augmentation"], *_runs_before(record)]
    for kind in ("train", *_DISTURBANCES):
        used = {"train": "speech"}.get(kind, kind.replace("_", " "))
        sets = dict.fromkeys(entry.partition(":") for run in runs for entry in run[kind])
        rows += [(name, f", `{part}`" * bool(part), used) for name, _, part in sets]
    corpus = {name: name.partition("/")[0] for name, _, _ in rows}
    if unknown := sorted(set(corpus.values()) - SOURCES.keys()):
        raise DataError(
            f"The licence of {', '.join(unknown)} is not known. Expected: of "
            f"{', '.join(SOURCES)}. Write it into SOURCES of adml/model_card.py."
        )
    lines = [[f"`{name}`{part}", used, *SOURCES[corpus[name]]] for name, part, used in rows]
    return markdown_table(["set", "as", "what", "licence", "credit"], lines)


def _figures(records: Sequence[Record]) -> str:
    several = len(records) > 1

    def shown(accent: bool) -> str:
        rows = [
            (record.name * several, replace(record, metrics=metrics))
            for record in records
            if (metrics := {name: parts for name, parts in record.metrics.items()
                            if (name == ACCENT) == accent})
        ]  # fmt: skip
        return results_table(rows)

    text = (
        "Words and phrases of speakers that were not trained on, against typed texts, on the lists "
        "of\n`experiments/open/evaluation.yaml`; brackets hold 95 % bootstrap intervals. A text is "
        "seen if its\npronunciation was trained on, alone or within a phrase"
    )
    if any(record.details.get("initial_texts") == 0 for record in records):
        text += ", by the last run: what it\nbegan with has no list of texts"
    text += ".\n\n" + shown(False)
    if any(ACCENT in record.metrics for record in records):
        text += "\nEnglish of Mandarin speakers, adults and children, other speakers of a corpus "
        text += "that was trained on:\n\n" + shown(True)
    return text


def _running(told: Told) -> str:
    parts = []
    for record in told.spotting:
        sets = record["sets"]
        noise = f", and both with noise of `{sets['noise']}` added" if sets["noise"] else ""
        trained = told.evaluations[0].config["augmentation"]["noise"]
        heard = " (which was trained with)" if sets["noise"] in trained else ""
        parts.append(
            f"Texts of the clips of `{sets['clips']}`, typed, each heard after {LEAD_S:g} s of "
            f"other speech;\nfalse alarms are counted in {record['hours']:.2f} h of "
            f"`{sets['background']}` that say none of them{noise}{heard}.\nMisses in percent at so "
            "many false alarms an hour, with exact 95 % intervals, and CPU-seconds\nfor an hour of "
            f"audio. Commit `{record['commit'][:9]}{'+' * bool(record['dirty'])}`.\n\n"
            f"{table(record)}\n\n{alarms(record)}\n"
        )  # fmt: skip
    return "\n".join(parts)


def _weaknesses(told: Told) -> Iterator[str]:
    """What the configuration and the records tell, and no more."""
    config = told.evaluations[0].config
    data, disturbed = config["data"], config["augmentation"]
    yield (
        "English only: a keyword is spelt with the phonemes of the CMU dictionary. One of fewer "
        f"than {FEWEST_PHONES} phonemes is refused."
    )
    yield (
        f"Trained on read speech alone, on segments of {data['min_seconds']:g} to "
        f"{data['max_seconds']:g} s and up to {data['max_words']} words."
    )
    if disturbed["noise"]:
        low, high = disturbed["noise_snr_db"]
        yield (
            f"Trained with noise at {low:g} to {high:g} dB in "
            f"{100 * disturbed['noise_probability']:.0f} % of the draws; more noise than that was "
            "not trained on."
        )
    else:
        yield "Trained without noise."
    share, codecs = disturbed["codec_probability"], ", ".join(disturbed["codecs"])
    through = f"codecs in {100 * share:.0f} % of the draws ({codecs})" if share else "no codec"
    yield (
        f"Trained through {through}: how well speech is heard that was compressed, or came by a "
        "telephone, which passes nothing above 4 kHz, was not measured."
    )
    metrics = told.evaluations[0].metrics
    yield from _compared(metrics, "librispeech-phrases-hard", "librispeech-phrases-easy",
                         "Texts that sound alike")  # fmt: skip
    yield from _compared(metrics, ACCENT, "librispeech-words", "English of Mandarin speakers")
    for name, details in told.evaluations[0].details.items():
        if isinstance(details, Mapping) and details.get("worst_words"):
            yield f"Least often recognised in `{name}`: {_worst(details['worst_words'])}."
    for record in told.spotting:
        yield _hardest(record)
    yield (
        "No list tells children, whispering or distant speech apart, or any accent but that of "
        "Mandarin speakers: how well they are heard is not known."
    )


def _compared(metrics: Mapping, hard: str, easy: str, what: str) -> Iterator[str]:
    if hard in metrics and easy in metrics:
        worse, better = (
            format_figure(metrics[name]["all"]["equal_error_rate"], "equal_error_rate")
            for name in (hard, easy)
        )
        yield f"{what}: equal error rate {worse} % on `{hard}`, {better} % on `{easy}`."


def _worst(words: Sequence[Mapping]) -> str:
    many = [row for row in words if row["n"] >= _FEWEST_CLIPS] or words
    return ", ".join(
        f"{row['word']} ({100 * row['accuracy']:.0f} % of {row['n']}, taken for {row['taken_for']})"
        for row in sorted(many, key=lambda row: row["accuracy"])[:_WORST_WORDS]
    )


def _hardest(record: Mapping) -> str:
    """The keyword of most misses at one false alarm an hour."""
    name = f"adml, {CLEAN}"
    points = [
        (point, keyword)
        for keyword, at in record["engines"][name]["keywords"].items()
        for point in at
        if point["limit_per_hour"] == 1
    ]
    point, keyword = max(points, key=lambda one: one[0]["miss_rate"])
    low, high = (100 * edge for edge in point["miss_interval"])
    return (
        f'Hardest in running audio, of `{record["sets"]["clips"]}`: "{keyword}", missed '
        f"{100 * point['miss_rate']:.1f} [{low:.1f}, {high:.1f}] % of the times at one false "
        "alarm an hour."
    )
