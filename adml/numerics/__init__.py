"""The ground: ragged flattening, gradient reversal, replicas."""
