"""What a report says of runs: state, scores, curves, times, configurations."""
