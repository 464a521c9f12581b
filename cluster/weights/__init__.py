"""The learner's weights in the samplers: pushed, compared, and restored after a restart."""
