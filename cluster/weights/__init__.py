"""Transfer of the learner's weights to the samplers: pushes, parity checks, and monitoring."""
