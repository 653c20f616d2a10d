"""The command `adml data download`: its options, and what it does with them."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from adml.arguments import EXIT_CODES, write_json
from adml.errors import DataError, UsageError


def add_download(verbs) -> None:
    """Declare the command and its options."""
    text = "Fetch free corpora over https, check and unpack them."
    parser = verbs.add_parser("download", help=text, description=text, epilog=EXIT_CODES)
    parser.add_argument("--verbose", action="store_true", help="log more")
    parser.set_defaults(command=download)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of --list")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("corpora"),
        metavar="DIR",
        help="folder of the corpora (default: %(default)s)",
    )
    parser.add_argument(
        "--mirror",
        metavar="URL",
        help="address of a folder that holds the archives by the names of --list; asked first",
    )
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--list", action="store_true", help="show what can be had; fetch nothing")
    only.add_argument(
        "--offline",
        action="store_true",
        help="show what is there; fetch nothing, exit code 3 if something is missing",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def download(arguments: argparse.Namespace) -> int:
    """Fetch and unpack sets and print their folders, or tell about them."""
    from adml.data.fetch.sources import SOURCES, find_source
    from adml.data.fetch.state import look, sources_table

    sources = [find_source(name) for name in arguments.names]
    if arguments.list:
        listed = tuple(sources) or SOURCES
        values = [dataclasses.asdict(source) for source in listed]
        _say(arguments, values, sources_table(listed))
        return 0
    if not sources:
        raise UsageError("No corpus is named. Expected: a NAME of `adml data download --list`.")
    if arguments.offline:
        states = {source.name: look(source, arguments.out) for source in sources}
        told = {name: state.text for name, state in states.items()}
        _say(arguments, told, "".join(f"{name}: {text}\n" for name, text in told.items()))
        if missing := [name for name, state in states.items() if state.missing]:
            raise DataError(
                f"Missing in {arguments.out}: {', '.join(missing)}. Expected: all that is named. "
                "Fetch them without --offline."
            )
        return 0
    # urllib3 opens a socket where it is imported
    from adml.data.fetch.connection import check_address
    from adml.data.fetch.download import download

    if arguments.mirror is not None:
        check_address(arguments.mirror)
    folders = [str(download(source, arguments.out, mirror=arguments.mirror)) for source in sources]
    _say(arguments, folders, "".join(f"{folder}\n" for folder in folders))
    return 0


def _say(arguments: argparse.Namespace, values, text: str) -> None:
    if arguments.json:
        write_json(values)
    else:
        sys.stdout.write(text)
