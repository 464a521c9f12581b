"""The screen of one episode: its texts, what its task draws, the figures of its tokens."""
