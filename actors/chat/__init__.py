"""Instruct models that answer messages: as oracles, as buyers, and as prompted players."""
