"""Learning: losses, batches, networks, the DeepSpeed engine. Imports lmrl only."""
