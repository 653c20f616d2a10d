"""WSJ's transcripts: lines of `text (utterance)`, and the text without its marks.

Source: LDC93S6A, dot_spec: a backslash before a character that belongs to the word; [noise],
[noise>], [<noise], [noise/] and [/noise] for what is no speech; <word> for a word that the speaker
took back; *word* for one that was mispronounced; letters in parentheses that were not spoken, and a
hyphen, for one that was broken off; "." alone for a pause; "~" for an utterance that is cut short;
"!" before and ":" in a word for stress and length.
"""

from __future__ import annotations

import re

_UTTERANCE = re.compile(r"^(?P<text>.*?)\s*\((?P<name>[0-9A-Za-z]{8})(?:\s[^()]*)?\)\s*$")
_EVENT = re.compile(r"\[[^\[\]\s]*\]")
_SPOKEN_MARK = re.compile(r"(?:[^\w\s']+|'(?=SINGLE))([A-Z]+(?:-[A-Z]+)*)")
_UNSPOKEN = re.compile(r"\(.*\)|^-.|.-$")
_TRUNCATED = "~"


def split_utterance(line: str) -> tuple[str, str] | None:
    """(utterance in small letters, text as written) of a line, or None where it is none."""
    match = _UTTERANCE.match(line.strip())
    return (match["name"].lower(), match["text"]) if match else None


def is_truncated(text: str) -> bool:
    """Whether an utterance is marked as cut short at its begin or end."""
    return _TRUNCATED in text.split()


def spoken_text(text: str) -> str:
    r"""The words that were said, broken ones left out.

    >>> spoken_text(r"the ,COMMA <and> [lip_smack] *sale* \-HYPHEN fr(agment)- !en:ds . .PERIOD")
    'the COMMA and sale HYPHEN ends PERIOD'
    """
    return " ".join(filter(None, map(_spoken_word, _EVENT.sub(" ", text).split())))


def _spoken_word(token: str) -> str:
    """The word that a token stands for; empty where it stands for none."""
    word = token.replace("\\", "").strip("*")
    mark = _SPOKEN_MARK.fullmatch(word)
    if mark:
        return mark[1].replace("-", " ")
    if word.startswith("<") and word.endswith(">"):
        word = word[1:-1].strip("*")
    if _UNSPOKEN.search(word) or not any(map(str.isalnum, word)):
        return ""
    return re.sub(r"(?<=[A-Za-z]):", "", word.lstrip("!"))
