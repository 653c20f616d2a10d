"""Forged records of a model."""

from __future__ import annotations

import pytest

from adml.config import Config, load_config
from adml.config_file import to_mapping
from adml.evaluation.records import Cost, Record
from adml.model_card import Told

LIMITS = (0.5, 1.0, 2.0, 5.0, 10.0)
SETTINGS = [
    'data.train=[librispeech_train, "speechocean762:audio/train"]',
    "data.max_seconds=1.7",
    "augmentation.noise=[noise]",
    "augmentation.noise_snr_db=[3, 25]",
    "augmentation.noise_probability=0.37",
]


def figure(value):
    return {"value": value, "low": value - 0.0123, "high": value + 0.0234, "n": 100}


def forged_record(config: Config | None = None, **changes) -> Record:
    """A record in which every figure is another."""
    config = config or load_config(None, SETTINGS)
    settings = to_mapping(config)
    settings["data"]["root"] = ""
    metrics, number = {}, 0
    for name in ("librispeech-words", "librispeech-phrases-hard", "librispeech-phrases-easy",
                 "speechocean-words"):  # fmt: skip
        metrics[name] = {}
        for part in ("all", "seen", "unseen"):
            number += 1
            metrics[name][part] = {
                "average_precision": figure(0.9 - number / 137),
                "equal_error_rate": figure(0.05 + number / 211),
            }
    keys = ("word", "n", "accuracy", "taken_for")
    rows = ("three", 4, 0.25, "tree"), ("go", 174, 0.546, "down"), ("up", 202, 0.604, "bed")
    worst = [dict(zip(keys, row, strict=True)) for row in rows]
    values = {
        "name": config.name, "config": settings, "commit": "c0ffee0123456", "dirty": False,
        "seed": config.seed, "data_hash": "da7a" * 16,
        "trials": dict.fromkeys(metrics, "7e57" * 16),
        "metrics": metrics, "cost": Cost(7560.0, 9720.0, 4321, 1_654_321, 5678.0, 0.0),
        "details": {"step": 4321, "speech-commands": {"worst_words": worst}},
    }  # fmt: skip
    return Record(**{**values, **changes})


def point(limit, rate):
    return {
        "limit_per_hour": limit, "misses": 3, "miss_rate": rate,
        "miss_interval": [rate / 2, min(1, rate * 2)], "threshold": 0.5, "false_alarms": 2,
        "false_alarms_interval_per_hour": [0.1, 3.0],
    }  # fmt: skip


def forged_spotting(model: str = "abc", **changes) -> dict:
    engines = {}
    for number, condition in enumerate(("clean", "10 dB")):
        keywords = {
            word: [point(limit, rate + number / 10 - limit / 1000) for limit in LIMITS]
            for word, rate in (("alexa", 0.1567), ("jarvis", 0.3678))
        }
        engines[f"adml, {condition}"] = {"cpu_seconds_per_hour": 123.0, "keywords": keywords}
    most = {"false_alarms": 3, "false_alarms_interval_per_hour": [0.2, 4.0]}
    engines["adml, clean"]["keywords"]["jarvis"][1] |= most
    told = {
        "created": "2026-01-01", "commit": "beef00123456", "dirty": True, "model": model, "seed": 0,
        "sets": {"clips": "wakers", "background": "talk", "noise": "noise"},
        "clips": {"alexa": 321, "jarvis": 345}, "hours": 2.6789, "engines": engines,
    }  # fmt: skip
    return told | changes


MODEL = {
    "model": "abc" * 20,
    "parameters": {"acoustic encoder": 1_234_567, "text encoder": 890_123},
    "environment": {"python": "3.11.4", "processors": 12, "commit": "facade012345", "dirty": False,
                    "versions": {"tensorflow": "2.17.1"}},
}  # fmt: skip


@pytest.fixture
def record():
    return forged_record


@pytest.fixture
def spotting():
    return forged_spotting


@pytest.fixture
def told():
    return Told(MODEL, (forged_record(),), (forged_spotting(),))
