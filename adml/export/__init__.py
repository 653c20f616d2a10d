"""Encoders as files for other runtimes."""
