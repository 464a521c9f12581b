"""Examples: a task, an algorithm and an analysis that live outside the packages."""
