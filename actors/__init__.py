"""Processes that play episodes: vLLM samplers and task simulators. Imports lmrl and learners."""
