"""Who runs where: the only package that imports both actors and learners."""
