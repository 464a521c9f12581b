"""Wordle: find a five-letter word in six guesses.

Rules (arXiv 2311.18232, section 4 and appendix A; code of the published benchmark):
- The hidden word is uniform over the vocabulary, which is the set of accepted guesses too.
- An action is a guess, five letters and a newline; spaces between the letters are the usual form
  (`c r a n e`) and make no difference. The answer has a letter for each: `g`, the letter is here;
  `y`, the hidden word has it elsewhere; `b`, the hidden word does not have it (`b y g b b`).
- Repeated letters are not counted: a guess with two `e` is marked twice by a hidden word with one.
  `feedback="newspaper"` counts them as the newspaper's game does.
- A guess that is no word of the vocabulary gets an empty line, earns `bad_word_reward` and uses up
  a try. With `require_words_in_vocab=False` any five letters are a guess.
- Reward: 0 for the guess that finds the word, -1 for any other. The word at guess k returns
  -(k - 1), no word returns -6. Published scores use a `bad_word_reward` of -1; most published
  training runs used -10.
- Horizon: six guesses, good or bad. The sixth ends the episode by the rules; nothing is cut.
- The policy sees the whole episode.

`unseen_answers` hides one of 100 further words of the same source
(`assets/wordle_unseen.txt`), none of which is in the default list; guesses may be words of both.

The default vocabulary is a list of our own of the published size, 431 common words
(`assets/NOTICE.md` has its source), so scores are near the published ones but not the same; name
the published list with `vocab=` for those.

Repaired by default, as published with `faithful=True`:
- The hidden word is drawn at reset; published, every guess that counts draws one anew among the
  words that fit all answers so far (`fixed_answer`). The distribution of episodes is the same, and
  a reset that fixes the word also says what the episode was about.
- Five letters that are no word earn -1 where they are allowed; published, `bad_word_reward`.
"""

from lmrl.tasks.wordle.environment import Wordle

__all__ = ["Wordle"]
