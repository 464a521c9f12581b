"""What is learned and how: losses, batches, networks and the DeepSpeed engine. Imports lmrl only."""
