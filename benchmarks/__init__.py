"""Measurements. They import the other packages, and no other package imports them."""
