"""What each verb of the command line does with its arguments."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from adml.arguments import read_config, write_json
from adml.errors import AdmlError, UsageError

SHORTEST_SECONDS = 0.025


def quickstart(arguments: argparse.Namespace) -> int:
    """Run the quickstart and print its table."""
    from adml.quickstart import quickstart

    result = quickstart(
        arguments.out,
        speech=arguments.speech,
        test_sets=arguments.test_sets,
        steps=arguments.steps,
        seed=arguments.seed,
        cache=arguments.cache,
    )
    if arguments.json:
        write_json(result.values)
    else:
        sys.stdout.write(result.text + "\n")
    return 0


def train(arguments: argparse.Namespace) -> int:
    """Train a run folder and print its path."""
    from adml.experiment import train
    from adml.training.workers import workers_from_environment

    described = arguments.out / "config.yaml"
    own = arguments.resume and not arguments.overrides and described.is_file()
    if arguments.deterministic:
        arguments.overrides.append("training.deterministic=true")
    config = read_config(arguments, default=described if own else None)
    workers, options = workers_from_environment(), {"resume": arguments.resume, "report": True}
    train(config, arguments.out, cache=arguments.cache, workers=workers, **options)
    sys.stdout.write(f"{arguments.out}\n")
    return 0


def evaluate(arguments: argparse.Namespace) -> int:
    """Evaluate a run and print its table."""
    from adml.evaluate import evaluate_run

    done = evaluate_run(
        arguments.run,
        config_path=arguments.config,
        speech=arguments.speech,
        only=tuple(arguments.trials),
        untrained=arguments.untrained,
        record_path=arguments.record,
        ctc_weight=arguments.ctc_weight,
        cache=arguments.cache,
        overwrite=arguments.overwrite,
        checkpoint=arguments.checkpoint,
    )
    if arguments.json:
        write_json(done.record.to_dict())
    else:
        sys.stdout.write(f"{done.table}\n{done.path}\n")
    return 0


def score(arguments: argparse.Namespace) -> int:
    """Print a cosine for each keyword and recording; a bad recording is named and passed over."""
    from adml.audio.decoding import SAMPLE_RATE_HZ, decode
    from adml.audio.faults import audio_error
    from adml.spotting.spotter import KeywordSpotter

    for path in arguments.audio:
        if Path(path).is_dir():
            raise UsageError(
                f"{path} cannot be scored. Expected: recordings. Received: a folder. "
                "A folder of a run or an export is named with --model."
            )
    spotter = KeywordSpotter.load(arguments.model)
    keywords = [(keyword, spotter.embed_text(keyword)) for keyword in arguments.keyword]
    rows, bad = [], 0
    for path in arguments.audio:
        try:
            samples = decode(path)
            if len(samples) < SHORTEST_SECONDS * SAMPLE_RATE_HZ:
                expected = f"at least {SHORTEST_SECONDS:g} s, one window of the analysis"
                received = f"{len(samples) / SAMPLE_RATE_HZ:g} s"
                raise audio_error(str(path), "is too short", expected, received, "Cut it longer.")
            clip = spotter.embed_audio(samples, SAMPLE_RATE_HZ)
        except AdmlError as error:
            sys.stderr.write(f"adml: {error}\n")
            bad = error.exit_code
            continue
        for keyword, embedding in keywords:
            score = float(embedding @ clip)
            rows.append({"audio": str(path), "keyword": keyword, "score": score})
    if arguments.json:
        write_json(rows)
    else:
        sys.stdout.write(
            "".join(f"{r['score']:7.4f}  {r['keyword']}  {r['audio']}\n" for r in rows)
        )
    return bad


def g2p(arguments: argparse.Namespace) -> int:
    """Print the phonemes of each text."""
    from adml.text.g2p import G2P, format_table, read_pronunciations

    own = read_pronunciations(arguments.pronunciations) if arguments.pronunciations else None
    g2p = G2P(own)
    explained = [(text, g2p.explain(text)) for text in arguments.text]
    if arguments.json:
        write_json(
            [
                {
                    "text": text,
                    "words": [
                        {"word": w.word, "phonemes": list(w.phonemes), "source": w.source}
                        for w in words
                    ],
                }
                for text, words in explained
            ]
        )
    else:
        sys.stdout.write("\n".join(format_table(words) for _, words in explained) + "\n")
    return 0


def results(arguments: argparse.Namespace) -> int:
    """Write the page of results from the records."""
    from adml.evaluation.results import render_folder
    from adml.files import write_atomically

    text = render_folder(arguments.records, analysis=arguments.analysis)
    if arguments.out is None:
        sys.stdout.write(text)
        return 0
    write_atomically(arguments.out, text.encode())
    return 0


def report(arguments: argparse.Namespace) -> int:
    """Write the page of a run and print its path."""
    from adml.run_report import report_run

    page = report_run(arguments.run)
    if arguments.json:
        figures = sorted(str(path) for path in page.parent.glob("*.png"))
        write_json({"page": str(page), "figures": figures})
    else:
        sys.stdout.write(f"{page}\n")
    return 0


def gradients(arguments: argparse.Namespace) -> int:
    """Print what each loss term asks of the encoders."""
    from adml.gradients import format_gradients, term_gradients

    rows = term_gradients(
        arguments.run, speech=arguments.speech, cache=arguments.cache, batches=arguments.batches
    )
    if arguments.json:
        write_json([dataclasses.asdict(row) for row in rows])
    else:
        sys.stdout.write(format_gradients(rows) + "\n")
    return 0


def postmortem(arguments: argparse.Namespace) -> int:
    """Print what was not finite when a run ended."""
    from adml.postmortem import format_postmortem, postmortem

    found = postmortem(arguments.run)
    if arguments.json:
        write_json(found.to_dict())
    else:
        sys.stdout.write(format_postmortem(found) + "\n")
    return 0
