"""The command line: parses, then calls. stdout is data, stderr is log."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from adml import __version__
from adml.errors import AdmlError, UsageError

EXIT_CODES = "exit codes: 0 ok, 2 usage, 3 data problem, 4 numeric failure, 130 interrupted"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments without the program's name; None for the process' own.

    Returns:
        The exit code.
    """
    arguments = _parser().parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(level=logging.DEBUG if arguments.verbose else logging.INFO, stream=sys.stderr,
                        format="%(message)s", force=True)
    for name in ("matplotlib", "absl", "tensorflow", "h5py", "PIL"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        return arguments.command(arguments) or 0
    except AdmlError as error:
        sys.stderr.write(f"adml: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("adml: interrupted\n")
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="adml", epilog=EXIT_CODES,
        description="Open-vocabulary keyword spotting: type a keyword, find it in audio.")
    parser.add_argument("--version", action="version", version=f"adml {__version__}")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (_add_quickstart, _add_train, _add_evaluate, _add_export, _add_score, _add_g2p, _add_results,
                _add_benchmark):
        add(verbs)
    return parser


def _verb(verbs, name: str, text: str, command) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text, description=text, epilog=EXIT_CODES)
    parser.add_argument("--verbose", action="store_true", help="log more")
    parser.set_defaults(command=command)
    return parser


def _config_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file; default: the paper's values")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE",
                        help="override one value, e.g. --set losses.phoneme.kind=proxy_bd (repeatable)")
    parser.add_argument("--speech", type=Path, metavar="DIR", help="folder of aligned speech sets (data.root)")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="folder for decoded speech (default: user cache)")


def _config(arguments, default: Path | None = None):
    from adml.config import load_config

    overrides = list(arguments.overrides)
    if arguments.speech is not None:
        overrides.append(f"data.root={json.dumps(str(arguments.speech.resolve()))}")
    return load_config(arguments.config or default, overrides)


def _print_json(values) -> None:
    sys.stdout.write(json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def _add_quickstart(verbs) -> None:
    parser = _verb(verbs, "quickstart", "Make or take speech, train, evaluate, plot and export in about ten minutes.",
                   _quickstart)
    parser.add_argument("--speech", type=Path, metavar="DIR",
                        help="real speech: a set, or a folder of sets, each with manifest.tsv and words.tsv")
    parser.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/quickstart, numbered)")
    parser.add_argument("--steps", type=int, metavar="N", help="training steps (default: what fits the time)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, metavar="DIR", help="folder for decoded speech")
    parser.add_argument("--json", action="store_true", help="print the record instead of the table")


def _quickstart(arguments) -> int:
    from adml.quickstart import quickstart

    result = quickstart(arguments.out, speech=arguments.speech, steps=arguments.steps, seed=arguments.seed,
                        cache=arguments.cache)
    if arguments.json:
        _print_json(result.values)
    else:
        sys.stdout.write(result.text + "\n")
    return 0


def _add_train(verbs) -> None:
    parser = _verb(verbs, "train", "Train a model in a run folder.", _train)
    _config_options(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="run folder; never overwritten")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")


def _train(arguments) -> int:
    from adml.config import load_config
    from adml.experiment import train

    described = arguments.out / "config.yaml"
    if arguments.resume and arguments.config is None and not arguments.overrides and described.is_file():
        config = load_config(described)
    else:
        config = _config(arguments)
    train(config, arguments.out, resume=arguments.resume, cache=arguments.cache)
    sys.stdout.write(f"{arguments.out}\n")
    return 0


def _add_evaluate(verbs) -> None:
    parser = _verb(verbs, "evaluate", "Evaluate a run on lists of trials and write a record.", _evaluate)
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder of `adml train`")
    parser.add_argument("--config", type=Path, metavar="FILE",
                        help="YAML file whose evaluation section names the trials (default: the run's own)")
    parser.add_argument("--speech", type=Path, metavar="DIR", help="folder of the sets (default: the run's own)")
    parser.add_argument("--trials", action="append", default=[], metavar="NAME", help="only this list (repeatable)")
    parser.add_argument("--untrained", action="store_true", help="evaluate the initial weights, for comparison")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="folder for decoded speech (default: user cache)")
    parser.add_argument("--record", type=Path, metavar="FILE", help="where the record goes (default: in the run)")
    parser.add_argument("--json", action="store_true", help="print the record")


def _evaluate(arguments) -> int:
    from adml.evaluate import evaluate_run

    done = evaluate_run(
        arguments.run, config_path=arguments.config, speech=arguments.speech, only=tuple(arguments.trials),
        untrained=arguments.untrained, record_path=arguments.record, cache=arguments.cache)
    if arguments.json:
        _print_json(done.record.to_dict())
    else:
        sys.stdout.write(f"{done.table}\n{done.path}\n")
    return 0


def _add_export(verbs) -> None:
    parser = _verb(verbs, "export", "Export the encoders of a run as SavedModels, checked in a fresh process.", _export)
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder of `adml train`")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to (default: RUN/export)")
    parser.add_argument("--json", action="store_true", help="print the paths and differences as JSON")


def _export(arguments) -> int:
    from adml.experiment import export_run

    result = export_run(arguments.run, arguments.out)
    if arguments.json:
        _print_json(result)
    else:
        sys.stdout.write("".join(f"{name}: {value}\n" for name, value in result.items()))
    return 0


def _add_score(verbs) -> None:
    parser = _verb(verbs, "score", "Compare keywords with audio files: one cosine each.", _score)
    parser.add_argument("model", type=Path, metavar="MODEL", help="run folder or export folder")
    parser.add_argument("audio", type=Path, nargs="+", metavar="AUDIO", help="wav, flac, ogg/opus or mp3")
    parser.add_argument("--keyword", "-k", action="append", required=True, metavar="TEXT", help="repeatable")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _score(arguments) -> int:
    from adml.audio.decoding import SAMPLE_RATE_HZ, decode
    from adml.spotting.spotter import KeywordSpotter

    spotter = KeywordSpotter.load(arguments.model)
    rows, bad = [], 0
    for path in arguments.audio:
        try:
            samples = decode(path)
        except AdmlError as error:
            sys.stderr.write(f"adml: {error}\n")
            bad = error.exit_code
            continue
        for keyword in arguments.keyword:
            score = float(spotter.score(keyword, samples, SAMPLE_RATE_HZ))
            rows.append({"audio": str(path), "keyword": keyword, "score": score})
    if arguments.json:
        _print_json(rows)
    else:
        sys.stdout.write("".join(f"{r['score']:7.4f}  {r['keyword']}  {r['audio']}\n" for r in rows))
    return bad


def _add_g2p(verbs) -> None:
    parser = _verb(verbs, "g2p", "Show the phonemes that a text will be found by.", _g2p)
    parser.add_argument("text", nargs="+", metavar="TEXT")
    parser.add_argument("--pronunciations", type=Path, metavar="FILE", help="lines of: word PH ON EMES")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _g2p(arguments) -> int:
    from adml.text.g2p import G2P, format_table, read_pronunciations

    own = read_pronunciations(arguments.pronunciations) if arguments.pronunciations else None
    g2p = G2P(own)
    explained = [(text, g2p.explain(text)) for text in arguments.text]
    if arguments.json:
        _print_json([{"text": text, "words": [{"word": w.word, "phonemes": list(w.phonemes), "source": w.source}
                                              for w in words]} for text, words in explained])
    else:
        sys.stdout.write("\n".join(format_table(words) for _, words in explained) + "\n")
    return 0


def _add_results(verbs) -> None:
    parser = _verb(verbs, "results", "Write RESULTS.md from the records alone.", _results)
    parser.add_argument("--records", type=Path, default=Path("experiments/records"), metavar="DIR")
    parser.add_argument("--analysis", type=Path, default=Path("experiments/analysis.md"), metavar="FILE")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: stdout")


def _results(arguments) -> int:
    from adml.evaluation.results import render_folder

    text = render_folder(arguments.records, analysis=arguments.analysis)
    if arguments.out is None:
        sys.stdout.write(text)
        return 0
    try:
        with tempfile.NamedTemporaryFile("w", dir=arguments.out.resolve().parent, delete=False) as file:
            file.write(text)
        os.replace(file.name, arguments.out)
    except OSError as error:
        raise UsageError(f"Cannot write {arguments.out}: {error.strerror}.") from None
    return 0


def _add_benchmark(verbs) -> None:
    parser = _verb(verbs, "benchmark", "Measure utterances per CPU-second of the encoder and the training step.",
                   _benchmark)
    parser.add_argument("--batch", type=int, default=64, metavar="B")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _benchmark(arguments) -> int:
    from adml.benchmark import benchmark, format_benchmark

    values = benchmark(batch_size=arguments.batch, rounds=arguments.rounds)
    if arguments.json:
        _print_json(values)
    else:
        sys.stdout.write(format_benchmark(values) + "\n")
    return 0
