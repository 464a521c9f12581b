"""Processes that act: samplers around vLLM, and simulators around tasks. Import lmrl only."""
