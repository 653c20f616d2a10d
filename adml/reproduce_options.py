"""The options of `adml reproduce`, and what it does with them."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path

from adml.arguments import names, positive
from adml.errors import UsageError

TABLES = ("table1", "table2", "table3", "table4", "all")
SCALES = ("paper", "open", "smoke")
EXPERIMENTS = Path("experiments")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "table", nargs="?", choices=TABLES,
        help="of the paper, or all of them; may be left out where nothing is run",
    )  # fmt: skip
    parser.add_argument(
        "--scale",
        choices=SCALES,
        default="open",
        help="whose speech and length: the paper's (licensed), open speech, or a trial (default: "
        "%(default)s)",
    )
    parser.add_argument(
        "--seeds",
        type=positive,
        default=1,
        metavar="N",
        help="run each row with the seeds 0 to N-1 (default: %(default)s)",
    )
    parser.add_argument(
        "--rows",
        type=names,
        action="extend",
        default=[],
        metavar="A,B",
        help="only these, as --list names them (repeatable; default: all)",
    )
    _add_folders(parser)
    parser.add_argument(
        "--accept-older-code", action="store_true", help="do not run anew what older code recorded"
    )
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--list", action="store_true", help="show how far each row is; run nothing")
    only.add_argument(
        "--diff", action="store_true", help="show what the rows differ in; run nothing"
    )
    only.add_argument(
        "--render-only", action="store_true", help="show the tables of the records; run nothing"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_folders(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--speech", type=Path, metavar="DIR", help="folder of the sets; smoke makes its own"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/reproduce"),
        metavar="DIR",
        help="folder of the runs (default: %(default)s)",
    )
    parser.add_argument(
        "--records",
        type=Path,
        metavar="DIR",
        help="folder of the records (default: experiments/records/SCALE; smoke: OUT/smoke/records)",
    )
    parser.add_argument(
        "--experiments",
        type=Path,
        default=EXPERIMENTS,
        metavar="DIR",
        help="folder of tables.yaml, paper/ and scale/ (default: %(default)s)",
    )
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", help="folder for decoded speech (default: user cache)"
    )


def reproduce(arguments: argparse.Namespace) -> int:
    """Run the rows of tables, or tell about them; the exit code is that of the first failure."""
    from adml.reproduce.listing import (
        claims_values,
        differences_values,
        format_differences,
        format_states,
        list_states,
        render,
        states_values,
    )
    from adml.reproduce.plan import make_plan, refuse_unfair

    table = _table(arguments)
    plan = make_plan(arguments.experiments, table, arguments.scale, arguments.rows)
    records = arguments.records or _default_records(plan.scale, arguments)
    if records.exists() and not records.is_dir():
        raise UsageError(f"{records} is a file. Expected: --records DIR, a folder of records.")
    if arguments.diff:
        told = _json(differences_values(plan)) if arguments.json else format_differences(plan)
        sys.stdout.write(told)
        refuse_unfair(plan)
        return 0
    code = 0
    if not (arguments.list or arguments.render_only):
        code = _run(plan, arguments, records)
    if arguments.list or arguments.json:
        states = list_states(plan, arguments.seeds, out=arguments.out, records=records)
    if arguments.json:
        values = {"rows": states_values(plan, states), "claims": claims_values(plan, records)}
        sys.stdout.write(_json(values))
    else:
        sys.stdout.write(format_states(plan, states) if arguments.list else render(plan, records))
    return code


def _default_records(scale, arguments: argparse.Namespace) -> Path:
    """Beside the records that results are made of; those of a mere trial stay with its runs."""
    if scale.synthetic:
        return arguments.out / scale.name / "records"
    return arguments.experiments / "records" / scale.name


def _json(values: object) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def _run(plan, arguments: argparse.Namespace, records: Path) -> int:
    from adml.experiment import default_cache
    from adml.reproduce.campaign import Settings, run_campaign
    from adml.reproduce.listing import draw

    settings = Settings(
        out=arguments.out,
        records=records,
        cache=arguments.cache or default_cache(),
        speech=arguments.speech,
        seeds=arguments.seeds,
        accept_older_code=arguments.accept_older_code,
    )
    code = run_campaign(plan, settings).exit_code
    for path in draw(plan, records, arguments.out):
        logging.getLogger(__name__).info("drawn: %s", path)
    return code


def _table(arguments: argparse.Namespace) -> str:
    """The table that is asked for; all of them where nothing is run."""
    if arguments.table or arguments.list or arguments.diff or arguments.render_only:
        return arguments.table or TABLES[-1]
    raise UsageError(
        f"Say what is to be run. Expected: one of {', '.join(TABLES)}. Received: no table. "
        "`adml reproduce --list` shows how far each row is."
    )
