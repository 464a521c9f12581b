"""The episodes of runs: figures to filter by, transcripts, and their form inside the page."""
