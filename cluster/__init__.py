"""Runs: experiments, placement of actors, weight pushes, training and evaluation.

This is the only package that imports both actors and learners.
"""
