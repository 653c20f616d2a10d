"""The command `adml export`: SavedModels, and files for other runtimes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from adml.arguments import EXIT_CODES, cache_option, checkpoint_option, names, write_json
from adml.errors import UsageError

SAVED_MODEL = "saved_model"
FORMATS = (SAVED_MODEL, "litert", "onnx")
PRECISIONS = ("float32", "float16", "int8")


def add_export(verbs) -> None:
    """Add the verb to those of the program."""
    text = "Export the encoders as SavedModels, LiteRT or ONNX, checked in a fresh process."
    parser = verbs.add_parser("export", help=text, description=text, epilog=EXIT_CODES)
    parser.add_argument("--verbose", action="store_true", help="log more")
    parser.set_defaults(command=export)
    parser.add_argument(
        "run", type=Path, nargs="?", metavar="RUN",
        help="run folder of `adml train`; for litert and onnx an export folder as well (default, "
        "with --out: the weights in the package)",
    )  # fmt: skip
    checkpoint_option(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to (default: RUN/export)")
    parser.add_argument(
        "--format", type=_some_of(FORMATS), default=[SAVED_MODEL], metavar="A,B",
        help=f"of {', '.join(FORMATS)} (default: {SAVED_MODEL}; the others need the extra export)",
    )  # fmt: skip
    parser.add_argument(
        "--precision", type=_some_of(PRECISIONS), default=["float32"], metavar="A,B",
        help=f"for litert and onnx, of {', '.join(PRECISIONS)} (default: float32)",
    )  # fmt: skip
    parser.add_argument(
        "--clips", type=Path, metavar="SET",
        help="a set of words or clips; what litert and onnx lose is measured on these and on five "
        "minutes of whole recordings of the set",
    )  # fmt: skip
    cache_option(parser)
    parser.add_argument(
        "--json", action="store_true", help="print paths, differences and figures as JSON"
    )


def _check_run(arguments: argparse.Namespace) -> None:
    """Without a run, what is in the package is converted, to a folder elsewhere."""
    made = SAVED_MODEL in arguments.format or arguments.checkpoint != "latest"
    if arguments.run is None and (made or arguments.out is None):
        raise UsageError(
            "There is no run to export. Expected: RUN, or for the weights in the package --format "
            "of litert and onnx alone, and --out DIR. Received: --format "
            f"{','.join(arguments.format)}, --checkpoint {arguments.checkpoint}, --out "
            f"{arguments.out or 'nowhere'}."
        )


def _some_of(known: tuple[str, ...]):
    def chosen(text: str) -> list[str]:
        found = list(dict.fromkeys(names(text)))
        if unknown := [name for name in found if name not in known]:
            raise argparse.ArgumentTypeError(
                f"expected some of {', '.join(known)}, received {unknown[0]!r}"
            )
        return found

    return chosen


def export(arguments: argparse.Namespace) -> int:
    """Export a run and print the paths, and for other runtimes a table."""
    from adml.experiment import export_run
    from adml.runtime_export import export_for_runtimes

    _check_run(arguments)
    told: dict = {}
    model, kinds = arguments.run, [kind for kind in arguments.format if kind != SAVED_MODEL]
    if SAVED_MODEL in arguments.format:
        told = export_run(model, arguments.out, checkpoint=arguments.checkpoint)
        model = Path(told["acoustic"]).parent
        if not arguments.json:
            sys.stdout.write("".join(f"{name}: {value}\n" for name, value in told.items()))
    if kinds:
        made = export_for_runtimes(
            model,
            formats=kinds,
            precisions=arguments.precision,
            out=arguments.out,
            clips=arguments.clips,
            checkpoint="latest" if told else arguments.checkpoint,
            cache=arguments.cache,
        )
        told |= made.to_dict()
        if not arguments.json:
            sys.stdout.write("".join(f"{one.folder}\n" for one in made.files) + made.table() + "\n")
    if arguments.json:
        write_json(told)
    return 0
