"""The options of `adml data`, and what it does with them."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from adml.arguments import EXIT_CODES, positive, write_json
from adml.download_command import add_download
from adml.rooms_command import add_rooms
from adml.voices_command import add_voices


def add_data(verbs) -> None:
    """Declare `adml data`, the verbs below it and their options."""
    text = "Fetch, prepare and check corpora, and tell what they hold and what a table lacks."
    parser = verbs.add_parser("data", help=text, description=text, epilog=EXIT_CODES)
    below = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_download(below)
    _add_prepare(below)
    _add_shard(below)
    _add_verify(below)
    _add_stats(below)
    _add_doctor(below)
    add_rooms(below)
    add_voices(below)


def _verb(verbs, name: str, text: str, command, **more) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text, description=text, **more)
    parser.add_argument("--verbose", action="store_true", help="log more")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(command=command)
    return parser


def _workers_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers", type=positive, metavar="N", help="recordings read at a time (default: cores)"
    )


def _add_prepare(verbs) -> None:
    from adml.data.corpora.registry import CORPORA

    told = [
        f"{corpus.name}\n    {corpus.description} ({corpus.licence})\n    {corpus.layout}"
        + (f"\n    --split {', '.join(corpus.splits)}" if corpus.splits else "")
        for corpus in CORPORA.values()
    ]
    parser = _verb(
        verbs,
        "prepare",
        "Write a corpus as manifest.tsv, words.tsv and audio, what is odd set aside and listed.",
        prepare,
        epilog="\n".join(["corpora, and the layout of --source:", *told, "", EXIT_CODES]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=tuple(CORPORA), metavar="NAME", help="see below")
    parser.add_argument("--source", type=Path, required=True, metavar="DIR", help="the corpus")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="new folder; never overwritten"
    )
    parser.add_argument(
        "--audio",
        choices=("link", "flac"),
        default="link",
        help="link to the corpus' files, or decode to 16 kHz FLAC (default: %(default)s)",
    )
    parser.add_argument(
        "--alignments",
        type=Path,
        metavar="PATH",
        help="word times: a folder of TextGrids or LibriSpeech-Alignments, or a table",
    )
    parser.add_argument(
        "--split", default="all", metavar="NAME", help="a part, where the corpus has parts"
    )
    _workers_option(parser)


def _add_shard(verbs) -> None:
    text = "Write a set as decoded shards (TFRecord) with an index, what is bad set aside."
    parser = _verb(verbs, "shard", text, shard, epilog=EXIT_CODES)
    parser.add_argument("source", type=Path, metavar="SOURCE", help="folder with manifest.tsv")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="new folder; never overwritten"
    )
    parser.add_argument(
        "--shard-mb", type=positive, default=128, metavar="N",
        help="samples of a shard in 10**6 bytes (default: %(default)s, over an hour)",
    )  # fmt: skip
    parser.add_argument(
        "--jobs", type=positive, metavar="N", help="shards made at a time (default: cores)"
    )
    parser.add_argument(
        "--beam", nargs=argparse.REMAINDER, metavar="OPTION",
        help="by Apache Beam (extra beam); all that follows are options of its pipeline",
    )  # fmt: skip


def _add_verify(verbs) -> None:
    parser = _verb(
        verbs,
        "verify",
        "Decode and measure every recording of a set and check its lists, or check the files of a "
        "sharded one; exit 3 where one is bad.",
        verify,
        epilog=EXIT_CODES,
    )
    _set_argument(parser)
    parser.add_argument(
        "--bad", type=Path, metavar="FILE", help="list of what is bad (default: DIR/bad.tsv)"
    )
    _workers_option(parser)


def _add_stats(verbs) -> None:
    text = "Tell words, speakers, hours, lengths and frequencies of a set, sharded or not."
    parser = _verb(verbs, "stats", text, stats, epilog=EXIT_CODES)
    _set_argument(parser)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw them as PNG too")


def _add_doctor(verbs) -> None:
    text = "Tell for each table of the paper what speech is there, what is not, and what makes it."
    parser = _verb(verbs, "doctor", text, doctor, epilog=EXIT_CODES)
    parser.add_argument("--speech", type=Path, metavar="DIR", help="folder of the sets")
    parser.add_argument(
        "--experiments", type=Path, default=Path("experiments"), metavar="DIR",
        help="folder of the tables and scales (default: %(default)s)",
    )  # fmt: skip


def _set_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder with manifest.tsv")


def prepare(arguments: argparse.Namespace) -> int:
    """Prepare a corpus and print what it holds."""
    from adml.data.corpora.prepare import Settings, prepare
    from adml.data.corpora.registry import CORPORA

    settings = Settings(arguments.audio, arguments.alignments, arguments.split, arguments.workers)
    described = prepare(CORPORA[arguments.name], arguments.source, arguments.out, settings)
    if arguments.json:
        write_json(described)
        return 0
    sys.stdout.write(
        f"{arguments.out}: {described['recordings']:,} recordings, {described['hours']:.2f} h, "
        f"{described['speakers']:,} speakers, {described['words']:,} words with times, "
        f"{sum(described['set_aside'].values()):,} items set aside\n"
    )
    return 0


def shard(arguments: argparse.Namespace) -> int:
    """Shard a set and print what the shards hold."""
    from adml.data.shards.making import make_shards

    described = make_shards(
        arguments.source,
        arguments.out,
        shard_mb=arguments.shard_mb,
        jobs=arguments.jobs,
        beam=arguments.beam,
    )
    if arguments.json:
        write_json(described)
        return 0
    sys.stdout.write(
        f"{arguments.out}: {described['recordings']:,} recordings, {described['hours']:.2f} h, "
        f"{described['words']:,} words with times in {len(described['shards']):,} shards, "
        f"{sum(described['set_aside'].values()):,} items set aside\n"
    )
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """Verify a set and print what was found; DataError's exit code where something is bad."""
    from adml.data.corpora.verify import verify
    from adml.data.shards.checking import check_shards
    from adml.data.shards.form import is_sharded
    from adml.errors import DataError

    check = check_shards if is_sharded(arguments.folder) else None
    found = verify(arguments.folder, arguments.bad, arguments.workers, check=check)
    values = {
        "recordings": found.recordings,
        "words": found.words,
        "hours": round(found.hours, 3),
        "bad": dict(sorted(found.bad.items())),
        "bad_file": str(found.bad_file) if found.bad_file else None,
    }
    if arguments.json:
        write_json(values)
    else:
        lines = [
            f"{arguments.folder}: {found.recordings:,} recordings, {found.hours:.2f} h, "
            f"{found.words:,} words with times; {found.bad.total():,} bad rows"
        ]
        lines += [f"  {count:,} {reason}" for reason, count in found.bad.most_common()]
        lines += [f"listed in {found.bad_file}"] if found.bad_file else []
        sys.stdout.write("\n".join(lines) + "\n")
    return DataError.exit_code if found.bad else 0


def stats(arguments: argparse.Namespace) -> int:
    """Print the numbers of a set and draw them."""
    from adml.data.corpora import statistics as module

    counted = module.statistics(arguments.folder)
    lengths = module.length_names()
    frequencies = module.frequency_names()
    if arguments.json:
        values = dataclasses.asdict(counted)
        values["lengths"] = dict(zip(lengths, counted.lengths, strict=True))
        values["frequencies"] = dict(zip(frequencies, counted.frequencies, strict=True))
        values["most_frequent"] = dict(counted.most_frequent)
        write_json(values)
    else:
        sys.stdout.write(module.format_statistics(counted) + "\n")
    if arguments.plot:
        from adml.evaluation.set_plot import draw_set

        title = f"{arguments.folder.resolve().name}: {counted.recordings:,} recordings"
        draw_set(
            title, (lengths, counted.lengths), (frequencies, counted.frequencies), arguments.plot
        )
    return 0


def doctor(arguments: argparse.Namespace) -> int:
    """Print what the tables lack."""
    from adml.reproduce.doctor import examine, format_examined

    examined = examine(arguments.experiments, arguments.speech)
    if arguments.json:
        write_json([dataclasses.asdict(one) for one in examined])
    else:
        sys.stdout.write(format_examined(examined) + "\n")
    return 0
