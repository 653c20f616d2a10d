"""All corpora that can be prepared, by name."""

from __future__ import annotations

from adml.data.corpora.folders import NOISE_FOLDER, WORD_FOLDER
from adml.data.corpora.librispeech import LIBRISPEECH
from adml.data.corpora.plain import PLAIN
from adml.data.corpora.recording import Corpus

CORPORA: dict[str, Corpus] = {
    corpus.name: corpus for corpus in (LIBRISPEECH, WORD_FOLDER, NOISE_FOLDER, PLAIN)
}
