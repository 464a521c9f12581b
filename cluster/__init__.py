"""Who runs where: the only room that sees both actors and learners."""
