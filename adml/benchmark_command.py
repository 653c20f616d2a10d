"""The command `adml benchmark`: its options, and what it does with them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from adml.arguments import EXIT_CODES, config_options, positive, read_config, write_json
from adml.run_folder import require_writable


def add_benchmark(verbs) -> None:
    """Declare the command and its options."""
    text = "Measure the speed of the encoder, the training step and the making of batches."
    parser = verbs.add_parser("benchmark", help=text, description=text, epilog=EXIT_CODES)
    parser.add_argument("--verbose", action="store_true", help="log more")
    parser.set_defaults(command=benchmark)
    parser.add_argument("--batch", type=positive, default=64, metavar="B")
    parser.add_argument("--rounds", type=positive, default=5, metavar="N")
    config_options(parser)
    parser.add_argument("--bfloat16", action="store_true", help="measure training.autocast too")
    alone = parser.add_mutually_exclusive_group()
    alone.add_argument(
        "--classes", type=positive, nargs="+", metavar="C",
        help="measure the keyword classifier alone, with 500 utterances and so many classes",
    )  # fmt: skip
    alone.add_argument(
        "--kills", type=positive, metavar="N",
        help="kill a small training N times instead and compare it with a straight one",
    )  # fmt: skip
    alone.add_argument(
        "--profile", action="store_true", help="tell where the time of one training step goes"
    )
    alone.add_argument(
        "--kinds", action="store_true", help="compare precisions, XLA and oneDNN"
    )
    alone.add_argument(
        "--sizes", type=positive, nargs=5, metavar="B",
        help="time and memory of a step at five batch sizes, and how well a model foretells them",
    )  # fmt: skip
    alone.add_argument(
        "--spotting", type=Path, nargs="?", const=True, metavar="MODEL",
        help="how fast 1, 10, 100 and 1,000 keywords are found in an hour of audio on one core "
        "(default: the weights in the package)",
    )  # fmt: skip
    parser.add_argument(
        "--minutes", type=positive, default=60, metavar="M", help="of audio, for --spotting"
    )
    parser.add_argument("--record", type=Path, metavar="FILE", help="keep the figures as JSON")
    parser.add_argument("--json", action="store_true", help="print JSON")


def benchmark(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    special = {
        "kills": _kills, "classes": _classes, "profile": _profile, "kinds": _kinds, "sizes": _sizes,
        "spotting": _spotting,
    }  # fmt: skip
    asked = [measure for name, measure in special.items() if getattr(arguments, name)]
    if arguments.record:
        require_writable(arguments.record.parent, "--record")
    values, text = (asked or [_training])[0](arguments)
    if arguments.record:
        from adml.benchmarks.record import write_benchmark

        write_benchmark(arguments.record, values)
    if arguments.json:
        write_json(values)
    else:
        sys.stdout.write(text + "\n")
    return 0


def _classes(arguments: argparse.Namespace) -> tuple[list, str]:
    from adml.benchmarks.classifier import classifier_benchmark, format_classifier_benchmark

    rows = classifier_benchmark(arguments.classes)
    return rows, format_classifier_benchmark(rows)


def _kills(arguments: argparse.Namespace) -> tuple[dict, str]:
    from adml.benchmarks.kills import format_kill_benchmark, kill_benchmark

    values = kill_benchmark(arguments.kills)
    return values, format_kill_benchmark(values)


def _profile(arguments: argparse.Namespace) -> tuple[dict, str]:
    from adml.benchmarks.profile import format_profile, profile_benchmark

    values = profile_benchmark(max(2, arguments.batch // 2), rounds=arguments.rounds)
    return values, format_profile(values)


def _kinds(arguments: argparse.Namespace) -> tuple[list, str]:
    from adml.benchmarks.steps import format_kinds, kinds_benchmark

    rows = kinds_benchmark(arguments.batch, rounds=arguments.rounds)
    return rows, format_kinds(rows)


def _sizes(arguments: argparse.Namespace) -> tuple[dict, str]:
    from adml.benchmarks.steps import format_sizes, sizes_benchmark

    values = sizes_benchmark(sorted(arguments.sizes))
    return values, format_sizes(values)


def _spotting(arguments: argparse.Namespace) -> tuple[list, str]:
    from adml.benchmarks.spotting import format_spotting, spotting_benchmark

    model = None if arguments.spotting is True else arguments.spotting
    rows = spotting_benchmark(model, seconds=60.0 * arguments.minutes)
    return rows, format_spotting(rows)


def _training(arguments: argparse.Namespace) -> tuple[dict, str]:
    from adml.benchmarks.batches import format_input_benchmark, input_benchmark
    from adml.benchmarks.encoder import benchmark, drawn_benchmark, format_benchmark
    from adml.benchmarks.step import format_step_benchmark, step_benchmark
    from adml.experiment import default_cache

    values, made = benchmark(arguments.batch, arguments.rounds, bfloat16=arguments.bfloat16), {}
    if arguments.speech is not None or arguments.config is not None:
        config, cache = read_config(arguments), arguments.cache or default_cache()
        values["drawn"] = drawn_benchmark(
            config, cache, arguments.batch, arguments.rounds, bfloat16=arguments.bfloat16
        )
        made = input_benchmark(config, cache)
    step = step_benchmark(max(2, arguments.batch // 2), rounds=arguments.rounds)
    text = [format_benchmark(values), format_step_benchmark(step)]
    if made:
        text.append(format_input_benchmark(made, step["step_per_second"]))
    return {"encoder": values, "step": step, "input": made}, "\n".join(text)
