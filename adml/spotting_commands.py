"""The commands that make keyword files: enroll and calibrate."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from adml.advise_command import add_advise
from adml.arguments import cache_option, positive, seed, write_json
from adml.detect_command import add_detect, files_of, number, spotting_verb
from adml.errors import AdmlError, AudioError, UsageError


def add_spotting(verbs) -> None:
    """Add the verbs to those of the program."""
    _add_enroll(verbs)
    _add_calibrate(verbs)
    _add_cohort(verbs)
    add_advise(verbs)
    add_detect(verbs)


def _add_enroll(verbs) -> None:
    text = "Make a keyword file of texts, of recordings, or of both."
    parser = spotting_verb(verbs, "enroll", text, enroll)
    parser.add_argument("text", nargs="*", metavar="TEXT", help="keywords")
    parser.add_argument(
        "--audio", type=Path, action="append", default=[], metavar="FILE",
        help="recording of the one keyword (repeatable)",
    )  # fmt: skip
    parser.add_argument(
        "--pron", action="append", default=[], metavar="PHONEMES",
        help='pronunciation of the one keyword, as "HH EY1" (repeatable; the best counts)',
    )  # fmt: skip
    parser.add_argument("--name", metavar="NAME", help="of the one keyword (default: its text)")
    parser.add_argument(
        "--fewest-phones", type=positive, metavar="N", help="refuse shorter keywords (default: 3)"
    )
    parser.add_argument("--add", action="store_true", help="keep what the file holds already")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--json", action="store_true", help="print what was enrolled as JSON")


def _add_calibrate(verbs) -> None:
    text = "Set the thresholds of a keyword file by what background sounds like."
    parser = spotting_verb(verbs, "calibrate", text, calibrate)
    parser.add_argument("keywords", type=Path, metavar="FILE", help="of `adml enroll`")
    parser.add_argument(
        "--background", nargs="+", metavar="AUDIO",
        help="files and folders in which no keyword is said, an hour or more (default: the "
        "cohort of the model, which tells less surely)",
    )  # fmt: skip
    parser.add_argument(
        "--false-alarms-per-hour", type=number, default=0.5, metavar="X", help="default: 0.5"
    )
    parser.add_argument("--json", action="store_true", help="print thresholds as JSON")


def _add_cohort(verbs) -> None:
    text = "Make the cohort of a model: speech by which keywords are calibrated without background."
    parser = spotting_verb(verbs, "cohort", text, cohort, own=True)
    parser.add_argument(
        "--voices", type=Path, required=True, metavar="SET", help="a set of speech of many voices"
    )
    parser.add_argument(
        "--background", type=Path, required=True, metavar="SET",
        help="a set of other speech, two hours or more, in which false alarms are counted",
    )  # fmt: skip
    parser.add_argument(
        "--words", type=positive, default=200, metavar="N", help="words to fit it with"
    )
    parser.add_argument("--minutes", type=number, default=3.0, metavar="M", help="of voices")
    parser.add_argument("--seed", type=seed, default=0)
    cache_option(parser)
    parser.add_argument("--json", action="store_true", help="print the table as JSON")


def cohort(arguments: argparse.Namespace) -> int:
    """Write the cohort into the export and print what is to be expected of it."""
    from adml.make_cohort import make_cohort

    path, made = make_cohort(
        arguments.model, arguments.voices, arguments.background, words=arguments.words,
        minutes=arguments.minutes, seed=arguments.seed, cache=arguments.cache,
    )  # fmt: skip
    names = ("per_hour", "height", "low", "high")
    columns = (made.table.rates, made.table.heights, made.table.low, made.table.high)
    rows = [dict(zip(names, map(float, row), strict=True)) for row in zip(*columns, strict=True)]
    if arguments.json:
        write_json({"path": str(path), "words": made.table.words, "table": rows})
    else:
        lines = [
            f"{row['per_hour']:g} an hour: {row['height']:.2f} spreads above the mean; nine of ten "
            f"words had {row['low']:.2f} to {row['high']:.2f} times as many"
            for row in rows
        ]
        sys.stdout.write("\n".join([*lines, str(path)]) + "\n")
    return 0


def enroll(arguments: argparse.Namespace) -> int:
    """Enrol keywords; those that are refused are told, and the others written."""
    from adml.spotting.keyword_file import KeywordFile
    from adml.spotting.spotter import KeywordSpotter

    single = arguments.audio or arguments.pron or arguments.name
    if single and len(arguments.text) > 1:
        raise UsageError(
            "--audio, --pron and --name are of one keyword. Expected: at most one text. Received: "
            f"{len(arguments.text)}. Enrol them one by one, with --add."
        )
    _read_before(arguments)  # what it refuses, it refuses before the work
    spotter = KeywordSpotter.load(arguments.model)
    _read_before(arguments, spotter.model)
    made, code = _enrolled(spotter, arguments)
    if made:
        kept = _read_before(arguments, spotter.model)  # others may have added to it
        new = {keyword.name for keyword in made}
        for keyword in kept:
            if keyword.name in new and keyword.threshold is not None:
                sys.stderr.write(
                    f"adml: {keyword.name!r} is enrolled anew, and its threshold of before is "
                    "dropped. Calibrate it again.\n"
                )
        kept = tuple(keyword for keyword in kept if keyword.name not in new)
        KeywordFile(spotter.model, (*kept, *made)).write(arguments.out)
    told = [
        {
            "keyword": keyword.name,
            "pronunciations": [" ".join(symbols) for symbols in keyword.pronunciations],
            "recordings": keyword.recordings,
        }
        for keyword in made
    ]
    if arguments.json:
        write_json(told)
    else:
        sys.stdout.write("".join(_line(**row) for row in told))
    return code


def _read_before(arguments: argparse.Namespace, model: str | None = None) -> tuple:
    """The keywords that the file holds already, none where it is new."""
    from adml.spotting.keyword_file import KeywordFile

    if not arguments.out.exists():
        return ()
    if not arguments.add:
        raise UsageError(
            f"{arguments.out} is there already. Expected: a new file. Choose another name, or "
            "keep its keywords and add to them by --add."
        )
    before = KeywordFile.read(arguments.out)
    if model is not None:
        before.require_model(model)
    return before.keywords


def _line(keyword: str, pronunciations: list[str], recordings: int) -> str:
    said = " | ".join(pronunciations) or "no text"
    heard = f", {recordings} recordings" if recordings else ""
    return f"{keyword}: {said}{heard}\n"


def _enrolled(spotter, arguments: argparse.Namespace) -> tuple[list, int]:
    """The keywords that can work, and the exit code."""
    from adml.audio.decoding import decode
    from adml.spotting.enrolment import FEWEST_PHONES, enrol

    made, code = [], 0
    recordings = [(str(path), decode(path)) for path in arguments.audio]
    for text in arguments.text or [None]:
        try:
            keyword = enrol(
                spotter,
                text,
                recordings=recordings,
                pronunciations=[pronunciation.split() for pronunciation in arguments.pron],
                name=arguments.name,
                fewest_phones=arguments.fewest_phones or FEWEST_PHONES,
            )
        except AdmlError as error:
            if len(arguments.text) < 2:
                raise
            sys.stderr.write(f"adml: {error}\n")
            code = error.exit_code
        else:
            made.append(keyword)
            if text and not arguments.pron and (guessed := spotter.guessed(text)):
                sys.stderr.write(
                    f"adml: how {', '.join(guessed)} is said was guessed by its spelling. Where "
                    "that is wrong, tell how by --pron.\n"
                )
    return made, code


def calibrate(arguments: argparse.Namespace) -> int:
    """Write thresholds into the file and print them; a bad recording is named and left out."""
    from adml.audio.decoding import decode
    from adml.spotting.calibration import check_rate, listen_to_background
    from adml.spotting.cohort import read_cohort
    from adml.spotting.keyword_file import KeywordFile
    from adml.spotting.spotter import KeywordSpotter

    keywords, code, rate = KeywordFile.read(arguments.keywords), 0, arguments.false_alarms_per_hour
    check_rate(rate)  # now, not after hours of background
    spotter = KeywordSpotter.load(arguments.model)
    keywords.require_model(spotter.model)
    if not arguments.background:
        found = read_cohort(arguments.model).thresholds(spotter, keywords, rate)
        return _calibrated(arguments, keywords, found)

    def recordings():
        nonlocal code
        once = {path.resolve(): path for path in files_of(arguments.background)}
        for path in tqdm(once.values(), "background", disable=None):
            try:
                yield decode(path, sample_rate_hz=spotter.sample_rate_hz)
            except AudioError as error:
                sys.stderr.write(f"adml: {error}\n")
                code = error.exit_code

    heard = listen_to_background(spotter, keywords, recordings())
    found = heard.thresholds(rate)
    if rate * heard.seconds < 3600:
        sys.stderr.write(
            f"adml: {heard.seconds / 3600:.2f} h of background are too few to see {rate:g} false "
            f"alarms an hour. Expected: {1 / rate:g} h. The thresholds lie above all that was "
            "heard; the interval tells how many false alarms there may yet be.\n"
        )
    return _calibrated(arguments, keywords, found, code)


def _calibrated(arguments: argparse.Namespace, keywords, found: dict, code: int = 0) -> int:
    """Write and print thresholds; they are printed where they cannot be written, too."""
    from adml.spotting.keyword_file import store_thresholds

    told = [
        {"keyword": name, "threshold": threshold} | calibration
        for name, (threshold, calibration) in found.items()
    ]
    try:
        store_thresholds(arguments.keywords, keywords, found)
    finally:
        if arguments.json:
            write_json(told)
        else:
            sys.stdout.write("".join(_threshold_line(row) for row in told))
    return code


def _threshold_line(row: dict) -> str:
    if "cohort" in row:
        low, high = row["expected_per_hour"]
        return (
            f"{row['keyword']}: {row['threshold']:.3f}, by the cohort; nine of ten words had "
            f"{low:.2f} to {high:.2f} false alarms an hour\n"
        )
    low, high = row["interval_per_hour"]
    return (
        f"{row['keyword']}: {row['threshold']:.3f}, {row['events']} false alarms in "
        f"{row['hours']:.2f} h, 95 % interval {low:.2f} to {high:.2f} an hour\n"
    )
