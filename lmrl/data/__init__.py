"""Data sets: stored, generated, imported, described, and played again."""

from lmrl.data.store import load, write

__all__ = ["load", "write"]
