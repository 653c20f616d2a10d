"""The command line: parses, then calls. stdout is data, stderr is log."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from adml import __version__, commands
from adml.arguments import (
    EXIT_CODES,
    cache_option,
    checkpoint_option,
    config_options,
    moved_speech_option,
    names,
    positive,
    run_argument,
    seed,
    share,
)
from adml.benchmark_command import add_benchmark
from adml.data_commands import add_data
from adml.demo_command import add_demo
from adml.detect_command import spotting_verb
from adml.errors import AdmlError, DataError
from adml.evaluate_spotting_command import NAME as SPOTTING
from adml.evaluate_spotting_command import add_evaluate_spotting
from adml.export_command import add_export
from adml.reproduce_options import add_options, reproduce
from adml.run_options import add_gradients, add_postmortem, add_report
from adml.spotting_commands import add_spotting
from adml.training.interrupts import INTERRUPTED, second_interrupt_ends
from adml.trial_options import add_kinds


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments without the program's name; None for the process' own.

    Returns:
        The exit code.
    """
    if argv is None:
        _open_what_is_closed()
    if argv is None and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # where it is not UTF-8
    arguments = _parser().parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", _native_log_level(arguments.verbose))
    logging.basicConfig(
        level=logging.DEBUG if arguments.verbose else logging.INFO,
        stream=sys.stderr,
        format="%(message)s",
        force=True,
    )
    for name in ("matplotlib", "absl", "tensorflow", "h5py", "PIL", "urllib3", "httpx"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with second_interrupt_ends() if argv is None else contextlib.nullcontext():
            code = arguments.command(arguments) or 0
            sys.stdout.flush()
            return code
    except AdmlError as error:
        sys.stderr.write(f"adml: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("adml: interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        _drop_stdout()
        return 0
    except OSError as error:
        return _failed(error)


class _Program(argparse.ArgumentParser):
    """A parser of commands of which one has a name of two words."""

    def parse_known_args(self, args=None, namespace=None):
        """As its class, with the two words joined."""
        args = list(sys.argv[1:] if args is None else args)
        if args[:2] == SPOTTING.split():
            args = [SPOTTING, *args[2:]]
        return super().parse_known_args(args, namespace)


def _open_what_is_closed() -> None:
    """Put nothing in the place of a standard stream that the shell has closed (`<&-`, `>&-`)."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115


def _failed(error: OSError) -> int:
    """Say in one line that the system refused something; --verbose shows where."""
    logging.getLogger(__name__).debug("", exc_info=True)
    where = f"{error.filename}: " if error.filename else ""
    sys.stderr.write(
        f"adml: {where}{error.strerror or error}. Expected: files that can be read and written. "
        "Make room, or choose another place.\n"
    )
    try:
        sys.stdout.flush()
    except OSError:
        _drop_stdout()
    return DataError.exit_code


def _drop_stdout() -> None:
    """What stdout did not take is not tried again at exit."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _native_log_level(verbose: bool) -> str:
    """What TensorFlow's native code may write: without a GPU not even that there is none."""
    if verbose:
        return "0"
    return "2" if Path("/proc/driver/nvidia").exists() else "3"


def _parser() -> argparse.ArgumentParser:
    parser = _Program(
        prog="adml",
        epilog=EXIT_CODES,
        description="Open-vocabulary keyword spotting: type a keyword, find it in audio.",
    )
    parser.add_argument("--version", action="version", version=f"adml {__version__}")
    verbs = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=argparse.ArgumentParser
    )
    for add in (
        _add_quickstart,
        add_data,
        _add_train,
        _add_evaluate,
        add_evaluate_spotting,
        _add_trials,
        _add_reproduce,
        add_export,
        add_spotting,
        add_demo,
        _add_score,
        _add_g2p,
        _add_results,
        add_report,
        add_gradients,
        add_postmortem,
        add_benchmark,
    ):
        add(verbs)
    return parser


def _verb(verbs, name: str, text: str, command) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text, description=text, epilog=EXIT_CODES)
    parser.add_argument("--verbose", action="store_true", help="log more")
    parser.set_defaults(command=command)
    return parser


def _add_quickstart(verbs) -> None:
    parser = _verb(
        verbs,
        "quickstart",
        "Make or take speech, train, evaluate, plot and export in about ten minutes.",
        commands.quickstart,
    )
    parser.add_argument(
        "--speech",
        type=Path,
        metavar="DIR",
        help="real speech: a set, or a folder of sets, each with manifest.tsv and words.tsv",
    )
    parser.add_argument(
        "--test-sets",
        type=names,
        default=(),
        metavar="A,B",
        help="sets of --speech to test on (default: those called dev, test and the like)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="run folder (default: runs/quickstart, numbered)"
    )
    parser.add_argument(
        "--steps", type=positive, metavar="N", help="training steps (default: what fits the time)"
    )
    parser.add_argument("--seed", type=seed, default=0)
    cache_option(parser)
    parser.add_argument("--json", action="store_true", help="print the record instead of the table")


def _add_train(verbs) -> None:
    parser = _verb(verbs, "train", "Train a model in a run folder.", commands.train)
    config_options(parser)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="run folder; never overwritten"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument(
        "--deterministic",
        action="store_true",
        help="equal runs give equal bits on a machine, GPUs included (training.deterministic)",
    )


def _add_evaluate(verbs) -> None:
    parser = _verb(
        verbs,
        "evaluate",
        "Evaluate a run on lists of trials and write a record.",
        commands.evaluate,
    )
    run_argument(parser)
    checkpoint_option(parser)
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="YAML file whose evaluation section names the trials (default: the run's own)",
    )
    moved_speech_option(parser)
    parser.add_argument(
        "--trials", action="append", default=[], metavar="NAME", help="only this list (repeatable)"
    )
    parser.add_argument(
        "--ctc-weight", type=share, default=0.0, metavar="W", help="score by cosine - W * CTC cost"
    )
    parser.add_argument(
        "--untrained", action="store_true", help="evaluate the initial weights, for comparison"
    )
    cache_option(parser)
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="where the record goes (default: in the run)"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace another list or record of the same name"
    )
    parser.add_argument("--json", action="store_true", help="print the record")


def _add_trials(verbs) -> None:
    text = "Draw, make or look at lists of trials."
    add_kinds(verbs.add_parser("trials", help=text, description=text, epilog=EXIT_CODES))


def _add_reproduce(verbs) -> None:
    text = "Run the rows of the paper's tables, each once, and show the tables."
    add_options(_verb(verbs, "reproduce", text, reproduce))


def _add_score(verbs) -> None:
    text = "Compare keywords with audio files: one cosine each."
    parser = spotting_verb(verbs, "score", text, commands.score)
    parser.add_argument(
        "audio", type=Path, nargs="+", metavar="AUDIO", help="wav, flac, ogg/opus or mp3"
    )
    parser.add_argument(
        "--keyword", "-k", action="append", required=True, metavar="TEXT", help="repeatable"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_g2p(verbs) -> None:
    parser = _verb(verbs, "g2p", "Show the phonemes that a text will be found by.", commands.g2p)
    parser.add_argument("text", nargs="+", metavar="TEXT")
    parser.add_argument(
        "--pronunciations", type=Path, metavar="FILE", help="lines of: word PH ON EMES"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_results(verbs) -> None:
    parser = _verb(verbs, "results", "Write RESULTS.md from the records alone.", commands.results)
    parser.add_argument("--records", type=Path, default=Path("experiments/records"), metavar="DIR")
    parser.add_argument(
        "--analysis", type=Path, default=Path("experiments/analysis.md"), metavar="FILE"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: stdout")
