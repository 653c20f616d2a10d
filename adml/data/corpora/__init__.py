"""Corpora read from the layout they are published in, and written as manifest.tsv and words.tsv."""
