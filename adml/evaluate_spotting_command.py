"""The command `adml evaluate spotting`: misses against false alarms in running audio."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from adml.arguments import cache_option, positive, seed, write_json
from adml.detect_command import number, spotting_verb

NAME = "evaluate spotting"


def add_evaluate_spotting(verbs) -> None:
    """Add the command, whose name is two words, to those of the program."""
    text = "Measure misses against false alarms per hour in running audio, clean and in noise."
    parser = spotting_verb(verbs, NAME, text, evaluate)
    parser.add_argument(
        "--clips", type=Path, required=True, metavar="SET", help="a set whose texts are keywords"
    )
    parser.add_argument(
        "--background", type=Path, required=True, metavar="SET",
        help="a set of speech; what says a keyword is left out",
    )  # fmt: skip
    parser.add_argument("--noise", type=Path, metavar="SET", help="a set of noise, for --snr")
    parser.add_argument(
        "--snr", type=number, nargs="+", default=[], metavar="DB", help="ratios, besides clean"
    )
    parser.add_argument(
        "-k", "--keywords", type=Path, metavar="FILE",
        help="of `adml enroll` (default: the texts of the clips)",
    )  # fmt: skip
    parser.add_argument("--limit", type=positive, metavar="N", help="so many clips and recordings")
    parser.add_argument(
        "--pocketsphinx", action="store_true", help="PocketSphinx beside it (extra benchmark)"
    )
    parser.add_argument("--seed", type=seed, default=0)
    cache_option(parser)
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the curves")
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="write all figures as JSON, a new file"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the record that is there")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def evaluate(arguments: argparse.Namespace) -> int:
    """Print the table, then write the record and draw the plot."""
    from adml.errors import UsageError
    from adml.evaluate_spotting import alarms, evaluate_spotting, make_test, table
    from adml.evaluation.spotting_plot import spotting_curves
    from adml.files import write_atomically
    from adml.spotting.keyword_file import KeywordFile

    record = arguments.record
    if record and (record.is_dir() or (record.exists() and not arguments.overwrite)):
        advice = "" if record.is_dir() else ", or replace this one by --overwrite"
        raise UsageError(
            f"{record} exists. Expected: a new file. Write the record elsewhere{advice}."
        )
    keywords = KeywordFile.read(arguments.keywords) if arguments.keywords else None
    test = make_test(
        arguments.clips,
        arguments.background,
        arguments.noise,
        snr_db=arguments.snr,
        keywords=[keyword.name for keyword in keywords.keywords] if keywords else None,
        seed=arguments.seed,
        limit=arguments.limit,
        cache=arguments.cache,
    )
    told, found = evaluate_spotting(
        arguments.model, test, keywords=keywords, pocketsphinx=arguments.pocketsphinx
    )
    if arguments.json:
        write_json(told)
    else:
        sys.stdout.write(f"{table(told)}\n\n{alarms(told)}\n")
    sys.stdout.flush()  # told, whatever becomes of the files
    if arguments.record:
        write_atomically(arguments.record, (json.dumps(told, indent=1) + "\n").encode())
    if arguments.plot:
        spotting_curves(found, arguments.plot)
    return 0
