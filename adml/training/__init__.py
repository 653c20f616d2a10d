"""The training step, loop, schedule and checkpoints."""
