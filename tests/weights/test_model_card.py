"""The card holds the figures of the records, all of them, and no others."""

from __future__ import annotations

import dataclasses
import re

import pytest

from adml.errors import DataError
from adml.model_card import SOURCES, render_card


def percent(figure):
    return "{:.2f} [{:.2f}, {:.2f}]".format(*(100 * figure[k] for k in ("value", "low", "high")))


def section(card, title):
    return re.split(r"^## ", card.split(f"## {title}\n")[1], flags=re.MULTILINE)[0]


def test_figures_are_those_of_the_record(told):
    card, metrics = render_card(told), told.evaluations[0].metrics
    figures = section(card, "Figures")
    wanted = [f"| {name} | {part} | {percent(values['average_precision'])} | "
              f"{percent(values['equal_error_rate'])} |"
              for name, parts in metrics.items() for part, values in parts.items()]  # fmt: skip
    assert sorted(line for line in figures.splitlines() if "[" in line) == sorted(wanted)
    plain, accent = figures.split("English of Mandarin speakers")
    assert accent.count("speechocean-words") == 3 and "speechocean" not in plain


def test_every_figure_follows_its_record(told, record):
    """One figure is changed, and one only in the table of figures."""
    before, (first, *_) = render_card(told), told.evaluations
    metrics = {name: {part: dict(values) for part, values in parts.items()}
               for name, parts in first.metrics.items()}  # fmt: skip
    other = {"value": 0.111, "low": 0.1, "high": 0.122, "n": 1}
    metrics["librispeech-words"]["unseen"]["equal_error_rate"] = other
    after = render_card(told._replace(evaluations=(dataclasses.replace(first, metrics=metrics),)))
    changed = set(after.splitlines()) - set(before.splitlines())
    assert len(changed) == 1 and "11.10 [10.00, 12.20]" in changed.pop()


def test_misses_are_those_of_the_record(told):
    text, spotted = section(render_card(told), "Running audio"), told.spotting[0]
    rows = {tuple(cells[1:3]): cells for line in text.splitlines()
            if len(cells := [cell.strip() for cell in line.split("|")]) > 5}  # fmt: skip
    head = rows["engine", "keyword"]
    for engine, values in spotted["engines"].items():
        for keyword, points in values["keywords"].items():
            cells = dict(zip(head, rows[engine, keyword], strict=True))
            for limit, at in (("1/h", points[1]), ("10/h", points[4])):
                low, high = at["miss_interval"]
                assert cells[limit] == (
                    f"{100 * at['miss_rate']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
                )
            assert cells["clips"] == str(spotted["clips"][keyword]) and cells["CPU s/h"] == "123"
    assert "2.68 h of background, at most: 0.5/h: 2 (0.75 [0.10, 3.00] an hour); 1/h: 3 " in text
    assert "1/h: 3 (1.12 [0.20, 4.00] an hour); 2/h: 2 (0.75 " in text
    assert "2.68 h of `talk`" in text and "`wakers`" in text and "`beef00123+`" in text
    assert "noise of `noise` added (which was trained with)" in text


def test_without_noise_none_is_told(told, spotting):
    sets = {"clips": "a", "background": "b", "noise": None}
    card = render_card(told._replace(spotting=(spotting(sets=sets),)))
    assert "added" not in section(card, "Running audio")


def test_facts(told):
    facts = section(render_card(told).replace("```\n\n|", "```\n\n## Facts\n|"), "Facts")
    for wanted in (
        "`" + "abc" * 20 + "`", "2,124,690: acoustic encoder 1,234,567, text encoder 890,123",
        "step 4,321", "126.0 min, 2.70 CPU h, 4,321 steps, 1,654,321 clips, 5.7 GB",
        "12 processors, Python 3.11.4, TensorFlow 2.17.1", "`facade012`", "`c0ffee012`",
    ):  # fmt: skip
        assert wanted in facts, wanted


def test_data_and_licences(told):
    rows = section(render_card(told), "Trained on")
    assert "`speechocean762`, `audio/train` | speech | " in rows and "CC BY 4.0" in rows
    assert "| `noise` | noise | " in rows and "ljspeech" not in rows
    assert SOURCES["ljspeech"].licence == "public domain"


def test_weaknesses_are_those_that_were_measured(told):
    text, record = section(render_card(told), "Known weaknesses"), told.evaluations[0]
    hard, easy, accent, plain = (
        percent(record.metrics[name]["all"]["equal_error_rate"])
        for name in ("librispeech-phrases-hard", "librispeech-phrases-easy", "speechocean-words",
                     "librispeech-words")
    )  # fmt: skip
    assert f"equal error rate {hard} % on" in text and f", {easy} % on" in text
    assert f"equal error rate {accent} % on" in text and f", {plain} % on" in text
    assert "go (55 % of 174, taken for down), up (60 % of 202" in text
    assert "three" not in text  # heard four times
    assert '"jarvis", missed 36.7 [18.3, 73.4] %' in text
    assert "at 3 to 25 dB in 37 %" in text and "to 1.7 s and up to" in text
    assert "through no codec: how well" in text and "by a telephone" in text
    augmentation = record.config["augmentation"] | {"codec_probability": 0.2}
    config = record.config | {"augmentation": augmentation}
    through = told._replace(evaluations=(dataclasses.replace(record, config=config),))
    assert "codecs in 20 % of the draws (mu_law, gsm, ima_adpcm): how" in render_card(through)


def test_runs_that_it_began_with_are_told(told):
    """Their steps, cost and sets; a set of theirs must be known too."""
    first = {"run": "first", "step": 77, "train": ["ljspeech", "synthetic/train"],
             "noise": ["noise"], "music": [], "babble": [], "impulse_responses": ["rir"],
             "cost": {}, "initial": {}}  # fmt: skip
    cost = {"seconds": 120.0, "cpu_seconds": 7200.0}
    then = first | {"run": "then", "step": 8000, "cost": cost, "initial": first}

    def card(initial, texts=5):
        record = told.evaluations[0]
        details = {"initial": initial, "initial_texts": texts}
        given = dataclasses.replace(record, details=record.details | details)
        return render_card(told._replace(evaluations=(given,)))

    text = card(then)
    assert "| begun with the weights of | `then`, step 8,000, 2.0 min, 2.00 CPU h |" in text
    assert "| begun with the weights of | `first`, step 77 |" in text
    rows = section(text, "Trained on").splitlines()
    assert sum("`ljspeech`" in row for row in rows) == 1
    assert sum("`synthetic/train`" in row and "eSpeak" in row for row in rows) == 1
    assert sum("`noise`" in row for row in rows) == 1 and any("`rir`" in row for row in rows)
    with pytest.raises(DataError, match="licence of secret is not known"):
        card(then | {"initial": first | {"train": ["secret"]}})
    assert "begun with" not in render_card(told)
    assert "no list of texts" in card(then, 0) and "no list of texts" not in text


def test_the_configuration_is_whole(told):
    import yaml

    card = render_card(told)
    text = re.search(r"```yaml\n(.*?)```", card, re.DOTALL)[1]
    assert yaml.safe_load(text) == told.evaluations[0].to_dict()["config"]


def test_a_second_look_has_a_name_of_its_own(told, record):
    both = (told.evaluations[0], record(name="second-look"))
    figures = section(render_card(told._replace(evaluations=both)), "Figures")
    assert figures.count("| second-look | ") == 12


@pytest.mark.parametrize("lacking", ["sets", "hours", "engines"])
def test_a_record_that_lacks_something_is_told(told, spotting, lacking):
    damaged = spotting()
    del damaged[lacking]
    with pytest.raises(DataError, match=f"do not suffice.*{lacking}.*Make them again"):
        render_card(told._replace(spotting=(damaged,)))


def test_unknown_data_are_refused(told):
    record = told.evaluations[0]
    config = record.config | {"data": record.config["data"] | {"train": ["mine:audio"]}}
    changed = dataclasses.replace(record, config=config)
    with pytest.raises(DataError, match="licence of mine is not known"):
        render_card(told._replace(evaluations=(changed,)))
