"""The algorithms, one file each, and the computation of returns that they share."""
