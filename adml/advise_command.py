"""The command `adml advise`: is a keyword any good."""

from __future__ import annotations

import argparse
import sys

from adml.arguments import write_json
from adml.detect_command import spotting_verb
from adml.errors import AdmlError, UsageError


def add_advise(verbs) -> None:
    """Add the verb to those of the program."""
    text = "Tell whether keywords are any good: misses to be expected, words alike, alternatives."
    parser = spotting_verb(verbs, "advise", text, advise)
    parser.add_argument("text", nargs="+", metavar="TEXT", help="keywords")
    parser.add_argument(
        "--pron", action="append", default=[], metavar="PHONEMES",
        help='pronunciation of the one keyword, as "HH EY1"',
    )
    parser.add_argument("--json", action="store_true", help="print all that is known as JSON")


def advise(arguments: argparse.Namespace) -> int:
    """Print advice on each keyword; those that cannot be used are told."""
    from adml.spotting import advice
    from adml.spotting.cohort import read_cohort
    from adml.spotting.spotter import KeywordSpotter

    if arguments.pron and (len(arguments.text) > 1 or len(arguments.pron) > 1):
        raise UsageError(
            "--pron is of one keyword. Expected: one text and one --pron. Received: "
            f"{len(arguments.text)} and {len(arguments.pron)}. Ask for the others apart."
        )
    said = arguments.pron[0].split() if arguments.pron else None
    spotter, cohort = KeywordSpotter.load(arguments.model), read_cohort(arguments.model)
    told, code = [], 0
    for text in arguments.text:
        try:
            told.append(advice.advise(spotter, cohort, text, pronunciation=said))
        except AdmlError as error:
            if len(arguments.text) < 2:
                raise
            sys.stderr.write(f"adml: {error}\n")
            code = error.exit_code
    if arguments.json:
        write_json([one.to_dict() for one in told])
    else:
        sys.stdout.write("\n".join(map(_text, told)))
    return code


def _text(told) -> str:
    lines = [
        f"{told.text}: {told.verdict}",
        f"  said as {' '.join(told.pronunciation)}, about {told.seconds:.1f} s",
    ]
    for rate, share in told.misses.items():
        low, high = told.false_alarms[rate]
        lines.append(
            f"  misses {100 * share:.0f} % of what is said at {rate} false alarms an hour "
            f"(forecasts were off by {100 * told.miss_error[rate]:.0f} points); calibrated without "
            f"background, {low:.1f} to {high:.1f} an hour"
        )
    lines += [f"  {reason}" for reason in told.reasons]
    near = ", ".join(f"{word} ({distance:.2f})" for word, distance in told.neighbours)
    lines.append(f"  nearest words, in edits per phone: {near}")
    if told.alternatives:
        better = ", ".join(f"{text} ({100 * share:.0f} %)" for text, share in told.alternatives)
        lines.append(f"  fewer misses: {better}")
    return "\n".join(lines) + "\n"
