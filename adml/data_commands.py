"""The options of `adml data`, and what it does with them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from adml.arguments import EXIT_CODES, positive
from adml.download_command import add_download


def add_data(verbs) -> None:
    """Declare `adml data`, the verbs below it and their options."""
    text = "Fetch and prepare corpora for training and evaluation."
    parser = verbs.add_parser("data", help=text, description=text, epilog=EXIT_CODES)
    below = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_download(below)
    _add_prepare(below)


def _verb(verbs, name: str, text: str, command, **more) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text, description=text, **more)
    parser.add_argument("--verbose", action="store_true", help="log more")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(command=command)
    return parser


def _workers_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers", type=positive, metavar="N", help="recordings read at a time (default: cores)"
    )


def _add_prepare(verbs) -> None:
    from adml.data.corpora.registry import CORPORA

    told = [
        f"{corpus.name}\n    {corpus.description} ({corpus.licence})\n    {corpus.layout}"
        for corpus in CORPORA.values()
    ]
    parser = _verb(
        verbs,
        "prepare",
        "Write a corpus as manifest.tsv, words.tsv and audio, what is odd set aside and listed.",
        prepare,
        epilog="\n".join(["corpora, and the layout of --source:", *told, "", EXIT_CODES]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=tuple(CORPORA), metavar="NAME", help="see below")
    parser.add_argument("--source", type=Path, required=True, metavar="DIR", help="the corpus")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="new folder; never overwritten"
    )
    parser.add_argument(
        "--audio",
        choices=("link", "flac"),
        default="link",
        help="link to the corpus' files, or decode to 16 kHz FLAC (default: %(default)s)",
    )
    parser.add_argument(
        "--alignments",
        type=Path,
        metavar="PATH",
        help="word times: a folder of TextGrids or LibriSpeech-Alignments, or a table",
    )
    parser.add_argument(
        "--split", default="all", metavar="NAME", help="train, validation or test, where there are"
    )
    _workers_option(parser)


def prepare(arguments: argparse.Namespace) -> int:
    """Prepare a corpus and print what it holds."""
    from adml.data.corpora.prepare import Settings, prepare
    from adml.data.corpora.registry import CORPORA

    settings = Settings(arguments.audio, arguments.alignments, arguments.split, arguments.workers)
    described = prepare(CORPORA[arguments.name], arguments.source, arguments.out, settings)
    if arguments.json:
        _print_json(described)
        return 0
    sys.stdout.write(
        f"{arguments.out}: {described['recordings']:,} recordings, {described['hours']:.2f} h, "
        f"{described['speakers']:,} speakers, {described['words']:,} words with times, "
        f"{sum(described['set_aside'].values()):,} items set aside\n"
    )
    return 0


def _print_json(values) -> None:
    sys.stdout.write(json.dumps(values, indent=2, ensure_ascii=False) + "\n")
