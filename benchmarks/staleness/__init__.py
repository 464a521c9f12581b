"""Episodes played ahead of the learner, measured."""
