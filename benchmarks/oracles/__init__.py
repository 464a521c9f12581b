"""How well the scripted oracles understand natural questions.

- `questions`: question sets; each row has the answers that are allowed.
- `rating`: whether a reply is right, wrong, beside the question, or says that it does not know.
- `__main__`: `python -m benchmarks.oracles`.
"""
