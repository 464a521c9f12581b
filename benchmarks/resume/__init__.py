"""Runs whose driver is killed at random moments, against unbroken ones."""
