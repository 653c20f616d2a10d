"""The options of `adml trials` and its kinds of lists."""

from __future__ import annotations

import argparse
from pathlib import Path

from adml import trial_commands
from adml.arguments import cache_option, positive, printable, seed

PROTOCOLS = ("csv", "phonmatchnet", "mmkws")
SUBSETS = ("easy", "hard")


def add_kinds(parser: argparse.ArgumentParser) -> None:
    """Declare what `adml trials` can be asked for."""
    kinds = parser.add_subparsers(title="kinds", metavar="KIND", required=True)
    for add in (_add_draw, _add_libriphrase, _add_neighbours, _add_noisy, _add_show):
        add(kinds, parser.epilog)


def _kind(kinds, name: str, text: str, command, epilog: str | None) -> argparse.ArgumentParser:
    parser = kinds.add_parser(name, help=text, description=text, epilog=epilog)
    parser.add_argument("--verbose", action="store_true", help="log more")
    parser.set_defaults(command=command)
    return parser


def _add_draw(kinds, epilog: str | None) -> None:
    text = "Draw the lists of a configuration and write each as a file."
    parser = _kind(kinds, "draw", text, trial_commands.draw, epilog)
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="its evaluation names the lists"
    )
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="these lists (default: all)"
    )
    _speech(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="of NAME.tsv")
    _written(parser)


def _add_libriphrase(kinds, epilog: str | None) -> None:
    text = "Make a list of LibriPhrase's official pairs."
    parser = _kind(kinds, "libriphrase", text, trial_commands.libriphrase, epilog)
    parser.add_argument(
        "--csv",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE",
        help="libriphrase_diffspk_all_1word.csv and those of 2, 3 and 4 words",
    )
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        required=True,
        help="csv: one trial a row; phonmatchnet: four a negative row; mmkws: two a row",
    )
    parser.add_argument(
        "--subset", choices=SUBSETS, required=True, help="negatives: random or similar phrases"
    )
    parser.add_argument("--name", type=printable, required=True, help="of the list")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the list, a .tsv")
    parser.add_argument(
        "--audio",
        type=printable,
        default="",
        metavar="FOLDER",
        help="folder of the recordings within the speech folder; put before their paths",
    )
    parser.add_argument(
        "--speech", type=Path, metavar="DIR", help="set aside what has no recording in DIR/FOLDER"
    )
    parser.add_argument(
        "--official", action="store_true", help="refuse other counts than the official ones"
    )
    _written(parser)


def _add_neighbours(kinds, epilog: str | None) -> None:
    text = "Find the words of a vocabulary that sound nearest to each of its words."
    parser = _kind(kinds, "neighbours", text, trial_commands.neighbours, epilog)
    parser.add_argument(
        "--words", required=True, metavar="FILE", help="a word or phrase a line; - for stdin"
    )
    parser.add_argument("--count", type=positive, default=10, metavar="N", help="of each word")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="a new .tsv; never overwritten"
    )


def _add_noisy(kinds, epilog: str | None) -> None:
    text = "Write the clips of a list with simulated noise and rooms, as a set of its own."
    parser = _kind(kinds, "noisy", text, trial_commands.noisy, epilog)
    parser.add_argument("file", type=Path, metavar="LIST", help="a list of trials")
    _speech(parser)
    for name, prefix, what, snr_db in (
        ("noise", "", "noise", (0.0, 15.0)),
        ("music", "music-", "music", (5.0, 15.0)),
        ("babble", "babble-", "speech, of which 3 to 7 talk at once", (13.0, 20.0)),
    ):
        parser.add_argument(f"--{name}", type=Path, metavar="DIR", help=f"of recordings of {what}")
        parser.add_argument(
            f"--{prefix}snr", type=float, nargs=2, default=snr_db, metavar=("LOW", "HIGH"),
            help=f"range of its ratio in decibels (default: {snr_db[0]:g} {snr_db[1]:g})",
        )  # fmt: skip
    parser.add_argument("--rir", type=Path, metavar="DIR", help="of room impulse responses")
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="the new set; never overwritten"
    )
    parser.add_argument(
        "--name", type=printable, help="of the new list (default: the old one's, -noisy)"
    )
    cache_option(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_show(kinds, epilog: str | None) -> None:
    text = "Tell what a list holds: protocol, counts, hash, settings, a few trials."
    parser = _kind(kinds, "show", text, trial_commands.show, epilog)
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _speech(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--speech", type=Path, required=True, metavar="DIR", help="of the sets")


def _written(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--overwrite", action="store_true", help="replace another list of the same name"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
