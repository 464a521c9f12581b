"""Processes that act: samplers around vLLM, simulators around tasks. Imports lmrl, learners."""
