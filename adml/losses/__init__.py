"""The loss functions of the paper, unreduced, and their weighted total."""
