"""Measuring: how well a run predicts."""
