"""Text-Nav, fully and partially observed: put the stale food into the fridge, and close it.

Rules (arXiv 2311.18232, section 4 and appendix E; the published game was played to learn them):
- Eight rooms without doors, `PUBLISHED_ROOMS`; furniture is fixed: tables to put things on, a chest
  and a fridge to put things into, both closed at first. An episode starts in any room with empty
  hands.
- An action is a command and a newline. Each observation ends with the admissible ones; `look`,
  `inventory`, `examine ...`, articles, and shorter names work too (`open the fridge`, `take plate`,
  `west`). Anything else is answered with a refusal, changes nothing and costs a turn.
- Reward: 1 for the command after which the stale food is in the closed fridge, 0 otherwise.
  That wins and ends the episode; eating the stale food loses and ends it.
- Horizon: 15 commands (`max_steps`), all of them executed. The published environment has no limit
  of its own; 15 is that of its scripts.
- `text-nav-fo` names the room and lists what is carried; `text-nav-po` does neither.
- The wording of rooms is drawn at reset and holds for the episode.

This world is our own: it shares commands, rules, and protocol with the published game, which needs
TextWorld and an interpreter, but not its grammar. `layout_seed` builds other houses from the same
rooms and things, each of them won in at most `LONGEST` commands by the best play.

Repaired by default, as published with `faithful=True`:
- The limit is a truncation, so that learners bootstrap; in the published data it ends the episode
  like a terminal state.
- The fully observed variant is Markov: every observation describes the room and the policy sees
  that observation alone (`last_k=1`). Published, only a move describes the room and the policy sees
  the whole episode, as it does in the partially observed variant either way.
- The first observation says what to do (`objective="informative"`); published, only that the fridge
  is to be closed.
- The last reply counts the commands. Published, the fully observed variant gets its inventory by
  a hidden command, which that count includes, and which is refused after the end.
"""

from lmrl.tasks.text_nav.environment import TextNav

__all__ = ["TextNav"]
