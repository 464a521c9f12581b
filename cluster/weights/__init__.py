"""Transfer of the learner's weights to the samplers: pushes and parity checks."""
