"""The encoders, the modality classifier and the whole ADML model."""
