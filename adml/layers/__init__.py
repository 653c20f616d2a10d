"""Building blocks: SE-Res2 blocks, pooling, cross-attention, normalisation."""
