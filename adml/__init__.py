"""ADML: adversarial deep metric learning for open-vocabulary keyword spotting."""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"

_PUBLIC = {"G2P": "adml.text.g2p", "KeywordSpotter": "adml.spotting.spotter"}
__all__ = ["G2P", "KeywordSpotter", "__version__"]


def __getattr__(name: str):
    """Import the public classes on first use, so that `import adml` stays light."""
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'adml' has no attribute {name!r}")
