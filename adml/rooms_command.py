"""The command `adml data rooms`: its options, and what it does with them."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from adml.arguments import EXIT_CODES, positive, seed, write_json


def add_rooms(verbs) -> None:
    """Declare the command and its options."""
    text = "Simulate rooms and write their impulse responses (extra: rooms)."
    parser = verbs.add_parser("rooms", help=text, description=text, epilog=EXIT_CODES)
    parser.add_argument("--verbose", action="store_true", help="log more")
    parser.set_defaults(command=rooms)
    parser.add_argument(
        "--count", type=positive, default=500, metavar="N", help="rooms (default: %(default)s)"
    )
    parser.add_argument(
        "--reverberation", type=float, nargs=2, default=(0.15, 0.7), metavar=("LOW", "HIGH"),
        help="range of the time in which sound falls by 60 dB, in seconds (default: 0.15 0.7)",
    )  # fmt: skip
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="new folder; never overwritten"
    )
    parser.add_argument(
        "--workers", type=positive, metavar="N", help="processes (default: cores)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def rooms(arguments: argparse.Namespace) -> int:
    """Make rooms and tell what they are like."""
    from adml.data.rooms import make_rooms

    made = make_rooms(
        arguments.out, arguments.count, seed=arguments.seed,
        reverberation_s=tuple(arguments.reverberation), workers=arguments.workers,
    )  # fmt: skip
    if arguments.json:
        write_json([dataclasses.asdict(room) for room in made])
        return 0
    times = sorted(room.reverberation_s for room in made)
    sys.stdout.write(
        f"{len(made)} rooms in {arguments.out}; reverberation times {times[0]:.2f} to "
        f"{times[-1]:.2f} s, half of them below {times[len(times) // 2]:.2f} s\n"
    )
    return 0
