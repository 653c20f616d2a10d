"""From files to features: decoding, log-mel features, augmentation."""
