"""The algorithms, one file each, and the arithmetic of returns that they share."""
