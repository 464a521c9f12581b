"""Facts of Text-Nav: ways to win and lose, texts, commands as people type them, houses, players."""

import pickle
import random
import re
from statistics import fmean
from typing import Any

import pytest

from lmrl.env import Step
from lmrl.episode import Episode, play
from lmrl.errors import UsageError
from lmrl.tasks import make
from lmrl.tasks.text_nav import TextNav
from lmrl.tasks.text_nav.floor_plan import (
    CONTAINERS,
    DIRECTIONS,
    FRIDGE,
    GOAL,
    HANDS,
    LONGEST,
    OPPOSITE,
    PUBLISHED_THINGS,
    FloorPlan,
    house,
)

WIN = [
    "take stale food from table",
    "go west",
    "go west",
    "open fridge",
    "insert stale food into fridge",
    "close fridge",
]
"""From the living room."""

PROMPT = "Would you like to RESTART, RESTORE a saved game, QUIT or UNDO the last command?\n> "


def text_nav(name: str = "text-nav-fo", **options: Any) -> TextNav:
    env = make(name, **options)
    assert isinstance(env, TextNav)
    return env


def go(env: TextNav, *commands: str, room: str = "living room", seed: int = 0) -> list[Step]:
    env.reset(seed=seed, options={"room": room})
    return [env.step(f"{command}\n") for command in commands]


def before_commands(text: str) -> str:
    return text.partition("\nAdmissible commands:")[0]


@pytest.mark.parametrize("name", ["text-nav-fo", "text-nav-po"])
@pytest.mark.parametrize("faithful", [False, True])
def test_the_walkthrough_wins(name: str, faithful: bool) -> None:
    env = text_nav(name, faithful=faithful)
    steps = go(env, *WIN)
    assert [step.reward for step in steps] == [0.0] * 5 + [1.0]
    assert [step.terminated for step in steps] == [False] * 5 + [True]
    assert steps[-1].info["success"] is True
    with pytest.raises(RuntimeError, match="reset"):
        env.step("look\n")


def test_eating_the_stale_food_loses_and_other_food_does_not() -> None:
    steps = go(
        text_nav(),
        "take fresh food from table",
        "eat fresh food",
        "take stale food from table",
        "eat stale food",
    )
    assert [step.terminated for step in steps] == [False] * 3 + [True]
    assert sum(step.reward for step in steps) == 0.0
    assert steps[-1].info["success"] is False


def test_the_fridge_must_hold_the_food_and_be_closed() -> None:
    env = text_nav()
    steps = go(env, "open fridge", "close fridge", "go east", room="kitchen")
    assert not any(step.terminated for step in steps)
    steps = go(env, *WIN[:-1], "take stale food from fridge", "close fridge")
    assert not any(step.terminated for step in steps)


@pytest.mark.parametrize(
    ("start", "fewest"),
    [
        ("living room", 6),
        ("bedroom", 7),
        ("office", 7),
        ("dining room", 7),
        ("bathroom", 8),
        ("kitchen", 8),
        ("garden", 9),
        ("backyard", 9),
    ],
)
def test_optimal_play_takes_the_published_number_of_commands(start: str, fewest: int) -> None:
    assert house(None).fewest(start) == fewest
    env = text_nav()
    env.reset(seed=0, options={"room": start})
    act = env.player("optimal", random.Random(0))
    count, step = 0, Step.going("", 0.0)
    while not step.terminated:
        step = env.step(act(""))
        count += 1
    assert (count, step.reward) == (fewest, 1.0)


def test_optimal_play_wins_from_wherever_a_stranger_left_off() -> None:
    for layout in (None, 0, 1):
        env = text_nav(layout_seed=layout, max_steps=60)
        for seed in range(40):
            env.reset(seed=seed)
            stranger = env.player("random", random.Random(seed))
            act = env.player("optimal", random.Random(seed))
            for _ in range(15):
                command = stranger("")
                if command == f"eat {GOAL}\n":
                    break
                step = env.step(command)
                if step.terminated:
                    break
            else:
                while not (step.terminated or step.truncated):
                    step = env.step(act(""))
            assert step.reward == float(step.terminated)


def test_replies_of_the_published_game() -> None:
    """Word for word where the published game does not draw the words."""
    steps = go(text_nav(faithful=True), *WIN)
    carrying = "\nYou are carrying: a stale food.\n"
    texts = [before_commands(step.text) for step in steps]
    assert texts[0] == f"You take the stale food from the table.\n\n\n{carrying}"
    assert texts[3] == f"You open the fridge, revealing a fruit.\n\n{carrying}"
    assert texts[4] == ("You put the stale food into the fridge.\n\n\nYou are carrying nothing.\n")
    won = (
        "You close the fridge.\n\n\nYour score has just gone up by one point.\n\n\n"
        "                               *** The End ***\n\n"
        f"You scored 1 out of a possible 1, in 12 turns.\n\n\n{PROMPT}"
    )
    assert texts[5] == (f"{won}\nPlease give one of the answers above.\n\n{PROMPT.rstrip()}\n")
    po = go(text_nav("text-nav-po", faithful=True), *WIN)[-1].text
    assert po == (f"{won}\nAdmissible commands: go east, go north, go west, open fridge\n").replace(
        "12 turns", "7 turns"
    )
    default = before_commands(go(text_nav(), *WIN)[-1].text)
    assert default == f"{won}\nYou are carrying nothing.\n".replace("12 turns", "6 turns")
    lost = go(text_nav("text-nav-po", faithful=True), WIN[0], "eat stale food")[-1].text
    assert before_commands(lost) == (
        "You eat the stale food. Not bad.\n\n\n                              *** You lost! ***\n\n"
        f"You scored 0 out of a possible 1, in 3 turns.\n\n\n{PROMPT}"
    )


def test_floor_and_lists_of_things() -> None:
    env = text_nav("text-nav-po")
    steps = go(
        env,
        "take fresh food from table",
        "take stale food from table",
        "drop fresh food",
        "drop stale food",
        "look",
        "go south",
        "open chest",
        "close chest",
        "take utensils",
        "open chest",
        "take utensils",
        "inventory",
    )
    assert steps[3].text.startswith("You drop the stale food on the ground.\n\n\nAdmissible")
    assert "\n\nThere is a stale food and a fresh food on the floor.\n\n\nAdm" in steps[4].text
    assert "take fresh food, take stale food\n" in steps[4].text
    assert steps[6].text.startswith("You open the chest, revealing an utensils.\n\n\nAdm")
    assert steps[8].text.startswith("You can't see any such thing.\n\nAdm")
    assert steps[10].text.startswith("You take the utensils from the chest.\n\n\n\nAdm")
    assert steps[11].text.startswith("You are carrying: an utensils.\n\n\nAdm")


@pytest.mark.parametrize(
    ("commands", "typed"),
    [
        ([], "TAKE THE STALE FOOD FROM THE TABLE"),
        ([], "take stale"),
        ([], "get stale food"),
        ([], "pick up the stale food off the table"),
        ([], "  take   stale food  "),
        (["take fresh food from table"], "take food"),
    ],
)
def test_commands_as_people_type_them(commands: list[str], typed: str) -> None:
    env = text_nav()
    step = go(env, *commands, typed)[-1]
    assert step.text.startswith("You take the stale food from the table.")


def test_more_commands_as_people_type_them() -> None:
    env = text_nav("text-nav-po")
    steps = go(
        env, "take stale", "put down the food", "take food", "w", "WEST", "open the fridge",
        "put stale food in fridge", "shut fridge",
    )  # fmt: skip
    assert steps[2].text.startswith("Which do you mean, the fresh food or the stale food?\n")
    assert not steps[-1].terminated
    steps = go(env, "take stale", "w", "WEST", "open the fridge", "put it in fridge")
    assert steps[-1].text.startswith("You can't see any such thing.\n")
    assert env.step("put stale food in fridge").text.startswith("You put the stale food into the f")
    assert env.step("shut fridge").terminated


@pytest.mark.parametrize(
    ("typed", "reply"),
    [
        ("", "I beg your pardon?\n"),
        ("the", "I beg your pardon?\n"),
        ("dance", "That's not a verb I recognise.\n"),
        ("go up", "You can't see any such thing.\n"),
        ("go north", "You can't go that way.\n\n"),
        ("take unicorn", "You can't see any such thing.\n"),
        ("take", "You can't see any such thing.\n"),
        ("take food", "Which do you mean, the fresh food or the stale food?\n"),
        ("take table", "That's fixed in place.\n\n"),
        ("open table", "That's not something you can open.\n\n"),
        ("drop stale food", "You need to take the stale food first.\n\n"),
        ("eat stale food", "You need to take the stale food first.\n\n"),
        ("eat table", "That's plainly inedible.\n\n"),
        ("insert stale food into fridge", "You can't see any such thing.\n"),
        ("take stale food from fridge", "You can't see any such thing.\n"),
        ("go westx", "You can't see any such thing.\n"),
        ("examine stale food", "There is nothing special about the stale food.\n\n"),
    ],
)
def test_refusals_change_nothing(typed: str, reply: str) -> None:
    env = text_nav("text-nav-po")
    (step,) = go(env, typed)
    assert before_commands(step.text) == reply
    assert (step.reward, step.terminated) == (0.0, False)
    assert env.state is not None
    assert (env.state.room, env.state.things[HANDS]) == ("living room", ())
    assert env.state.steps == 1
    kitchen = go(env, "close fridge", "open fridge", "open fridge", room="kitchen")
    assert kitchen[0].text.startswith("That's already closed.\n\n")
    assert kitchen[2].text.startswith("That's already open.\n\n")


def test_limit_is_a_truncation_unless_faithful() -> None:
    for faithful in (False, True):
        env = text_nav(faithful=faithful)
        steps = go(env, *["look"] * 15)
        assert len(steps) == env.max_turns
        assert (steps[-1].terminated, steps[-1].truncated) == (faithful, not faithful)
        assert steps[-1].text == steps[0].text  # the state in which the episode was cut
    # The last command is executed.
    assert go(text_nav(max_steps=6), *WIN)[-1].reward == 1.0


def test_what_the_policy_sees() -> None:
    spans: dict[tuple[str, bool], list[int]] = {}
    for name in ("text-nav-fo", "text-nav-po"):
        for faithful in (False, True):
            episode = Episode(text_nav(name, faithful=faithful), 0)
            spans[name, faithful] = [episode.span]
            for _ in range(3):
                episode.act("look\n")
                spans[name, faithful].append(episode.span)
    assert spans.pop(("text-nav-fo", False)) == [1, 1, 1, 1]
    assert set(map(tuple, spans.values())) == {(1, 3, 5, 7)}


def test_full_observations_stand_alone() -> None:
    """The same state is described in the same words, however it was reached."""
    env = text_nav()
    steps = go(env, "take stale food from table", "dance", "look", "go west", "go east")
    described = [step.text.partition("You are carrying")[0] for step in steps]
    for text in described[:3]:
        assert text.endswith(described[4])
    for step in steps:
        assert "living room" in step.text or "dining room" in step.text
        assert "You are carrying: a stale food.\n\nAdmissible commands: " in step.text
        assert "exits to the" in step.text


def test_partial_observations_hide_room_and_hands() -> None:
    for faithful in (False, True):
        env = text_nav("text-nav-po", faithful=faithful)
        for seed in range(30):
            env.reset(seed=seed)
            act = env.player("random", random.Random(seed))
            step = Step.going("", 0.0)
            while not (step.terminated or step.truncated):
                step = env.step(act(""))
                assert "carrying" not in step.text
                assert not any(f" {room}" in step.text for room in env.house.rooms)


def test_objective_and_switches() -> None:
    informative = (
        "\n\n\nYour objective is to put the stale food on the table in the living room into the "
        "fridge in the kitchen.\n\n"
    )
    published = (
        "\n\n\nYou are now playing a profound round of TextWorld! Your task for today is to close "
        "the fridge in the kitchen.\n\n"
    )
    for name in ("text-nav-fo", "text-nav-po"):
        assert text_nav(name).reset(seed=0)[0].startswith(informative)
        assert text_nav(name, faithful=True).reset(seed=0)[0].startswith(published)
    env = text_nav(objective="published", show_room_header=True, inventory_at_reset=True)
    text, _ = env.reset(seed=0, options={"room": "living room"})
    assert text.startswith(f"{published}-= Living Room =-\n")
    assert "\n\nYou are carrying nothing.\n\nAdmissible commands: go east, go south" in text


def test_wording_is_drawn_once_an_episode() -> None:
    env = text_nav()
    texts = {
        tuple(step.text for step in go(env, "look", "w", "e", "look", seed=seed))
        for seed in range(30)
    }
    assert len(texts) > 20
    assert all(text[0] == text[2] == text[3] for text in texts)


def test_random_starts_cover_the_rooms() -> None:
    env = text_nav()
    assert {env.reset(seed=seed)[1]["room"] for seed in range(200)} == set(env.house.rooms)


def check_house(home: FloorPlan) -> None:
    assert len(home.rooms) == 8
    for room, exits in home.exits.items():
        assert list(exits) == sorted(exits)
        for direction, near in exits.items():
            assert home.exits[near][OPPOSITE[direction]] == room
    # Positions on a grid: following exits never puts two rooms, or one room twice, in a place.
    at = {home.rooms[0]: (0, 0)}
    for _ in home.rooms:
        for room in list(at):
            for direction, near in home.exits[room].items():
                down, right = DIRECTIONS[direction]
                place = (at[room][0] + down, at[room][1] + right)
                assert at.setdefault(near, place) == place
    assert len(set(at.values())) == 8
    things = [thing for here in home.things.values() for thing in here]
    assert sorted(things) == sorted(t for here in PUBLISHED_THINGS.values() for t in here)
    assert GOAL not in home.things[FRIDGE]
    assert len(set(home.room_of.values())) == 5
    assert max(map(home.fewest, home.rooms)) <= LONGEST


def test_houses() -> None:
    check_house(house(None))
    assert max(map(house(None).fewest, house(None).rooms)) == 9
    assert house(None).near == {"living room", "dining room", "kitchen", "bedroom"}
    homes = [FloorPlan(seed) for seed in range(60)]
    for home in homes:
        check_house(home)
    assert len({str(home.exits) for home in homes}) > 50
    assert any(GOAL in home.things[box] for home in homes for box in CONTAINERS)
    assert str(vars(FloorPlan(7))["exits"]) == str(vars(FloorPlan(7))["exits"])


@pytest.mark.parametrize("layout_seed", [0, 1, 2, 3])
def test_other_houses_can_be_won(layout_seed: int) -> None:
    env = text_nav("text-nav-po", layout_seed=layout_seed)
    for seed in range(50):
        trajectory = play(env, "optimal", seed)
        assert trajectory.total_reward == 1.0
        start = env.reset(seed=seed)[1]["room"]
        assert len(trajectory.turns) == env.house.fewest(start)
    text, _ = env.reset(seed=0)
    assert f"fridge in the {env.house.room_of[FRIDGE]}.\n" in text


def test_mean_returns_of_the_players() -> None:
    env = text_nav("text-nav-po")
    mean = {
        player: fmean(play(env, player, seed).total_reward for seed in range(episodes))
        for player, episodes in (("optimal", 300), ("mixture", 4000), ("random", 300))
    }
    assert mean["optimal"] == env.score_range.best
    assert mean["mixture"] == pytest.approx(0.258, rel=0.05)
    assert mean["random"] < 0.02
    # The players look at the state, so the other variant is the same game.
    fully = text_nav("text-nav-fo")
    for seed in range(50):
        pair = [play(e, "mixture", seed) for e in (env, fully)]
        assert [t.action for t in pair[0].turns] == [t.action for t in pair[1].turns]


def test_admissible_commands_are_those_that_work() -> None:
    for layout in (None, 4):
        env = text_nav("text-nav-po", layout_seed=layout, max_steps=40)
        for seed in range(30):
            env.reset(seed=seed)
            rng = random.Random(seed)
            step = Step.going("", 0.0)
            while not (step.terminated or step.truncated):
                command = rng.choice(env.admissible())
                assert not re.search("examine|look|inventory", command)
                step = env.step(f"{command}\n")
                listed = step.text.rpartition("Admissible commands: ")[2].strip().split(", ")
                assert listed == env.admissible() == sorted(set(listed))
                assert step.text.startswith(("\n", "You "))


def test_pickles_are_small_and_share_the_house() -> None:
    env = text_nav(layout_seed=3)
    env.reset(seed=0)
    pickled = pickle.dumps(env)
    assert len(pickled) < 1500
    assert pickle.loads(pickled).house is env.house


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"observation": "ful"}, "did you mean 'full'"),
        ({"objective": "informativ"}, "did you mean 'informative'"),
        ({"max_steps": 0}, "max_steps is 0"),
        ({"last_k": 1.5}, "last_k is 1.5"),
        ({"layout_seed": -1}, "layout_seed is -1"),
        ({"layout_seed": "a"}, "layout_seed is 'a'"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make("text-nav-fo", **options)


def test_bad_starts_are_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'kitchen'"):
        text_nav().reset(seed=0, options={"room": "kichen"})
    with pytest.raises(UsageError, match="did you mean 'room'"):
        text_nav().reset(seed=0, options={"rom": "kitchen"})
