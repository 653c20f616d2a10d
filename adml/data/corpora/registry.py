"""All corpora that can be prepared, by name."""

from __future__ import annotations

from adml.data.corpora.folders import NOISE_FOLDER, WORD_FOLDER
from adml.data.corpora.king_asr_066 import KING_ASR_066
from adml.data.corpora.librispeech import LIBRISPEECH
from adml.data.corpora.mswc import MSWC
from adml.data.corpora.noises import MUSAN, RIRS_NOISES
from adml.data.corpora.plain import PLAIN
from adml.data.corpora.recording import Corpus
from adml.data.corpora.speech_commands import SPEECH_COMMANDS
from adml.data.corpora.wsj import WSJ

CORPORA: dict[str, Corpus] = {
    corpus.name: corpus
    for corpus in (
        LIBRISPEECH, SPEECH_COMMANDS, MSWC, WSJ, KING_ASR_066, MUSAN, RIRS_NOISES, NOISE_FOLDER,
        WORD_FOLDER, PLAIN,
    )
}  # fmt: skip
