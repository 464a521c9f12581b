"""Measurements. They stand on top of everything, and nothing imports them."""
