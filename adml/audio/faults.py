"""The form of every message about unusable audio."""

from __future__ import annotations

from adml.errors import AudioError


def audio_error(name: str, what: str, expected: str, received: str, advice: str) -> AudioError:
    """Build an error that names the file and says what is wrong and what to do.

    Args:
        name: the file or buffer.
        what: what is wrong with it, as the rest of a sentence.
        expected: what was expected.
        received: what was found.
        advice: what to do, a sentence.

    Returns:
        The error, to be raised by the caller.
    """
    return AudioError(f"{name} {what}. Expected: {expected}. Received: {received}. {advice}")
