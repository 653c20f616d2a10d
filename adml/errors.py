"""Errors with an exit code, so that every failure reaches the command line as one clear message."""

from __future__ import annotations


class AdmlError(Exception):
    """Base of all errors this package raises on purpose; `exit_code` is the process status."""

    exit_code = 1


class UsageError(AdmlError):
    """The call is wrong: an option, a path or a combination of arguments."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration key or value is wrong; the message holds the dotted path."""


class DataError(AdmlError):
    """The data cannot be used: a missing, damaged or empty input."""

    exit_code = 3


class AudioError(DataError):
    """An audio file or buffer cannot be used; the message names it."""


class TextError(DataError):
    """A text cannot be turned into phonemes; the message quotes it."""


class NumericError(AdmlError):
    """A loss or gradient is not finite and training cannot go on."""

    exit_code = 4
