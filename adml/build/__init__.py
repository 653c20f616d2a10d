"""From a configuration to objects: the one place where the two meet."""
