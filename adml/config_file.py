"""Strict reading of YAML into frozen dataclasses; a mistake is an error with its dotted path."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import math
import re
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml

from adml.errors import ConfigError

Dataclass = TypeVar("Dataclass")

LARGEST_BYTES = 1 << 16
"""Of a file; the largest here has 6 KB, and this one is read in a second or two."""

_FLOAT = re.compile(r"^[-+]?(\d[\d_]*)(\.[\d_]*)?([eE][-+]?\d+)?$|^[-+]?\.\d+([eE][-+]?\d+)?$")


class _StrictLoader(yaml.SafeLoader):
    """Safe loader that refuses duplicate keys and aliases, and reads `1e-3` as a number."""

    def compose_node(self, parent, index):
        """Refuse an alias: a few nested ones make more values than memory holds."""
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise ConfigError(
                f"Alias *{event.anchor} in line {event.start_mark.line + 1}. Expected: values "
                "written out."
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node, deep=False):
        """Refuse a key that occurs twice; plain YAML keeps the last one silently."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, (str, int, float, bool, type(None))):
                raise ConfigError(f"Key {key!r} in line {line} is no name. Expected: a word.")
            if key in seen:
                raise ConfigError(f"Duplicate key {key!r} in line {line}. Expected: each key once.")
            seen.add(key)
        return super().construct_mapping(node, deep)


_StrictLoader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
_StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in pairs if tag != "tag:yaml.org,2002:bool"]
    for first, pairs in _StrictLoader.yaml_implicit_resolvers.items()
}
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|false|False)$"), list("tTfF")
)


def option(
    default: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
    text: str = "",
) -> Any:
    """A dataclass field with its range or choices and one sentence of help."""
    metadata = {"low": low, "high": high, "choices": choices, "text": text}
    if dataclasses.is_dataclass(default) or isinstance(
        default, (tuple, int, float, str, type(None))
    ):
        return dataclasses.field(default=default, metadata=metadata)
    return dataclasses.field(default_factory=default, metadata=metadata)


def parse_yaml(text: str, *, source: str) -> Any:
    """Parse YAML text safely.

    Args:
        text: YAML document.
        source: name of the file for messages.

    Raises:
        ConfigError: the text is not YAML, a key occurs twice, or there is an alias.
    """
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None
    except RecursionError:
        raise ConfigError(f"{source} is nested too deep. Expected: a few levels.") from None
    except (yaml.YAMLError, ValueError, ArithmeticError, LookupError, TypeError,
            AttributeError) as error:  # fmt: skip
        # PyYAML lets through what Python says of a date, number or tag that cannot be made.
        raise ConfigError(f"{source} is not YAML: {error}") from None


def read_text(path: str | Path) -> str:
    """Read a configuration file; a missing, unreadable or huge one is a ConfigError."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
        if len(content) > LARGEST_BYTES:
            raise ConfigError(
                f"Configuration {path} is too large. Expected: at most {LARGEST_BYTES} bytes."
            )
        return content.decode("utf-8")
    except OSError as error:
        raise ConfigError(
            f"Cannot read configuration {path}: {error.strerror}. Expected: a YAML file."
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(
            f"Configuration {path} is not UTF-8 text. Expected: a YAML file."
        ) from None


def from_mapping(kind: type[Dataclass], values: Any, path: str = "") -> Dataclass:
    """Build a dataclass from a mapping that states only what differs from the defaults.

    Args:
        kind: the dataclass.
        values: mapping of field names to values; None means no difference.
        path: dotted path of this section for messages.

    Raises:
        ConfigError: unknown key, wrong type or value out of range.
    """
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path or 'The configuration'} must be a mapping. Received: {values!r}.")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    hints = typing.get_type_hints(kind)
    arguments = {}
    for key, value in values.items():
        dotted = f"{path}.{key}" if path else str(key)
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, n=1, cutoff=0.0)
            raise ConfigError(
                f"Unknown configuration key {dotted!r}. Nearest: {near[0]!r}. "
                f"Expected one of: {', '.join(fields)}."
            )
        arguments[key] = _convert(hints[key], value, dotted, fields[key].metadata)
    return kind(**arguments)


def _convert(kind: Any, value: Any, path: str, metadata: typing.Mapping[str, Any]) -> Any:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        kind = next(k for k in typing.get_args(kind) if k is not type(None))
        return _convert(kind, value, path, metadata)
    if dataclasses.is_dataclass(kind):
        return from_mapping(kind, value, path)
    if origin is tuple:
        return _convert_tuple(typing.get_args(kind), value, path, metadata)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            value = float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ConfigError(
            f"{path} has the wrong type. Expected: {kind.__name__}. Received: {value!r}."
        )
    _check(value, path, metadata)
    return value


def _convert_tuple(
    kinds: tuple, value: Any, path: str, metadata: typing.Mapping[str, Any]
) -> tuple:
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f"{path} must be a list. Received: {value!r}.")
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise ConfigError(f"{path} must have {len(kinds)} items. Received: {value!r}.")
    return tuple(
        _convert(k, v, f"{path}[{i}]", metadata)
        for i, (k, v) in enumerate(zip(kinds, value, strict=True))
    )


def _check(value: Any, path: str, metadata: typing.Mapping[str, Any]) -> None:
    choices, low, high = (metadata.get(name) for name in ("choices", "low", "high"))
    if choices and value not in choices:
        near = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.0)
        raise ConfigError(
            f"{path} is not one of the choices. Expected: {', '.join(choices)}. "
            f"Received: {value!r}. Nearest: {near[0]!r}."
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{path} must be finite. Received: {value!r}.")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    if (low is not None and value < low) or (high is not None and value > high):
        bounds = f"{'-inf' if low is None else low} to {'inf' if high is None else high}"
        raise ConfigError(f"{path} is out of range. Expected: {bounds}. Received: {value!r}.")


def apply_overrides(values: Any, overrides: list[str]) -> dict:
    """Set dotted keys in a mapping, as `--set losses.phoneme.kind=proxy_bd` does.

    Args:
        values: the mapping read from a file (not changed).
        overrides: items `dotted.key=value`; the value is read as YAML.

    Raises:
        ConfigError: an item has no `=`.
    """
    result = dict(values or {})
    for item in overrides:
        key, sign, text = item.partition("=")
        if not sign or not key.strip():
            raise ConfigError(f"Cannot read the override {item!r}. Expected: dotted.key=value.")
        *parents, last = key.strip().split(".")
        node = result
        for name in parents:
            child = node.get(name)
            node[name] = dict(child) if isinstance(child, dict) else {}
            node = node[name]
        node[last] = parse_yaml(text, source=f"--set {key}")
    return result


def to_mapping(config: Any) -> Any:
    """Turn a dataclass into plain dictionaries, lists and scalars for YAML or JSON."""
    if dataclasses.is_dataclass(config):
        return {f.name: to_mapping(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, tuple):
        return [to_mapping(item) for item in config]
    return config
