"""Everything before the first update: Ray, the start policy, and the actors."""
