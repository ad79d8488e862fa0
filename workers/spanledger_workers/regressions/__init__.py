"""Regression runs: due ones are found, run in slices, compared with the last that passed, and told."""
