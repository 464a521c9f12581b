"""Chess and Chess Endgames: play White against an opponent of limited strength.

Rules (arXiv 2311.18232, section 4 and appendices A, C.5 and E; code of the published benchmark):
- A state is a FEN with a space between every two characters, so that the FEN's own spaces are three
  (`r n b q k b n r / ...   w   K Q k q   -   0   1`). The policy sees the newest state alone.
- An action is a move in SAN, spaced the same way, and a newline: `N f 3`. Spaces are dropped before
  it is read, so `Nf3` is the same move. The reader is python-chess: check signs are not verified,
  more than is needed may be said (`Ng1f3`), and so may coordinates (`g1f3`) unless `strict_san`.
- A move that is illegal, ambiguous, unreadable or null (`--`, `0000`) earns -1 and changes nothing.
- Reward of a legal move: 1 if it mates, -1 if the opponent's reply mates, 0 otherwise.
- A game ends by mate, stalemate, insufficient material, the 75-move rule and the fifth repetition;
  draws that a player would have to claim do not exist, and every draw returns 0.
- Limit: the game is cut with the first action beyond `max_moves`, which is executed and earns what
  it would have earned. With 400, a game has at most 401 actions; the least return is -401.
- `chess` starts from the usual position. `endgames` draws one of four piece sets (`kQK`, `kRK`,
  `kQRK`, `kRRK`: a bare black king against a white king and what is named between), then a uniform
  legal position of it with White to move and not in check. The published return has -1 as its worst
  there, although illegal moves can return less.
- Variants: `openings` starts from one of 24 positions after two to six half-moves of well-known
  openings (`assets/openings.txt`), `unseen-endgames` from one of four other piece sets (`kQQK`,
  `kQBK`, `kQNK`, `kRBK`), drawn the same way.

The published opponent is Stockfish 15.1 asked for Elo 1200 at 100 ms a move. That cannot be
rebuilt: 1200 is below what the engine accepts, its limited strength draws from a generator of its
own, and a time limit depends on the machine. So we offer opponents that repeat, and claim no Elo:
- `builtin` (the default, because it plays the same on every machine and needs no binary): one ply.
  It draws a move with softmax weights over material won, takes mate in one by a direct check, and
  walks a lone king to the centre. A beginner beats it.
- `random`: uniform over the legal moves, by numpy's legacy generator, as published.
- `stockfish`: several lines at a fixed number of nodes and a softmax of our own over their scores.
  It follows from seed and position for one version of the binary, and from no clock.
- `auto`: `stockfish` where a binary is found and `builtin` elsewhere, so its results do not carry
  over to another machine; `info["opponent"]` says which one plays.

Repaired by default, as published with `faithful=True`:
- The limit is a truncation, so that learners bootstrap; published, it ends the game like a mate.
- A state ends with a newline; published, state and action are glued together
  (`0   1N f 3`), and only behaviour cloning trained on states with one (`state_newline`).
Repaired always: seeds and start positions count, and an engine that fails is an error; published,
its failure is swallowed as an illegal move.
"""

from lmrl.tasks.chess.environment import Chess

__all__ = ["Chess"]
