"""Synthetic speech: plan, noise, the synthesiser, and a tiny corpus with its exact word times."""

from __future__ import annotations

import hashlib
import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from adml.cli import main
from adml.data import espeak, synthetic
from adml.data.corpus_plan import ACCENTS, VARIANTS, make_plan
from adml.data.espeak import Synthesiser, Utterance, find_synthesiser, speak
from adml.data.generated_noise import KINDS, make_noise
from adml.data.synthetic import make_corpus, read_vocabulary
from adml.data.words import build_segments, read_words
from adml.errors import DataError, UsageError

TINY = {
    "num_words": 8, "num_voices": 3, "held_out_words": 2, "held_out_voices": 1,
    "voices_per_word": 2, "test_voices_per_word": 1, "items_per_string": 4,
}  # fmt: skip


def plan_of(**changes):
    settings = {
        "num_words": 40, "num_voices": 10, "seed": 0, "held_out_words": 6, "held_out_voices": 3,
        "voices_per_word": 5, "test_voices_per_word": 2, "items_per_string": 7,
    }  # fmt: skip
    return make_plan(*read_vocabulary(), **{**settings, **changes})


def spoken_by(plan, *, held_out: bool) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for voice, strings in enumerate(plan.strings):
        if plan.held_out[voice] == held_out:
            for string in strings:
                for word in string.words:
                    found.setdefault(word, set()).add(voice)
    return found


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files}  # fmt: skip


class TestVocabulary:
    def test_size_and_form(self):
        words, phrases = read_vocabulary()
        assert len(words) >= 1000 and len(phrases) >= 40
        assert all(word.isascii() and word.isalpha() and word.islower() for word in words)
        assert {2, 3} <= {len(phrase.split()) for phrase in phrases}
        assert {word for phrase in phrases for word in phrase.split()} <= set(words)

    def test_lengths_are_spread(self):
        lengths = np.bincount([len(word) for word in read_vocabulary()[0]])
        assert all(lengths[length] >= 40 for length in range(4, 10))


class TestPlan:
    def test_held_out_words_and_voices(self):
        plan = plan_of()
        kept_back = set(plan.settings["held_out_words"])
        trained, tested = spoken_by(plan, held_out=False), spoken_by(plan, held_out=True)
        assert len(kept_back) == 6 and sum(plan.held_out) == 3
        assert len(tested) == 40 and set(trained) == set(tested) - kept_back
        assert min(map(len, trained.values())) == 5
        assert min(map(len, tested.values())) == 2

    def test_phrases_come_along_tied(self):
        strings = [string for own in plan_of(held_out_words=0).strings for string in own]
        runs = set()
        for string in strings:
            assert len(string.words) == len(string.tied) and not string.tied[0]
            text = " ".join(
                ("+" if tied else "") + word
                for word, tied in zip(string.words, string.tied, strict=True)
            )
            runs.update(part.replace("+", "") for part in text.replace(" +", "+ ").split() if part)
        phrases = [p for p in read_vocabulary()[1] if set(p.split()) <= runs]
        assert phrases
        for phrase in phrases:
            words = phrase.split()
            assert any(
                string.words[at : at + len(words)] == tuple(words)
                and string.tied[at : at + len(words)] == (False,) + (True,) * (len(words) - 1)
                for string in strings
                for at in range(len(string.words))
            )

    def test_strings_are_said_by_two_voices(self):
        said: dict = {}
        plan = plan_of(voices_per_word=4)
        for voice, strings in enumerate(plan.strings):
            if not plan.held_out[voice]:
                for string in strings:
                    said.setdefault(string, set()).add(voice)
        assert {len(voices) for voices in said.values()} == {2}

    def test_seed_decides(self):
        assert plan_of(seed=3) == plan_of(seed=3)
        assert plan_of(seed=3) != plan_of(seed=4)

    def test_more_voices_a_word_than_there_are(self):
        trained = spoken_by(plan_of(voices_per_word=99), held_out=False)
        assert {len(voices) for voices in trained.values()} == {7}

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"num_words": 1}, "num_words does not fit. Expected: 2 to"),
            ({"num_words": 99999}, "Received: 99999"),
            ({"num_voices": 1}, "num_voices does not fit. Expected: 2 or more"),
            ({"held_out_words": 40}, "held_out_words does not fit. Expected: 0 to 39"),
            ({"held_out_voices": 0}, "held_out_voices does not fit. Expected: 1 to 9"),
            ({"voices_per_word": 0}, "voices_per_word"),
            ({"items_per_string": 0}, "items_per_string"),
            ({"seed": -1}, "seed"),
        ],
    )
    def test_bad_counts(self, changes, message):
        with pytest.raises(UsageError, match=message):
            plan_of(**changes)

    def test_voices_are_different_and_missing_ones_replaced(self):
        plan = plan_of(num_voices=60)
        voices = plan.pick_voices(ACCENTS, VARIANTS)
        assert len(voices) == len({voice.variant for voice in voices}) == 60
        assert len({voice.accent for voice in voices}) == len(set(ACCENTS))
        fewer = plan.pick_voices({"en-us", "en"}, VARIANTS[:40])
        assert len({(voice.accent, voice.variant) for voice in fewer}) == 60
        assert sum(voice.held_out for voice in fewer) == 3
        with pytest.raises(UsageError, match="at most 2. Received: 60"):
            plan.pick_voices({"en-us"}, VARIANTS[:2])


class TestNoise:
    @pytest.mark.parametrize("kind", KINDS)
    def test_level_and_repetition(self, kind):
        voice = np.sin(np.arange(5000) / 10).astype(np.float32)
        first, again = (
            make_noise(kind, 16000, np.random.default_rng(1), voices=[voice, voice[::2]])
            for _ in range(2)
        )
        assert first.dtype == np.float32 and first.shape == (16000,)
        np.testing.assert_array_equal(first, again)
        assert np.sqrt(np.mean(np.square(first, dtype=float))) == pytest.approx(0.05, rel=0.05)

    def test_colours_fall_as_told(self):
        for kind, slope in (("white", 0.0), ("pink", -10.0), ("brown", -20.0)):
            noise = make_noise(kind, 160000, np.random.default_rng(0))
            power = np.abs(np.fft.rfft(noise)) ** 2
            low, high = (power[hz * 10 : hz * 15].mean() for hz in (200, 2000))
            assert 10 * np.log10(high / low) == pytest.approx(slope, abs=1.0)

    def test_bad_input(self):
        rng = np.random.default_rng(0)
        with pytest.raises(UsageError, match="Received: 'loud'"):
            make_noise("loud", 10, rng)
        with pytest.raises(UsageError, match="a length above 0"):
            make_noise("white", 0, rng)
        with pytest.raises(DataError, match="Babble needs voices"):
            make_noise("babble", 10, rng, voices=[np.zeros(4)])


class TestWithoutSynthesiser:
    def test_says_which_extra(self, monkeypatch, tmp_path):
        def missing(name):
            raise ModuleNotFoundError(name)

        monkeypatch.setattr(espeak, "import_module", missing)
        with pytest.raises(UsageError, match=r"pip install .* '\.\[synth\]'"):
            make_corpus(tmp_path / "corpus", **TINY)
        assert not list(tmp_path.iterdir())

    def test_nothing_of_it_is_imported_by_the_core(self):
        assert "espeakng_loader" not in (espeak.__dict__ | synthetic.__dict__)

    def test_loader_without_its_files(self, monkeypatch, tmp_path):
        class Loader:
            get_library_path = staticmethod(lambda: str(tmp_path / "none.so"))
            get_data_path = staticmethod(lambda: str(tmp_path))

        monkeypatch.setattr(
            espeak, "import_module",
            lambda name: Loader if name == "espeakng_loader" else importlib.import_module(name),
        )  # fmt: skip
        pytest.importorskip("espeakng_loader")
        with pytest.raises(UsageError, match="incomplete: .*none.so is not there"):
            find_synthesiser()

    def test_a_synthesiser_that_fails(self, tmp_path):
        broken = Synthesiser(str(tmp_path / "none.so"), str(tmp_path), "0")
        with pytest.raises(DataError, match="failed on voice 'en-us'.*none.so"):
            speak(broken, "en-us", [Utterance("hello")])


@pytest.fixture(scope="module")
def synthesiser() -> Synthesiser:
    pytest.importorskip("espeakng_loader", reason="the extra synth is not installed")
    return find_synthesiser()


@pytest.fixture(scope="module")
def corpus(synthesiser, tmp_path_factory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("speech") / "corpus", **TINY)


class TestSynthesiser:
    def test_has_the_listed_voices(self, synthesiser):
        assert set(ACCENTS) <= synthesiser.accents
        assert set(VARIANTS) <= synthesiser.variants

    def test_same_bytes_in_every_process(self, synthesiser, monkeypatch):
        texts = [Utterance("computer"), Utterance("sunny", 140, 60, 30)]
        rate_hz, first = speak(synthesiser, "en-us+f2", texts)
        monkeypatch.setattr(espeak, "_LONGEST_DATA_PATH", 1)  # reached through a link
        assert speak(synthesiser, "en-us+f2", texts) == (rate_hz, first)
        assert rate_hz == 22050 and min(map(len, first)) > 2 * 0.2 * rate_hz

    def test_no_such_voice(self, synthesiser):
        with pytest.raises(DataError, match="no voice xx-none"):
            speak(synthesiser, "xx-none", [Utterance("hello")])


class TestCorpus:
    def test_layout(self, corpus):
        tables = ("train/manifest.tsv", "train/words.tsv", "test/words.tsv", "noise/manifest.tsv")
        header = {name: (corpus / name).read_text().split("\n")[0] for name in tables}
        assert header["train/manifest.tsv"] == "path\ttext\tspeaker\tduration"
        assert header["test/words.tsv"] == header["train/words.tsv"] == (
            "path\tword\tspeaker\tstart\tend\tconfidence\tindex"
        )
        assert header["noise/manifest.tsv"] == "path\ttext\tspeaker\tspeech_start\tspeech_end"
        assert len(list((corpus / "noise" / "audio").iterdir())) == 3 * len(KINDS)
        assert not list(corpus.parent.glob("*.part"))

    def test_words_and_voices_are_held_out(self, corpus):
        settings = json.loads((corpus / "settings.json").read_text())
        train, test = read_words(corpus / "train"), read_words(corpus / "test")
        assert train.set_aside == test.set_aside == 0
        assert not set(train.word) & set(settings["held_out_words"])
        assert set(test.word) - set(train.word) == set(settings["held_out_words"])
        assert len(set(train.speaker)) == 2 and len(set(test.speaker)) == 1
        assert not set(train.speaker) & set(test.speaker)
        assert len(build_segments(train, max_words=2)) > len(train)

    def test_times_are_exact(self, corpus):
        """Speech lies inside the told times and near-silence between them."""
        words = read_words(corpus / "train")
        for path in set(words.path):
            samples, rate_hz = soundfile.read(path)
            assert rate_hz == 16000 and np.abs(samples).max() <= 1.0
            loud = np.abs(samples) > 0.02 * np.abs(samples).max()
            inside = np.zeros(len(samples), bool)
            for row in np.flatnonzero(words.path == path):
                seconds = (words.start_s[row], words.end_s[row])
                start, end = (round(time * rate_hz) for time in seconds)
                inside[start:end] = True
                assert 0.15 < seconds[1] - seconds[0] < 2.0
                at = np.flatnonzero(loud[start:end]) / rate_hz
                assert at[0] < 0.15 and at[-1] > seconds[1] - seconds[0] - 0.15
            assert not loud[~inside].any()

    def test_same_bytes_for_every_number_of_workers(self, corpus, tmp_path):
        again = make_corpus(tmp_path / "again", workers=1, **TINY)
        assert hashes(again) == hashes(corpus)

    def test_reuses_an_equal_one(self, corpus, monkeypatch):
        monkeypatch.setattr(synthetic, "find_synthesiser", None)
        before = hashes(corpus)
        assert make_corpus(corpus, **TINY) == corpus
        assert hashes(corpus) == before

    def test_refuses_another_one(self, corpus, tmp_path):
        with pytest.raises(UsageError, match="other settings. Expected: seed 9. Received: 0"):
            make_corpus(corpus, seed=9, **TINY)
        (tmp_path / "mine.txt").write_text("keep")
        with pytest.raises(UsageError, match="is no synthetic corpus"):
            make_corpus(tmp_path, **TINY)
        assert (tmp_path / "mine.txt").read_text() == "keep"

    def test_the_command_says_what_is_there(self, corpus, capsys):
        options = []
        for name, value in TINY.items():
            if name != "items_per_string":
                options += ["--" + name.removeprefix("num_").replace("_", "-"), str(value)]
        made = corpus.parent / "by_command"
        assert main(["data", "voices", "--out", str(made), *options, "--workers", "1"]) == 0
        said = capsys.readouterr().out
        assert said.startswith(f"3 voices in {made}, by espeakng-loader ") and "held-out" in said
        settings = json.loads((corpus / "settings.json").read_text())
        again = json.loads((made / "settings.json").read_text())
        assert again["held_out_words"] == settings["held_out_words"]
        assert again["items_per_string"] == 10
        assert main(["data", "voices", "--out", str(made), *options, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["voices"] == 3 and told["train_seconds"] == again["train_seconds"] > 1
        assert main(["data", "voices", "--out", str(made), "--seed", "4"]) == 2
        assert "corpus of other settings" in capsys.readouterr().err
        (made / "noise" / "manifest.tsv").unlink()
        assert main(["data", "voices", "--out", str(made), *options]) == 2
        assert "is not whole" in capsys.readouterr().err

    def test_a_folder_by_any_name(self, corpus, synthesiser, tmp_path, monkeypatch):
        """The one that one is in, or a link; what stands beside it is left alone."""
        (tmp_path / "empty").mkdir()
        (tmp_path / "corpus.part").mkdir()
        (tmp_path / "corpus.part" / "mine.txt").write_text("keep")
        (tmp_path / "corpus").symlink_to(tmp_path / "empty")
        made = make_corpus(tmp_path / "corpus", **TINY)
        assert made == tmp_path / "empty" and hashes(made) == hashes(corpus)
        assert (tmp_path / "corpus.part" / "mine.txt").read_text() == "keep"
        monkeypatch.chdir(made)
        assert make_corpus(".", **TINY) == made

    def test_leaves_nothing_behind_when_it_fails(self, synthesiser, tmp_path, monkeypatch):
        def fail(*_arguments):
            raise DataError("no sound")

        monkeypatch.setattr(synthetic, "speak", fail)
        with pytest.raises(DataError, match="no sound"):
            make_corpus(tmp_path / "corpus", **TINY)
        assert not list(tmp_path.iterdir())

    def test_place_that_cannot_be_written(self, synthesiser, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(UsageError, match="Cannot write the corpus"):
            make_corpus(tmp_path / "file" / "corpus", **TINY)

    def test_silence_is_an_error(self, synthesiser, tmp_path, monkeypatch):
        monkeypatch.setattr(
            synthetic, "speak", lambda _s, _v, texts: (22050, [b"\0\0" * 9] * len(texts))
        )
        with pytest.raises(DataError, match="gave no sound for"):
            make_corpus(tmp_path / "corpus", **TINY)
