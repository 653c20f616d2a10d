"""What several commands share: arguments, their types, which raise argparse's error, and JSON."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adml.config import Config

EXIT_CODES = (
    "exit codes: 0 ok, 2 usage, 3 data problem, 4 numeric failure, 130 interrupted, 143 terminated"
)


def positive(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, received {text!r}")
    return int(text)


def share(text: str) -> float:
    """A number from 0 to 1."""
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, received {text!r}")


def seed(text: str) -> int:
    """A seed, from 0 to 2**32 - 1."""
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(
            f"expected a number from 0 to 2**32 - 1, received {text!r}"
        )
    return int(text)


def names(text: str) -> list[str]:
    """Names with commas between, spaces around them dropped."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise argparse.ArgumentTypeError(f"expected names with commas between, received {text!r}")
    return found


def printable(text: str) -> str:
    """A text that can stand in a list."""
    if not text.isprintable():
        raise argparse.ArgumentTypeError(f"expected characters to print, received {text!r}")
    return text


def run_argument(parser: argparse.ArgumentParser) -> None:
    """The run that a command looks at."""
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder of `adml train`")


def checkpoint_option(parser: argparse.ArgumentParser) -> None:
    """Which of a run's checkpoints is used."""
    parser.add_argument(
        "--checkpoint",
        type=_checkpoint,
        default="latest",
        metavar="best|latest|STEP",
        help="which to use; best: by training.validation (default: latest)",
    )


def _checkpoint(text: str) -> str:
    if text in ("best", "latest") or text.isdecimal():
        return text
    raise argparse.ArgumentTypeError(f"expected best, latest or a step, received {text!r}")


def moved_speech_option(parser: argparse.ArgumentParser) -> None:
    """Where the speech of a run lies now."""
    parser.add_argument(
        "--speech", type=Path, metavar="DIR", help="folder of the sets (default: the run's own)"
    )


def cache_option(parser: argparse.ArgumentParser) -> None:
    """Where decoded speech is kept."""
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", help="folder for decoded speech (default: user cache)"
    )


def config_options(parser: argparse.ArgumentParser) -> None:
    """What is to be trained, and on what."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="YAML file; default: the paper's values"
    )
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override one value, e.g. --set losses.phoneme.kind=proxy_bd (repeatable)",
    )
    parser.add_argument(
        "--speech", type=Path, metavar="DIR", help="folder of aligned speech sets (data.root)"
    )
    cache_option(parser)


def read_config(arguments: argparse.Namespace, default: Path | None = None) -> Config:
    """The experiment that `config_options` describe; `default` is the file where none is named.

    Raises:
        ConfigError: it is missing or wrong.
    """
    from adml.config import load_config

    overrides = list(arguments.overrides)
    if arguments.speech is not None:
        root = json.dumps(str(arguments.speech.resolve()), ensure_ascii=False)
        overrides.append(f"data.root={root}")
    return load_config(arguments.config or default, overrides)


def write_json(values: object) -> None:
    """Write plain values to stdout."""
    sys.stdout.write(json.dumps(values, indent=2, ensure_ascii=False) + "\n")
