"""Advice: nearest words, verdicts, alternatives, and the command."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from rapidfuzz.distance import Levenshtein

import adml
from adml.cli import main
from adml.errors import TextError, UsageError
from adml.spotting.advice import advise, nearest_words, words_said_alike
from adml.spotting.cohort import COHORT, Cohort, Table, hear_cohort
from adml.spotting.forecast import Forecast
from adml.spotting.spotter import KeywordSpotter
from adml.text.dictionary import load_dictionary
from adml.text.phonemes import to_classes

TABLE = Table(*np.array([[0.5, 20], [4, 2], [0.5, 0.8], [2, 1.2]], float), 200, 5.0)
# six phonemes: 0.5; each phoneme more is worth 1 in the exponent
FORECAST = Forecast(np.array([[6.0, -10.0, 0, 0], [5.0, -10.0, 0, 0]]), np.array([0.1, 0.05]), 99)


@pytest.fixture(scope="module")
def spoken(run):
    return KeywordSpotter.load(run)


@pytest.fixture(scope="module")
def cohort(spoken):
    rng = np.random.default_rng(0)
    heard = hear_cohort(spoken, [rng.normal(0, 0.1, 48000).astype(np.float32)]).heard
    return Cohort(heard, TABLE, FORECAST)


def test_nearest_words_against_all_words():
    dictionary = load_dictionary()
    spoken = adml.G2P().phonemes("computer")
    asked, found = to_classes(spoken), {}
    for word in dictionary.words:
        classes = to_classes(dictionary.look_up(word))
        edits = Levenshtein.distance(asked, classes)
        if edits:
            found[word] = edits / max(len(asked), len(classes))
    told = nearest_words(spoken, 5)
    assert [d for _, d in told] == pytest.approx(sorted(found.values())[:5], abs=1e-3)
    assert all(found[word] == pytest.approx(d, abs=1e-3) for word, d in told)
    assert "computers" in dict(nearest_words(spoken, 8)) and "computer" not in dict(told)


def test_advice_follows_the_forecast(spoken, cohort):
    told = advise(spoken, cohort, "tomorrow")  # six phonemes
    assert told.pronunciation == ("T", "AH0", "M", "AA1", "R", "OW2")
    assert told.misses == pytest.approx({"1": 0.5, "10": 1 / (1 + np.e)})
    assert told.verdict == "poor" and told.seconds == 0.48
    assert told.miss_error == {"1": 0.1, "10": 0.05}
    low, high = np.interp(np.log(10), np.log([0.5, 20]), [0.5, 0.8]), np.interp(
        np.log(10), np.log([0.5, 20]), [2, 1.2]
    )  # fmt: skip
    assert told.false_alarms["10"] == pytest.approx((10 * low, 10 * high), abs=1e-3)
    # "hello" has four phonemes, "okay" three, "hey" two
    assert [text for text, _ in told.alternatives] == [
        "hello tomorrow", "okay tomorrow", "hey tomorrow"
    ]  # fmt: skip
    assert dict(told.alternatives)["hey tomorrow"] == pytest.approx(1 / (1 + np.exp(2)))
    assert json.loads(json.dumps(told.to_dict()))["text"] == "tomorrow"


def test_verdicts_and_reasons(spoken, cohort):
    short, long = (advise(spoken, cohort, text) for text in ("alexa", "purple elephant"))
    assert long.verdict == "good" and not any("six or more" in why for why in long.reasons)
    assert long.reasons[-1] == "No word of the dictionary sounds much like it."
    assert {"hey purple elephant", "okay purple elephant"} <= dict(long.alternatives).keys()
    assert any("may be taken for" in why for why in short.reasons)
    called = advise(spoken, cohort, "Hey elephant")
    assert {text for text, _ in called.alternatives} == {"hello elephant", "okay elephant"}
    four = advise(spoken, cohort, "river")
    assert four.reasons[0].startswith("It has 4 phonemes")


def test_words_that_are_said_alike_are_told(spoken, cohort):
    alike = words_said_alike(adml.G2P().phonemes("flower"), "flower")
    assert "flour" in alike and "flower" not in alike
    assert "sounds just as flour" in " ".join(advise(spoken, cohort, "flower").reasons)
    guessed = "How xyzzy is said was guessed by its spelling."
    assert advise(spoken, cohort, "hello xyzzy").reasons[0] == guessed
    assert not words_said_alike(adml.G2P().phonemes("computer"), "Computer")


def test_a_pronunciation_takes_the_place_of_the_texts(spoken, cohort, run, tmp_path, capsys):
    symbols = adml.G2P().phonemes("tomorrow")
    told = advise(spoken, cohort, "xyzzy", pronunciation=symbols)
    as_text = advise(spoken, cohort, "tomorrow")
    assert told.pronunciation == tuple(symbols) and told.misses == as_text.misses
    assert not any("guessed" in why for why in told.reasons)
    assert {text for text, _ in told.alternatives} == {"hey xyzzy", "okay xyzzy", "hello xyzzy"}
    assert [p for _, p in told.alternatives] == [p for _, p in as_text.alternatives]
    assert not advise(spoken, cohort, "hey xyzzy", pronunciation=symbols).alternatives
    model = tmp_path / "model"
    shutil.copytree(run, model)
    cohort.write(model / "export" / COHORT)
    asked = ["advise", "xyzzy", "--pron", " ".join(symbols), "--model", str(model)]
    assert main(asked) == 0
    assert "said as T AH0 M AA1 R OW2, about" in capsys.readouterr().out
    assert main([*asked[:2], "other", *asked[2:]]) == 2
    assert "one text and one --pron. Received: 2 and 1." in capsys.readouterr().err
    assert main([*asked, "--pron", "T"]) == 2
    assert "Received: 1 and 2." in capsys.readouterr().err
    for wrong in ("", "T QQ"):
        assert main([*asked[:3], wrong, *asked[4:]]) == 3
        assert "xyzzy" in capsys.readouterr().err


def test_what_cannot_be_advised_is_refused(spoken, cohort, run, tmp_path, capsys):
    with pytest.raises(UsageError, match="foretells no misses"):
        advise(spoken, Cohort(cohort.heard, TABLE), "computer")
    with pytest.raises(TextError, match="too short"):
        advise(spoken, cohort, "a")
    assert main(["advise", "computer", "--model", str(run)]) == 2
    assert "has no cohort" in capsys.readouterr().err


def test_the_command(run, cohort, tmp_path, capsys):
    model = tmp_path / "model"
    shutil.copytree(run, model)
    cohort.write(model / "export" / COHORT)
    assert main(["advise", "computer", "tomorrow", "--model", str(model), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["text"] for one in told] == ["computer", "tomorrow"]
    assert told[1]["misses"] == pytest.approx({"1": 0.5, "10": 1 / (1 + np.e)})
    assert main(["advise", "tomorrow", "a", "--model", str(model)]) == 3
    out, err = capsys.readouterr()
    assert out.startswith("tomorrow: poor\n") and "misses 50 % of what is said at 1 false" in out
    assert "too short" in err
