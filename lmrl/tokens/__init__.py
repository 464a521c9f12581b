"""Text to tokens and back: tokenizers, message formats, contexts, and actions in replies."""
