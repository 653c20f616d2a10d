"""The README is true: its commands parse, its Python resolves, its files and names exist."""

from __future__ import annotations

import argparse
import ast
import importlib
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from adml.cli import EXIT_CODES, _parser
from adml.config import load_config
from adml.config_file import apply_overrides, from_mapping, parse_yaml
from adml.data.rows import read_rows
from adml.evaluation.records import read_record
from adml.evaluation.results import render_folder

ROOT = Path(__file__).resolve().parents[1]


@cache
def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", readme(), flags=re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = "".join(blocks("sh")).splitlines()
    return [line for line in lines if line.startswith("adml ")]


def verbs() -> dict[str, str]:
    """Verb -> its line in `adml --help`."""
    (group,) = (a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction))
    return {action.dest: action.help for action in group._choices_actions}


def cells(first: str) -> list[list[str]]:
    """The rows of the table whose header begins with `first`."""
    match = re.search(rf"^\| {first} \|.*\n\|[-|]+\|\n((?:\|.*\|\n)+)", readme(), re.MULTILINE)
    assert match, f"no table of {first}"
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in match.group(1).splitlines()
    ]


def test_the_first_screen_shows_the_two_commands():
    screen = "\n".join(readme().splitlines()[:24])
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("quickstart", "test"):
        assert re.search(rf"^make {target}\b", screen, re.MULTILINE)
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


@pytest.mark.parametrize("line", commands())
def test_commands_parse(line):
    arguments = _parser().parse_args(shlex.split(line, comments=True)[1:])
    assert callable(arguments.command)
    config = getattr(arguments, "config", None)
    overrides = getattr(arguments, "overrides", [])
    if config is not None and config.parts[0] == "experiments":
        load_config(ROOT / config, overrides)


def test_overrides_in_the_text_are_known():
    for item in re.findall(r"--set '?([\w.]+=[^\s`']+)", readme()):
        load_config(None, [item])
    for dotted, value in re.findall(r"`([a-z]+\.[a-z_]+)=([^\s`]+)`", readme()):
        load_config(None, [f"{dotted}={value}"])


def test_verbs_are_those_of_the_help():
    told = {row[0].strip("`").removeprefix("adml "): row[1] for row in cells("command")}
    assert told == verbs()
    for verb in re.findall(r"`adml (\w+)", readme()):
        assert verb in told, verb


def test_exit_codes():
    assert f"{EXIT_CODES[:1].upper()}{EXIT_CODES[1:]}." in readme()


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python_compiles_and_imports(number):
    code = blocks("python")[number]
    assert len(code.splitlines()) <= 20
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name), alias.name


def test_yaml_is_configuration():
    assert blocks("yaml")
    for text in blocks("yaml"):
        config = from_mapping(
            type(load_config()), apply_overrides(parse_yaml(text, source="x"), [])
        )
        kinds = {trials.kind for trials in config.evaluation.trials}
        assert kinds and kinds <= set(re.findall(r"`(\w+)`", str(cells("kind"))))


def test_columns_are_those_that_are_read(tmp_path):
    told = {row[0].strip("`"): re.findall(r"`(\w+)`", row[1]) for row in cells("file")}
    for name, required in (
        ("manifest.tsv", ("path", "text", "speaker")),
        ("words.tsv", ("path", "word", "speaker", "start", "end")),
    ):
        (tmp_path / name).write_text("\t".join(told[name]) + "\n")
        assert set(read_rows(tmp_path / name, required, told[name]).columns) >= set(required)


def test_links_and_files_exist():
    prose = re.sub(r"^```.*?^```", "", readme(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)\)", prose):
        assert "//" not in target, f"{target} leads out of the repository"
        if target.startswith("docs/") and not (ROOT / "docs").is_dir():
            continue
        assert (ROOT / target).is_file(), target
    for target in re.findall(r"`((?:experiments|tests|adml|docs)/[\w./]*)`", readme()):
        assert (ROOT / target).exists(), target


def test_the_house_is_as_drawn():
    rooms = set(re.findall(r"`([a-z_]+(?:/|\.py))`", str(cells("floor"))))
    for room in rooms:
        assert (ROOT / "adml" / room).exists(), room
    folders = {f"{path.parent.name}/" for path in (ROOT / "adml").glob("*/__init__.py")}
    assert folders <= rooms


def test_results_are_what_the_records_say():
    made = render_folder(
        ROOT / "experiments" / "records", analysis=ROOT / "experiments" / "analysis.md"
    )
    assert (ROOT / "RESULTS.md").read_text(encoding="utf-8") == made, "type `adml results` anew"


def test_figures_named_are_those_of_the_records():
    section = readme().split("## Figures on real speech")[1].split("\n## ")[0]
    named = set(re.findall(r"\b\d+\.\d\b", section))
    figures = set()
    for record in ("infonce", "infonce-ctc0.05"):
        metrics = read_record(ROOT / "experiments" / "records" / f"{record}.json").metrics
        for test in ("librispeech-words-mfa", "librispeech-phrases-hard", "speech-commands"):
            figures |= {f"{100 * row['value']:.1f}" for row in metrics[test]["all"].values()}
    assert named and named <= figures
