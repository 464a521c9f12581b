"""Scores of policies without training: fixed seeds, sweeps, suites, human partners."""
