"""Sharded speech: decoded recordings in TFRecord files, with an index to read any of them."""
