"""The tasks behind interfaces that other libraries expect. Nothing here is imported by the rest."""
