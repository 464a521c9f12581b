"""Speed of rollouts against a lock-step batch loop on the same engine."""
