"""The command `adml benchmark`: its options, and what it does with them."""

from __future__ import annotations

import argparse
import sys

from adml.arguments import EXIT_CODES, config_options, positive, read_config, write_json


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
    parser.add_argument(
        "--classes", type=positive, nargs="+", metavar="C",
        help="measure the keyword classifier alone, with 500 utterances and so many classes",
    )  # fmt: skip
    parser.add_argument(
        "--kills", type=positive, metavar="N",
        help="kill a small training N times instead and compare it with a straight one",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON")


def benchmark(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    measure = _kills if arguments.kills else _classes if arguments.classes else _training
    values, text = measure(arguments)
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
