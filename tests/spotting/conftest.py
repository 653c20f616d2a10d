"""A spotter of the tiny export."""

from __future__ import annotations

import pytest

from adml.spotting.spotter import KeywordSpotter

WORDS = {"yes": ["Y", "EH1", "S"], "go on": ["G", "OW1", " ", "AA1", "N"], "odd": ["QQ"], "": []}


@pytest.fixture(scope="session")
def run(tiny_export):
    """A run folder with an exported model."""
    return tiny_export


@pytest.fixture(scope="session")
def spotter(run):
    return KeywordSpotter.load(run, to_phonemes=WORDS.__getitem__)
