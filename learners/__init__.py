"""What is learned and how: losses, batches, networks, the DeepSpeed engine. Imports lmrl only."""
