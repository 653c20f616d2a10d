"""Word segments, K x M batches, trial lists and synthetic speech."""
