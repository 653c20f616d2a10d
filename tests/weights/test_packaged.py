"""What lies in the package: small, whole, true to its card, and of use without a model named."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from adml import KeywordSpotter
from adml.cli import main
from adml.data.sets import read_clips
from adml.model_card import render_card
from adml.package_weights import CARD, LARGEST_MB, read_told, size_mb
from adml.spotting.cohort import read_cohort
from adml.spotting.enrolment import enrol
from adml.spotting.keyword_file import KeywordFile
from adml.spotting.signatures import hash_of
from adml.spotting.spotter import ACOUSTIC, PACKAGED, TEXT, find_export

FOLDER = PACKAGED.parent


@pytest.fixture(scope="module")
def spotter():
    return KeywordSpotter.load()


def test_it_is_small():
    assert 1 < size_mb(FOLDER) <= LARGEST_MB


def test_it_is_whole():
    assert find_export() == PACKAGED
    names = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file()}
    for saved in ("acoustic", "text"):
        assert {f"export/{saved}/{name}" for name in (
            "saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"
        )} <= names  # fmt: skip
    assert {"export/cohort.npz", "MODEL_CARD.md", "model.json"} <= names
    assert not [name for name in names if name.endswith((".part", ".py", ".yaml"))]


def test_the_card_is_what_the_records_make():
    assert (FOLDER / CARD).read_text(encoding="utf-8") == render_card(read_told(FOLDER))


def test_the_hash_is_that_of_the_export(spotter):
    model = hash_of([PACKAGED / ACOUSTIC, PACKAGED / TEXT])
    assert model == spotter.model == read_told(FOLDER).model["model"]
    assert f"| `{model}` |" in (FOLDER / CARD).read_text(encoding="utf-8")
    assert all(record["model"] == model for record in read_told(FOLDER).spotting)


def test_the_records_are_of_committed_code():
    told = read_told(FOLDER)
    assert not told.model["environment"]["dirty"]
    states = [(one.commit, one.dirty) for one in told.evaluations]
    states += [(one["commit"], one["dirty"]) for one in told.spotting]
    for commit, dirty in states:
        assert re.fullmatch(r"[0-9a-f]{40}", commit) and not dirty


def test_misses_at_one_and_ten_false_alarms_an_hour_are_told():
    card = (FOLDER / CARD).read_text(encoding="utf-8")
    assert "| 1/h |" in card and "| 10/h |" in card
    metrics = read_told(FOLDER).evaluations[0].metrics
    assert {"librispeech-words", "speechocean-words"} <= metrics.keys()


def test_texts_that_sound_alike_lie_near(spotter):
    pairs = [("computer", "commuter"), ("alexa", "alexis"), ("lamp", "lamps"),
             ("television", "telephone"), ("morning", "mornings")]  # fmt: skip
    first, second = (np.stack([spotter.embed_text(pair[i]) for pair in pairs]) for i in (0, 1))
    cosines = first @ second.T
    others = (cosines.sum(axis=1) - np.diag(cosines)) / (len(pairs) - 1)
    assert (np.diag(cosines) > others).all()


def test_the_cohort_calibrates_its_model(spotter):
    cohort = read_cohort()
    keywords = KeywordFile(spotter.model, (enrol(spotter, "hey bixby"), enrol(spotter, "computer")))
    found = cohort.thresholds(spotter, keywords, 0.5)
    stricter = found["computer"][0], cohort.thresholds(spotter, keywords, 10.0)["computer"][0]
    assert stricter[0] > stricter[1] and all(0 < found[name][0] < 1.2 for name in found)
    assert cohort.forecast is not None


def test_the_two_commands_of_the_readme(speech_root, tmp_path, capsys):
    """Keywords that are said are found, and silence is silent."""
    clips = sorted((speech_root / "wake_words" / "audio" / "computer").iterdir())[:8]
    keywords, silence = str(tmp_path / "kw.json"), str(tmp_path / "silence.wav")
    soundfile.write(silence, np.zeros(48000), 16000)
    assert main(["enroll", "computer", "-o", keywords]) == 0
    assert main(["calibrate", keywords, "--false-alarms-per-hour", "10"]) == 0
    capsys.readouterr()
    assert main(["detect", "-k", keywords, "--json", silence, *map(str, clips)]) == 0
    found = {json.loads(line)["source"] for line in capsys.readouterr().out.splitlines()}
    assert silence not in found and len(found) >= len(clips) / 4


def test_a_word_is_nearest_to_its_own_text(spotter, speech_root):
    """Of a few clips of Speech Commands, half at least are nearest to the word that is said."""
    words, right, clips = ["yes", "right", "seven", "left", "stop", "zero"], 0, 0
    table = read_clips(Path(speech_root, "speech_commands"))
    texts = np.stack([spotter.embed_text(word) for word in words])
    for number, word in enumerate(words):
        for path in table.path[table.word == word][:4]:
            samples, rate_hz = soundfile.read(path, dtype="float32")
            right += int(np.argmax(texts @ spotter.embed_audio(samples, rate_hz)) == number)
            clips += 1
    assert clips == 24 and right >= 12
