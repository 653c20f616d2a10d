"""Options of the commands that look at a run that is there."""

from __future__ import annotations

import argparse

from adml import commands
from adml.arguments import EXIT_CODES, cache_option, moved_speech_option, positive, run_argument


def add_report(verbs) -> None:
    """Declare `adml report`."""
    text = "Draw what a run did, from the files in its folder, as a page."
    _verb(verbs, "report", text, commands.report, "print the paths as JSON")


def add_gradients(verbs) -> None:
    """Declare `adml gradients`."""
    text = "Show how hard each loss term pulls on each encoder, and whether against the others."
    parser = _verb(verbs, "gradients", text, commands.gradients)
    parser.add_argument("--batches", type=positive, default=4, metavar="N", help="to average over")
    moved_speech_option(parser)
    cache_option(parser)


def add_postmortem(verbs) -> None:
    """Declare `adml postmortem`."""
    text = "Tell what was not finite in the step that ended a run."
    _verb(verbs, "postmortem", text, commands.postmortem)


def _verb(
    verbs, name: str, text: str, command, json_help: str = "print JSON"
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text, description=text, epilog=EXIT_CODES)
    parser.add_argument("--verbose", action="store_true", help="log more")
    parser.set_defaults(command=command)
    run_argument(parser)
    parser.add_argument("--json", action="store_true", help=json_help)
    return parser
