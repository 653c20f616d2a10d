"""PAPER.md is true: what it names exists, what it says of the defaults and the table rows holds."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import re
from functools import cache
from pathlib import Path

import pytest

from adml.build.model import build_losses
from adml.config import Config, load_config
from adml.config_file import from_mapping, parse_yaml, to_mapping

ROOT = Path(__file__).resolve().parents[1]
ROWS = sorted((ROOT / "experiments" / "paper").glob("*.yaml"))
STANDINGS = ("stated", "unstated: chosen", "differs", "corrected", "not yet", "beyond the paper")

UTTERANCE = frozenset({"utterance_asyp", "rpl_distance", "rpl_angle", "rpl_prototype"})
PHONEME = UTTERANCE | {"phoneme", "monotonic"}
ADVERSARIES = frozenset({"adversarial_phoneme", "adversarial_utterance"})
# Row -> active terms, kind of L_phn with or without AdaMS, kind of L_key.
TABLES = {
    "rp": (UTTERANCE, "none", "none"),
    "proxy_bd": (PHONEME, "proxy_bd", "none"),
    "proxy_ms": (PHONEME, "proxy_ms", "none"),
    "clat": (PHONEME, "clat", "none"),
    "asyp": (PHONEME, "asyp", "none"),
    "asyp_adams": (PHONEME, "asyp adaptive", "none"),
    "rp_utterance_mal": (UTTERANCE | {"adversarial_utterance"}, "none", "none"),
    "phoneme_mal": (PHONEME | {"adversarial_phoneme"}, "asyp adaptive", "none"),
    "adml": (PHONEME | ADVERSARIES, "asyp adaptive", "none"),
    "adml_triplet": (PHONEME | ADVERSARIES | {"keyword"}, "asyp adaptive", "triplet"),
    "adml_aam_softmax": (PHONEME | ADVERSARIES | {"keyword"}, "asyp adaptive", "aam_softmax"),
    "adml_sf2": (PHONEME | ADVERSARIES | {"keyword"}, "asyp adaptive", "sphereface2"),
}
# Row of a baseline -> its kind and active terms.
BASELINES = {
    "cmcd": ("cmcd", {"utterance_matching", "monotonic"}),
    "cmcd_mal": ("cmcd", {"utterance_matching", "monotonic", "adversarial_phoneme"}),
    "phonmatchnet": ("phonmatchnet", {"utterance_matching", "phoneme_matching"}),
    "phonmatchnet_mal": (
        "phonmatchnet",
        {"utterance_matching", "phoneme_matching", "adversarial_phoneme"},
    ),
}
ADML_ROWS = [path for path in ROWS if path.stem not in BASELINES]
BASELINE_ROWS = [path for path in ROWS if path.stem in BASELINES]


@cache
def paper() -> str:
    return (ROOT / "PAPER.md").read_text(encoding="utf-8")


def tables() -> list[list[list[str]]]:
    """Every table as rows of cells, its header first."""
    found = re.findall(r"(?:^\|.*\|\n)+", paper(), flags=re.MULTILINE)
    return [
        [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines()]
        for text in found
    ]


@cache
def functions_of(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def resolve(dotted: str):
    """The object of a dotted name: the longest module of it, then attributes."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError as error:
            if not dotted.startswith(error.name or ""):
                raise
            continue
        for name in parts[count:]:
            found = getattr(found, name)
        return found
    raise ModuleNotFoundError(dotted)


def options(kind=Config, path: str = "") -> dict[str, str]:
    """Dotted path of every field of the configuration -> its help text."""
    found = {}
    for field in dataclasses.fields(kind):
        dotted = f"{path}{field.name}"
        if dataclasses.is_dataclass(field.default):
            found |= options(type(field.default), f"{dotted}.")
        else:
            found[dotted] = field.metadata.get("text", "")
    return found


@cache
def defaults() -> dict:
    return to_mapping(Config())


def default_of(dotted: str):
    value = defaults()
    for name in dotted.split("."):
        value = value[name]
    return value


def leaves(values: dict, path: str = "") -> dict[str, object]:
    found = {}
    for name, value in values.items():
        nested = isinstance(value, dict)
        found |= leaves(value, f"{path}{name}.") if nested else {f"{path}{name}": value}
    return found


def test_every_name_of_the_package_exists():
    names = sorted(set(re.findall(r"`(adml(?:\.\w+)+)`", paper())))
    assert len(names) > 40
    for name in names:
        assert resolve(name) is not None, name


def test_every_test_exists():
    references = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::([\w.]+)`", paper())))
    assert len(references) > 40
    for file, name in references:
        assert name in functions_of(file), f"{file} has no {name}"


def test_every_file_exists():
    for name in set(re.findall(r"`((?:adml|tests|experiments)/[\w/.]+)`", paper())):
        assert (ROOT / name).exists(), name


def test_every_row_has_its_standing():
    judged = [rows for rows in tables() if rows[0][-1] == "departure"]
    assert len(judged) >= 3
    for header, _, *rows in judged:
        for row in rows:
            assert len(row) == len(header), row
            assert row[-1].startswith(STANDINGS), row


def test_implemented_rows_name_code_and_test():
    for header, _, *rows in tables():
        if header[-3:] != ["code", "test", "departure"]:
            continue
        for row in rows:
            if not row[-1].startswith("not yet"):
                assert "`adml." in row[-3], row
                assert "`tests/" in row[-2], row


def test_every_choice_is_named():
    chosen = [
        dotted
        for dotted, text in options().items()
        if text.startswith("chosen") or "not in the paper" in text
    ]
    assert len(chosen) > 30
    missing = [dotted for dotted in chosen if f"`{dotted} = " not in paper()]
    assert not missing, f"PAPER.md does not name {missing}"


def test_defaults_are_those_it_tells():
    told = re.findall(r"`([a-z]\w*(?:\.\w+)+) = ([^`]+)`", paper())
    known = options()
    assert len(told) > 60
    for dotted, text in told:
        assert dotted in known, dotted
        value = parse_yaml(text, source=dotted)
        assert value == default_of(dotted), f"{dotted} is {default_of(dotted)}, not {text}"


def test_a_file_for_every_row_and_no_other():
    rows = set(TABLES) | set(BASELINES)
    assert {path.stem for path in ROWS} == rows
    assert set(re.findall(r"`experiments/paper/(\w+)\.yaml`", paper())) == rows


@pytest.mark.parametrize("path", ROWS, ids=lambda path: path.stem)
def test_row_states_only_what_differs(path):
    values = parse_yaml(path.read_text(encoding="utf-8"), source=str(path))
    assert values.pop("name") == path.stem
    assert values.pop("description")
    from_mapping(Config, values)
    same = {key: value for key, value in leaves(values).items() if default_of(key) == value}
    assert not same, f"{path.name} repeats defaults: {same}"


@pytest.mark.parametrize("path", ADML_ROWS, ids=lambda path: path.stem)
def test_row_is_the_papers(path):
    config = load_config(path)
    losses = config.losses
    total = build_losses(config, num_classes=3)
    weights = {name: weight for name, weight in total.term_weights.items() if weight}
    branch = losses.phoneme.kind != "none" or losses.adversarial.phoneme
    present = {
        "phoneme": branch and losses.phoneme.kind != "none",
        "monotonic": branch,
        "keyword": losses.keyword.kind != "none",
        "adversarial_phoneme": losses.adversarial.phoneme,
        "adversarial_utterance": losses.adversarial.utterance,
    }
    active = {name for name in weights if present.get(name, True)}
    adaptive = " adaptive" if total.phoneme_terms.adaptive_margins is not None else ""
    terms, phoneme, keyword = TABLES[path.stem]
    assert active == terms
    assert losses.phoneme.kind + adaptive == phoneme
    assert losses.keyword.kind == keyword
    assert losses.monotonic.weight == float("monotonic" in terms)
    assert losses.phoneme.weight == losses.adversarial.strength == 0.1


@pytest.mark.parametrize("path", BASELINE_ROWS, ids=lambda path: path.stem)
def test_baseline_is_the_papers(path):
    config = load_config(path)
    kind, terms = BASELINES[path.stem]
    assert config.model.kind == kind
    weights = build_losses(config, num_classes=3).term_weights
    assert weights["monotonic"] == 0.3
    assert {weights[name] for name in weights if name != "monotonic"} == {1.0}
    assert config.losses.adversarial.phoneme == ("adversarial_phoneme" in terms)
    assert config.losses.adversarial.strength == 0.1


@pytest.mark.parametrize("path", BASELINE_ROWS, ids=lambda path: path.stem)
def test_baselines_train_with_adam(path):
    optimizer = load_config(path).optimizer
    assert (optimizer.learning_rate, optimizer.weight_decay) == (1e-3, 0.0)


@pytest.mark.parametrize("path", ROWS, ids=lambda path: path.stem)
def test_header_tells_row_cost_figure_and_command(path):
    header = "\n".join(
        line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")
    )
    for word in ("(Table ", "Active: ", "Cost in the paper: ", "Figure of the paper", " %"):
        assert word in header, word
    row = path.relative_to(ROOT).as_posix()
    command = f"adml train --config {row} --speech DIR --out runs/{path.stem}"
    assert f"# Command: {command}" in header
    figure = re.search(r"WSJ AP (\d\d\.\d\d) %", header).group(1)
    lines = [line for line in paper().splitlines() if f"`{row}`" in line]
    assert lines and all(f" {figure} " in line for line in lines)
