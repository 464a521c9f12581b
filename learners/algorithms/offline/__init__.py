"""Algorithms that learn from data sets, and their forms that learn from fresh episodes."""
