"""What Twenty Questions and Guess My City share: a hidden thing, an oracle, and 20 questions.

- `game`: the environment and its scripted players.
- `facts`: a table of things and what is true of them; it is the scripted oracle.
- `grammar`: which yes/no questions that oracle understands.
- `replies`: prompts, replies and the end of a question, for every oracle.
- `published_rules`: what the published code does in their place.
- `recorded`: conversations of the published data set.
"""
