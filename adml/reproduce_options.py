"""The options of `adml reproduce`, and what it does with them."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path

from adml.arguments import names, positive

TABLES = ("table1", "table2", "table3", "table4", "all")
SCALES = ("paper", "open", "smoke")
EXPERIMENTS = Path("experiments")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("table", choices=TABLES, help="of the paper, or all of them")
    parser.add_argument(
        "--scale",
        choices=SCALES,
        default="open",
        help="whose speech and length: the paper's (licensed), open speech, or a trial (default: "
        "%(default)s)",
    )
    parser.add_argument("--seeds", type=positive, default=1, metavar="N", help="seeds of each row")
    parser.add_argument(
        "--rows", type=names, default=(), metavar="A,B", help="only these (default: all)"
    )
    parser.add_argument("--speech", type=Path, metavar="DIR", help="folder of aligned speech sets")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/reproduce"), metavar="DIR", help="folder of the runs"
    )
    parser.add_argument(
        "--records", type=Path, metavar="DIR", help="default: experiments/records/SCALE"
    )
    parser.add_argument("--experiments", type=Path, default=EXPERIMENTS, metavar="DIR")
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", help="folder for decoded speech (default: user cache)"
    )
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


def reproduce(arguments: argparse.Namespace) -> int:
    """Run the rows of tables, or tell about them; the exit code is that of the first failure."""
    from adml.reproduce.listing import (
        claims_values,
        format_differences,
        format_states,
        list_states,
        render,
        states_values,
    )
    from adml.reproduce.plan import make_plan

    plan = make_plan(arguments.experiments, arguments.table, arguments.scale, arguments.rows)
    records = arguments.records or arguments.experiments / "records" / plan.scale.name
    if arguments.diff:
        sys.stdout.write(format_differences(plan))
        return 0
    code = 0
    if not (arguments.list or arguments.render_only):
        code = _run(plan, arguments, records)
    if arguments.list or arguments.json:
        states = list_states(plan, arguments.seeds, out=arguments.out, records=records)
    if arguments.json:
        values = {"rows": states_values(plan, states), "claims": claims_values(plan, records)}
        sys.stdout.write(json.dumps(values, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(format_states(plan, states) if arguments.list else render(plan, records))
    return code


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
