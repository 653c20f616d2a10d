"""The text side of a test: pronunciations, their embeddings, and which texts training has seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from adml.errors import DataError, TextError
from adml.evaluation.clips import SetAside, report_set_aside
from adml.evaluation.embedding import Embeds
from adml.text.phonemes import strip_stress, to_ids

G2PFunction = Callable[[str], Sequence[str]]
"""g2p(text) -> phoneme symbols, with " " between words."""


def embed_texts(
    embedder: Embeds, texts: Sequence[str], g2p: G2PFunction
) -> tuple[np.ndarray, np.ndarray, list[SetAside]]:
    """Embed each distinct pronunciation once.

    Args:
        embedder: embeds lists of phoneme ids.
        texts: the keywords or phrases of a test.
        g2p: turns a text into phoneme symbols.

    Returns:
        embeddings [n, D] of the usable texts, their indices [n] in `texts`, and what was set aside.

    Raises:
        DataError: there are no texts, or none has a pronunciation.
    """
    if len(texts) == 0:
        raise DataError("The test list has no texts. Expected: at least one.")
    problems: list[SetAside] = []
    rows: dict[tuple[int, ...], int] = {}
    row_of_text, kept = [], []
    for index, text in enumerate(texts):
        try:
            ids = tuple(to_ids(g2p(text)))
        except TextError as error:
            problems.append(SetAside(repr(text), str(error)))
            continue
        if not ids:
            problems.append(SetAside(repr(text), "it has no phonemes"))
            continue
        row_of_text.append(rows.setdefault(ids, len(rows)))
        kept.append(index)
    report_set_aside(problems, len(texts), "texts")
    if not kept:
        raise DataError(
            f"None of the {len(texts)} texts has a pronunciation. The first, {problems[0].item}: "
            f"{problems[0].reason}"
        )
    embeddings = embedder.phonemes(list(rows))
    return embeddings[row_of_text], np.array(kept, dtype=np.int64), problems


def unseen_texts(
    texts: Sequence[str], training_texts: Iterable[str], g2p: G2PFunction
) -> np.ndarray:
    """Say which texts' pronunciation was not trained on, however it is spelt.

    A text is seen where its phones are those of a training text, or of neighbouring whole words of
    one. Word boundaries within it are ignored, as the text encoder ignores them, and so is stress
    (chosen: a text that differs from a training text in stress alone is seen). A text that has no
    pronunciation is unseen.

    Args:
        texts: the texts to judge.
        training_texts: every text of the training data.
        g2p: turns a text into phoneme symbols, with " " between words.

    Returns:
        bool [len(texts)].
    """
    keys = [" ".join(_words(text, g2p)) for text in texts]
    wanted = {key for key in keys if key}
    longest = max(map(len, wanted), default=0)
    seen: set[str] = set()
    for text in set(training_texts):
        words = _words(text, g2p)
        for start in range(len(words)):
            run = ""
            for word in words[start:]:
                run = f"{run} {word}" if run else word
                if len(run) > longest:
                    break
                if run in wanted:
                    seen.add(run)
    return np.array([key not in seen for key in keys], dtype=bool)


def _words(text: str, g2p: G2PFunction) -> tuple[str, ...]:
    """One string of stress-stripped phones for each word of a text; () where it has none."""
    try:
        symbols = g2p(text)
    except TextError:
        return ()
    words: list[list[str]] = [[]]
    for symbol in symbols:
        if symbol == " ":
            words.append([])
        else:
            words[-1].append(strip_stress(symbol))
    return tuple(" ".join(word) for word in words if word)
