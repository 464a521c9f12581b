"""Processes that act: samplers around vLLM, and simulators around tasks. Import lmrl and learners, never deepspeed."""
