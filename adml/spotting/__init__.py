"""From a typed keyword to a score on audio."""
