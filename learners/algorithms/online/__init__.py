"""Algorithms that learn from fresh episodes of their own policy."""
