"""The rows of a game, coloured by the marks of the guesses."""

from lmrl.drawing import Drawing, Frame
from lmrl.trajectory import Trajectory

LETTERS = 5


def draw(episode: Trajectory, tries: int, marks_in_words: dict[str, str]) -> Drawing:
    """Return the rows of a game at every observation.

    Args:
        episode: stored episode.
        tries: number of guesses of a game.
        marks_in_words: the word that stands for each mark in the other wording.
    """
    rows = max(tries, len(episode.turns))
    blank = " " * LETTERS
    glyphs, tones = [blank] * rows, [blank] * rows
    frames = [Frame("".join(glyphs), "".join(tones))]
    answers = [*(turn.observation for turn in episode.turns), episode.final][1:]
    letter_of = {word: letter for letter, word in marks_in_words.items()}
    for number, (turn, answer) in enumerate(zip(episode.turns, answers, strict=True)):
        guess = turn.action.strip().replace(" ", "")
        guess = guess if len(guess) <= LETTERS else guess[: LETTERS - 1] + "…"
        marks = [letter_of.get(mark, mark) for mark in answer.replace(",", " ").split()]
        counts = len(marks) == LETTERS and set(marks) <= set(marks_in_words)
        glyphs[number] = guess.upper()[:LETTERS].ljust(LETTERS)
        tones[number] = "".join(marks) if counts else "." * LETTERS
        caption = f"guess {number + 1}" if counts else f"guess {number + 1} is not a known word"
        frames.append(Frame("".join(glyphs), "".join(tones), caption=caption))
    return Drawing(rows, LETTERS, blank * rows, tuple(frames))
