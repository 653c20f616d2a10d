"""The fingerprint of the code: what counts, what does not, and for which model."""

from __future__ import annotations

from pathlib import Path

import pytest

from adml.code_state import (
    JUDGING,
    MODELS,
    TRAINING,
    changed_modules,
    code_hashes,
    counts,
    source_hash,
    training_code,
)

SOURCE = '''"""A module."""

import math


def area(radius):
    """Area of a disc."""
    # A comment.
    return math.pi * radius**2


class Disc:
    """A disc."""

    sides = ("front", "back")
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""A module."""', '"""Another text."""'),
        ('    """Area of a disc."""\n', ""),
        ("    # A comment.\n", ""),
        ("math.pi * radius**2", "(math.pi\n        * radius ** 2)"),
        ('("front", "back")', "(\n        'front',\n        'back',\n    )"),
        ('    """A disc."""\n\n', '    """A round thing."""\n'),
    ],
)
def test_words_and_layout_do_not_count(old, new):
    assert old in SOURCE
    assert source_hash(SOURCE.replace(old, new)) == source_hash(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("radius**2", "radius**3"),
        ("radius**2", "radius*2"),
        ("def area(radius)", "def area(radius=1)"),
        ('("front", "back")', '["front", "back"]'),
        ('"back"', "'rear'"),
        ("import math", "import cmath as math"),
        ("class Disc:", "class Disc(dict):"),
    ],
)
def test_what_the_code_says_counts(old, new):
    assert old in SOURCE
    assert source_hash(SOURCE.replace(old, new)) != source_hash(SOURCE)


def test_a_text_that_is_a_value_is_no_docstring():
    assert source_hash('x = "a"') != source_hash('x = "b"')
    assert source_hash('def f():\n    return "a"') != source_hash('def f():\n    return "b"')
    assert source_hash('if x:\n    "a"\n') != source_hash('if x:\n    "b"\n')


def test_the_modules_of_a_figure(tmp_path):
    for name in ("losses/proxy", "models/cmcd", "cli", "evaluation/plots", "data/synthetic"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").write_text(SOURCE)
    (tmp_path / "losses" / "__init__.py").write_text('"""Losses."""')
    hashes = code_hashes(tmp_path)
    assert hashes == {name: source_hash(SOURCE) for name in ("losses/proxy", "models/cmcd")}
    assert len(source_hash(SOURCE)) == 16


def test_every_name_is_a_room_or_module():
    package = Path(__file__).resolve().parents[1] / "adml"
    for name in (*TRAINING, *JUDGING, *MODELS):
        assert (package / name).is_dir() or (package / f"{name}.py").is_file(), name
    hashes = code_hashes()
    assert {"losses/proxy", "models/acoustic", "training/step", "evaluation/suites"} <= set(hashes)
    assert not {"cli", "experiment", "training/loop", "data/synthetic"} & set(hashes)
    assert not counts("losses_of_another/proxy", ("losses",))


def test_what_prepares_corpora_does_not_count():
    assert not counts("data/corpora/registry", TRAINING)
    assert not any(name.startswith("data/corpora/") for name in code_hashes())
    assert counts("data/corpora_of_another", TRAINING)


def test_what_fetches_corpora_does_not_count():
    assert not counts("data/fetch/transfer", TRAINING)
    assert counts("data/fetch_of_another", TRAINING)


def test_changed_modules_of_a_kind():
    then = {"losses/proxy": "1", "models/cmcd": "1", "losses/matching": "1", "audio/gone": "1"}
    now = {"losses/proxy": "2", "models/cmcd": "2", "losses/matching": "1", "audio/new": "1"}
    assert changed_modules(then, then) == []
    assert changed_modules(then, now) == ["audio/gone", "losses/proxy"]
    assert changed_modules(then, now, "cmcd") == ["audio/gone", "losses/proxy", "models/cmcd"]
    assert changed_modules(then, now, "phonmatchnet") == ["audio/gone", "losses/proxy"]


def test_what_can_change_weights():
    hashes = {"losses/proxy": "1", "metrics/verification": "1", "models/cmcd": "1"}
    assert set(training_code(hashes)) == {"losses/proxy"}
    assert set(training_code(hashes, "cmcd")) == {"losses/proxy", "models/cmcd"}
