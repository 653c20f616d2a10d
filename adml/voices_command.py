"""The command `adml data voices`: its options, and what it does with them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from adml.arguments import EXIT_CODES, positive, seed, write_json


def add_voices(verbs) -> None:
    """Declare the command and its options."""
    text = "Speak words by many synthetic voices and write them as aligned speech (extra: synth)."
    parser = verbs.add_parser("voices", help=text, description=text, epilog=EXIT_CODES)
    parser.add_argument("--verbose", action="store_true", help="log more")
    parser.set_defaults(command=voices)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR",
        help="new folder, of train, test and noise; one of the same settings is used as it is",
    )  # fmt: skip
    for name, default, what in (
        ("words", 800, "of the packaged vocabulary"),
        ("voices", 60, "of different timbre, accent, rate and pitch"),
        ("voices-per-word", 8, "of those trained on"),
        ("test-voices-per-word", 4, "of those held out"),
    ):
        help_text = f"{what} (default: %(default)s)"
        parser.add_argument(
            f"--{name}", type=positive, default=default, metavar="N", help=help_text
        )
    parser.add_argument(
        "--held-out-words", type=int, metavar="N", help="default: 15 %% of the words"
    )
    parser.add_argument(
        "--held-out-voices", type=positive, metavar="N", help="default: 20 %% of the voices"
    )
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument(
        "--workers", type=positive, metavar="N", help="voices spoken at a time (default: cores)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def voices(arguments: argparse.Namespace) -> int:
    """Make the corpus and tell how much of it there is."""
    from adml.data.synthetic import make_corpus

    folder = make_corpus(
        arguments.out, num_words=arguments.words, num_voices=arguments.voices,
        seed=arguments.seed, held_out_words=arguments.held_out_words,
        held_out_voices=arguments.held_out_voices, voices_per_word=arguments.voices_per_word,
        test_voices_per_word=arguments.test_voices_per_word, workers=arguments.workers,
    )  # fmt: skip
    made = json.loads((folder / "settings.json").read_text("utf-8"))
    told = {
        "folder": str(folder),
        "voices": len(made["voices"]),
        **{name: made[name] for name in ("train_seconds", "test_seconds", "synthesiser")},
    }
    if arguments.json:
        write_json(told)
        return 0
    train_h, test_h = told["train_seconds"] / 3600, told["test_seconds"] / 3600
    sys.stdout.write(
        f"{told['voices']} voices in {folder}, by {told['synthesiser']}: {train_h:.2f} h to train "
        f"with, {test_h:.2f} h of held-out voices\n"
    )
    return 0
