"""What tells one experiment from another: its settings, whatever its name and place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from adml.config import Config
from adml.config_file import from_mapping, to_mapping

NAMES = ("name", "description")


def settings_of(config: Config | Mapping) -> dict:
    """All that tells an experiment from another: no names, and not where the speech lies.

    A mapping, as records hold it, may lack fields that are younger; they have their defaults.

    Raises:
        ConfigError: a mapping is no configuration of this version.
    """
    config = config if isinstance(config, Config) else from_mapping(Config, dict(config))
    values = to_mapping(replace(config, data=replace(config.data, root="")))
    return {name: value for name, value in values.items() if name not in NAMES}


def training_settings(config: Config | Mapping) -> dict:
    """The settings that can change the weights."""
    return {k: v for k, v in settings_of(config).items() if k != "evaluation"}


def without(values: Mapping, dotted: Sequence[str]) -> dict:
    """A mapping less the sections and keys that are named, such as "model.kind"."""
    kept = {}
    for key, value in values.items():
        below = [name.removeprefix(f"{key}.") for name in dotted if name.startswith(f"{key}.")]
        if key not in dotted:
            kept[key] = without(value, below) if below and isinstance(value, Mapping) else value
    return kept


def digest(*values: object) -> str:
    """sha256 of plain values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def differences(first: Mapping, second: Mapping, path: str = "") -> dict[str, tuple]:
    """Dotted keys whose values differ, with both; None stands for a key that is not there."""
    found: dict[str, tuple] = {}
    for key in dict.fromkeys((*first, *second)):
        one, other = first.get(key), second.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found |= differences(one, other, f"{path}{key}.")
        elif one != other:
            found[f"{path}{key}"] = (one, other)
    return found
