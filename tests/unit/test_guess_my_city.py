"""Guess My City: facts, what the scripted oracle says, what it keeps back, wins, players."""

import pickle
import random
import re
from statistics import fmean

import pytest

from lmrl.env import Step
from lmrl.episode import play
from lmrl.errors import UsageError
from lmrl.tasks.guess_my_city import GuessMyCity
from lmrl.tasks.guess_my_city.cities import cities
from lmrl.tasks.guess_my_city.open_answers import SECRET
from lmrl.tasks.questions.replies import NO, UNKNOWN, YES, city_prompt, read_prompt

NATURAL = """
Seoul: Is it in Asia?=Yes; Is it a capital city?=Yes; Is it on the coast?=No; Is it in Europe?=No
Seoul: What continent is your city located on?=Asia; What language do people speak?=Korean
Seoul: Where are you from?=East Asia; Do people there speak Japanese?=No; Is it in Africa?=No
Paris: What language is spoken there?=French; Is it the capital of the country?=Yes
Paris: What is the city famous for?=museums; Is it in South America?=No; Is it by the sea?=No
Paris: Which currency do they use?=euro; What kind of food is popular there?=cheese; Is it Rome?=No
Tokyo: Is it bigger than London?=Yes; Is it a coastal city?=Yes; What do people eat there?=fish
Tokyo: How is the weather?=summers; Is it in East Asia?=Yes; Is Spanish spoken there?=No
Tokyo: What is the population of the city?=5 million; Is it in the northern hemisphere?=Yes
Cairo: Is it in Africa?=Yes; Do they speak Arabic?=Yes; Is it hot?=Yes; What is the climate?=hot
Cairo: Is the city in North Africa?=Yes; Is it a port city?=No; Is it in Egypt?=Yes
Sydney: Which hemisphere is your city in?=southern; Is it in Oceania?=Yes; Is it a capital?=No
Sydney: Is the language English?=Yes; Is it near the ocean?=Yes; Is it famous for its harbor?=Yes
Rio de Janeiro: What language do you speak?=Portuguese; Does it have beaches?=Yes; Inland?=No
Rio de Janeiro: What part of the world is it in?=South America; Is it in the Middle East?=No
Rio de Janeiro: Is it in the southern hemisphere?=Yes; Are you from Sao Paulo?=No; Is it cold?=No
Moscow: Is it cold there?=Yes; How cold are the winters there?=cold; Is it European?=Yes
Moscow: Is the population over 5 million?=Yes; Is it smaller than Paris?=No; Is it tropical?=No
Bombay: What is it known for?=film; Is it on the sea?=Yes; Is it in South Asia?=Yes
Bombay: How many people live there?=5 million; Do more than 3 million people live there?=Yes
London: Is it in the United Kingdom?=Yes; Is it in Western Europe?=Yes; Is it in Asia?=No
London: What money do people use?=pound; Is it in Western or Southern Europe?=know; Is it dry?=No
Havanna: Is it in the Caribbean?=Yes; Do people speak Spanish there?=Yes; Is it on the coast?=Yes
Chicago: What country is it in?=can't; What is the name of your city?=can't; Is it on a lake?=Yes
Chicago: Is it in the United States?=Yes; Tell me about the food.=potatoes; Is it a capital?=No
Budapest: Could you tell me what language people speak?=Hungarian; Is it in Eastern Europe?=know
Budapest: What is the first letter of the name?=can't; Does its name start with B?=Yes
Giza: What landmarks can I visit?=monuments; Is it known for pyramids?=Yes; Is it in Cuba?=No
Lima: Is it on the coast of South America?=Yes; Is it Lima?=Yes; Is it hilly or on the sea?=Yes
Madrid: Is it a national capital?=Yes; Is it in Southern Europe?=Yes; Is it in Portugal?=No
Baghdad: Is the city in the Middle East?=Yes; What river flows near it?=large river; Is it humid?=No
Baghdad: What languages do the locals speak?=Arabic; Is it a coastal town?=No; Is it big?=Yes
Toronto: Is it in North America?=Yes; Does it get snow?=Yes; What is it like in winter?=cold
Toronto: Is it the capital city?=No; What continent are you from?=North America; Is it warm?=No
Lahore: Is it in South Asia?=Yes; Is Urdu spoken there?=Yes; What are the famous landmarks?=palaces
Lahore: Is it near the sea?=No; Is it in India?=No; How large is the population?=5 million
Kinshaha: Is it located in Central Africa?=Yes; Do the people speak French?=Yes; Is it Asian?=No
Kinshaha: Is it Kinshasa?=Yes; Does the city lie south of the equator?=Yes; Is it on an island?=No
Casablanca: Is it on the continent of Africa?=Yes; What is a popular dish?=stews; Is it cold?=No
Casablanca: Is the climate mild?=Yes; Do you live by the ocean?=Yes; Is it a megacity?=No
Osaka: Is it in Japan?=Yes; Is it in China?=No; Can you describe the weather?=summers
Osaka: What is the best known attraction?=palaces; Is it the capital of Japan?=No; Is it Tokyo?=No
Caracas: Is it in South America?=Yes; Is it high in the mountains?=Yes; Is it Bogota?=No
Caracas: Is Portuguese spoken in the city?=No; Do they speak Spanish or Portuguese?=Spanish
Caracas: Why?=know
Houston: What is the city best known for?=technology; Is it in America?=Yes
Houston: Do they speak English?=Yes
Houston: Is it a European city?=No; Is it less than 3 million people?=Yes; Is it in Canada?=No
Shanghai: How many people live in your city?=5 million; Is it a large city?=Yes; Is it small?=No
Shanghai: What is the local currency?=yuan; Is it in Southeast Asia?=No; Is it landlocked?=No
Jakarta: Is it tropical?=Yes; What is the climate like?=hot; Is it in Southeast Asia?=Yes
Jakarta: What is the food like?=rice; Is it a capital?=Yes; Is it a city in Indonesia?=Yes
Rome: Where is it located?=Europe; What do people eat?=pasta; Is Italian spoken there?=Yes
Rome: What should I visit there?=monuments; Does the name start with the letter R?=Yes
Rome: Is it hot?=know
Berlin: Is it in Asia or Europe?=Europe; Is it not in Asia?=Yes; Who built it?=know; Glorp?=know
"""
"""City: question=what the answer must contain, `know` for an honest `I don't know.`"""


def natural() -> list[tuple[str, str, str]]:
    found = []
    for line in NATURAL.strip().splitlines():
        city, _, rest = line.partition(": ")
        found += [(city, *part.split("=")) for part in rest.split("; ")]
    return [(city, question, wanted) for city, question, wanted in found]


def said(city: str, question: str) -> str:
    facts = cities()
    return facts(city_prompt(facts.cities[facts.index[city]].published, question))


def test_facts() -> None:
    facts = cities()
    assert len(facts.cities) == len(facts.index) == len(facts.by_prompt) == 100
    assert [city.name for city in facts.cities[:2]] == ["Seoul", "Sao Paulo"]
    populations = [city.thousands for city in facts.cities]
    assert populations == sorted(populations, reverse=True)
    assert sum("capital" in city.flags for city in facts.cities) > 30


def test_players_ask_what_the_oracle_understands() -> None:
    facts = cities()
    for wordings in facts.ask.values():
        answers = facts.told(wordings[0])
        unsure = answers.get(UNKNOWN, 0).bit_count()
        assert unsure < 10 and len(answers) > 1 + (unsure > 0), wordings
        assert all(facts.told(other) == answers for other in wordings)


def test_oracle_answers_natural_questions() -> None:
    wrong, unsure = [], 0
    asked = natural()
    for city, question, wanted in asked:
        given = said(city, question)
        unsure += given == UNKNOWN
        if wanted not in given and given != UNKNOWN:
            wrong.append((city, question, given))
    assert len(wrong) <= 0.05 * len(asked), wrong
    assert unsure <= 0.2 * len(asked), unsure


def test_no_question_tells_most_cities_apart() -> None:
    facts = cities()
    for wordings in facts.ask.values():
        told = facts.told(wordings[0])
        assert len(told) <= 10
        assert sum(mask.bit_count() ** 2 for mask in told.values()) >= 1200, wordings


def test_oracle_keeps_the_secret() -> None:
    facts = cities()
    asked = [question for _, question, _ in natural() if question not in ("Is it Lima?",)]
    asked += [wordings[-1] for wordings in facts.ask.values()]
    for number, city in enumerate(facts.cities):
        names = "|".join(map(re.escape, (city.name, city.country, *city.aliases)))
        for question in asked:
            env = GuessMyCity()
            env.reset(seed=0, options={"word": city.name})
            step = env.step(question + "\n")
            assert step.terminated or not re.search(rf"(?i)\b({names})\b", step.text), (
                number,
                question,
                step.text,
            )
    assert said("Paris", "What is the name of the city?") == SECRET


def test_answers_of_other_oracles_are_masked_and_cut() -> None:
    env = GuessMyCity(oracle=lambda prompt: "I am from PARIS,\nin France. " + "x" * 1000)
    env.reset(seed=0, options={"word": "Paris"})
    text = env.step("Where are you from?\n").text
    assert text.startswith("I am from ***, in ***. x")
    assert text.count("\n") == 1 and len(text) <= 301
    env.reset(seed=0, options={"word": "Bombay"})
    assert env.step("Where?\n").text.startswith("I am from PARIS, in France.")


@pytest.mark.parametrize(
    ("city", "question", "wins"),
    [
        ("Seoul", "Is it Seoul?", True),
        ("Seoul", "Is the city you are from Seoul?", True),
        ("Seoul", "is it seoul, south korea", True),
        ("Bombay", "Is it Mumbai?", True),
        ("Xian", "Is your city Xi'an?", True),
        ("St Petersburg", "Is it St. Petersburg?", True),
        ("Sao Paulo", "Is it São Paulo?", True),
        ("Singapore", "Is your city Singapore?", True),
        ("Lima", "What is the climate?", False),
        ("Lima", "Is it Lima or Cali?", False),
        ("Paris", "Is it bigger than Paris?", False),
        ("Paris", "Is it like Paris?", False),
        ("Paris", "Is it Tokyo, Rome, Paris?", False),
        ("Paris", "p", False),
        ("Paris", "", False),
    ],
)
def test_win_detection(city: str, question: str, wins: bool) -> None:
    env = GuessMyCity(oracle=lambda prompt: "Yes, it is.")
    env.reset(seed=0, options={"word": city})
    step = env.step(question + "\n")
    assert (step.terminated, step.reward) == (wins, 0.0 if wins else -1.0)
    if wins:
        assert said(city, question) == YES


def test_faithful_detector_reads_characters() -> None:
    env = GuessMyCity(oracle=lambda prompt: "yes", faithful=True)
    for question, wins in (("Is it Paris?\n", False), ("p\n", True), ("p a r i s?\n", True)):
        env.reset(seed=0, options={"word": "Paris"})
        assert env.step(question).terminated == wins
    assert {env.reset(seed=seed)[0] for seed in range(50)} == {"Questions:\n"}
    hidden = {env.reset(seed=seed) and env.city.name for seed in range(2000)}
    assert len(hidden) == 99 and "Seoul" not in hidden


def test_right_guess_needs_the_oracle_to_agree() -> None:
    env = GuessMyCity(oracle=lambda prompt: "No.")
    env.reset(seed=0, options={"word": "Paris"})
    assert env.step("Is it Paris?\n") == Step.going("No.\n", -1.0)


def test_episode_ends_with_the_twentieth_question() -> None:
    env = GuessMyCity()
    env.reset(seed=0, options={"word": "Paris"})
    steps = [env.step("Is it Rome?\n") for _ in range(20)]
    assert [step.terminated for step in steps] == [False] * 19 + [True]
    assert {step.text for step in steps} == {NO + "\n"}


def replying(prompt: str) -> str:
    hidden, question = read_prompt(prompt)
    return f"{len(hidden)} {question}"


def test_oracle_is_an_argument() -> None:
    env = GuessMyCity(oracle=replying)
    _, info = env.reset(seed=3, options={"word": "Paris"})
    assert info["oracle"] == "replying"
    assert pickle.loads(pickle.dumps(env)).step("Why?\n").text == "12 Why?\n"
    with pytest.raises(UsageError, match="callable"):
        GuessMyCity(oracle="x")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="did you mean"):
        env.reset(seed=0, options={"word": "Parys"})


def test_players() -> None:
    env = GuessMyCity()
    returns = {
        name: [play(env, name, seed).total_reward for seed in range(count)]
        for name, count in (("optimal", 100), ("random", 200), ("mixture", 2000))
    }
    assert -5.0 < fmean(returns["optimal"]) < -4.0  # a game of more than five turns
    assert fmean(returns["random"]) < -19.0
    assert fmean(returns["mixture"]) == pytest.approx(env.score_range.data, rel=0.1)


def test_players_vary_their_wording() -> None:
    env = GuessMyCity()
    said = {t.action for seed in range(60) for t in play(env, "mixture", seed).turns}
    assert len(said) > 250
    assert random.Random(0).choice(sorted(said)).endswith("?\n")


WRAPPED = """
Is it {}?
Great, is it {}?
So it's {}?
Is the answer {}?
I think it's {}.
My guess is {}.
Could it be {}?
Would it be {}?
Hmm, is it {} by any chance?
Is the city {}?
Is your city {}?
Are you from {}?
Do you live in {}?
Is it the city of {}?
Is the city you are from {}?
Is the city you're thinking of {}?
it is {}, isn't it?
Final guess: {}
Final answer: {}!
Let me guess, it's {}?
You must be from {}.
You're from {}, right?
Do you come from {}?
Were you born in {}?
Is this {}?
{}?
I bet it's {}
I'm going with {}.
Must be {}!
Am I right that it's {}?
I know! It's {}!
Is your hometown {}?
Okay, is {} the city?
Is {} your city?
Is it called {}?
Are you thinking of {}?
Did you grow up in {}?
Are we talking about {}?
"""
"""Ways to name a city."""


def test_every_way_to_name_the_city_is_answered_yes_and_wins() -> None:
    env = GuessMyCity()
    for word in ("Cairo", "New York", "Singapore"):
        for line in WRAPPED.strip().splitlines():
            env.reset(seed=0, options={"word": word})
            step = env.step(line.format(word) + "\n")
            assert (step.text, step.terminated) == ("Yes.\n", True), line.format(word)


def test_what_is_not_known_is_not_denied() -> None:
    themes = ("museums", "food", "music", "fashion", "nightlife", "universities", "parks", "art")
    for theme in themes:
        assert NO not in cities().told(f"Is it famous for {theme}?"), theme
    assert said("Paris", "Is it famous for museums?") == YES
    assert said("Hong Kong", "Is the currency the yuan?") == NO
    assert said("Hong Kong", "Do they pay with dollars?") == YES
