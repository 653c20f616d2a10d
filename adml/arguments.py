"""Types of the command line's arguments; each raises argparse's error for other text."""

from __future__ import annotations

import argparse
import contextlib


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
