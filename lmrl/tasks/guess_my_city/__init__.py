"""Guess My City: find out by open questions which of 100 cities somebody is from.

Rules (arXiv 2311.18232, section 4 and appendix C; code of the published benchmark):
- The hidden city is uniform over the 100 most populous cities of a published list.
- An action is a question, of any kind, and a newline. An oracle answers in free text and may not
  say the city or its country unless the city was guessed.
- Reward: 0 for the question that names the city, -1 for any other. Naming it at question k returns
  -(k - 1), never naming it returns -20.
- A question wins if it names the city and the oracle's answer begins with `Yes`.
- Horizon: 20 questions. The twentieth ends the episode by the rules; nothing is cut.
- The policy sees the whole episode.

The published oracle is a fine-tuned FLAN-T5-XL. Ours is scripted unless the option `oracle` names
another: a table (`assets/guess_my_city.json`), the grammar of `questions.grammar.Grammar` for
yes/no questions, and a sentence for each of its topics. It answers `I don't know.` where it does
not understand.

Repaired by default, as published with `faithful=True` (quirks G1 to G4 of the task's sheet):
- A question that claims to know the city wins (`Is it Mumbai?`), aliases and a country after it
  included. Published, the characters of `city,country` are compared with the question's tokens, so
  that no normal guess wins.
- The oracle's text is the answer, on one line of at most 300 characters and with the names of city
  and country masked. Published, it is cut to `Yes.` or `No.`.
- There are 100 cities; published, Seoul is skipped.
- Prompt lines are not indented.
"""

from lmrl.tasks.guess_my_city.environment import GuessMyCity

__all__ = ["GuessMyCity"]
