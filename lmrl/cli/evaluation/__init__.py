"""`lmrl evaluate`: scores of checkpoints, scripted players and prompted models on fixed seeds."""
