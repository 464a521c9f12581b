"""What a run reports: its phases, metrics, scores and checkpoints."""
