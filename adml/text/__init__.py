"""From text to phonemes: inventory, grapheme-to-phoneme conversion, phone distance."""
