"""Scores, their intervals, comparisons of runs, and the tables that show them."""
