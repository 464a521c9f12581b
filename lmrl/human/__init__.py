"""Human evaluation: a person plays one side of a task, and every finished episode is kept."""
