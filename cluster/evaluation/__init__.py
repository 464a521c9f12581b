"""Evaluation of policies: fixed seeds, sweeps of settings, suites of variants, human partners."""
