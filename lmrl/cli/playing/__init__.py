"""Commands in which somebody plays: a person, or policies that are watched."""
