"""The command that serves a page for trying keywords."""

from __future__ import annotations

import argparse
import sys

from adml.detect_command import spotting_verb


def add_demo(verbs) -> None:
    """Add the verb to those of the program."""
    text = "Try keywords on recordings on a local page (extra: demo)."
    parser = spotting_verb(verbs, "demo", text, demo)
    parser.add_argument(
        "--port", type=port, default=7860, metavar="N", help="of 127.0.0.1 (default: %(default)s)"
    )


def port(text: str) -> int:
    """The number of a port."""
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 1 to 65535, received {text!r}")
    return int(text)


def demo(arguments: argparse.Namespace) -> int:
    """Serve the page and print its address."""
    from adml.demo.page import import_gradio, serve
    from adml.spotting.spotter import KeywordSpotter

    import_gradio()
    serve(KeywordSpotter.load(arguments.model), arguments.port, _tell)
    return 0


def _tell(address: str) -> None:
    sys.stdout.write(f"{address}\n")
    sys.stdout.flush()
