"""A training run whose processes are killed, frozen and removed at random moments."""
