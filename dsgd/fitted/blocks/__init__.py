"""Predicting with the ranks of an engine, each of which has a block of the model's weights: scores are summed over the ranks."""
