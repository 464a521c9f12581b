"""The report in headless Chromium: by mouse, by keyboard, on a phone, and with hostile texts."""

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.pages.browser import browser, chromium
from benchmarks.pages.made_run import make_run
from lmrl.data.store import load, write_table
from lmrl.report.live import Live
from lmrl.report.page import write_report
from lmrl.report.server import application
from lmrl.runs.names import episodes_file
from lmrl.schema import to_table

pytestmark = pytest.mark.skipif(
    chromium() is None, reason="no Chromium is on PATH (Debian: apt-get install chromium)"
)

ATTACK = '</script><script>window.sprung = 1</script><img src=x onerror="window.sprung = 1">'


class Visit:
    """A page with what it logged and asked for.

    Attributes:
        page: page of Playwright.
        messages: messages of its console, errors and dialogs.
        requests: addresses that it asked for.
    """

    def __init__(self, running: Any, **settings: Any) -> None:
        self.messages: list[str] = []
        self.requests: list[str] = []
        self.page = running.new_context(**settings).new_page()
        self.page.set_default_timeout(20_000)
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("dialog", lambda dialog: self.messages.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def open(self, address: str) -> Any:
        self.page.goto(address)
        self.page.wait_for_selector("#view-overview:not([hidden]) h2, #view-episodes .row")
        return self.page

    def clean(self, address: str) -> bool:
        """Return whether nothing was logged, and nothing asked for but the page itself."""
        file = address.partition("#")[0]
        return not self.messages and {url.partition("#")[0] for url in self.requests} == {file}


@pytest.fixture(scope="module")
def running() -> Iterator[Any]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "run", episodes=10, scored=20)


@pytest.fixture(scope="module")
def address(run: Path) -> str:
    return write_report([run], run.parent / "report.html").path.as_uri()


def no_sideways(page: Any) -> bool:
    """Return whether the page is no wider than its window."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 768, 1400])
def test_every_view_opens_from_disk_without_a_request(
    running: Any, address: str, scheme: str, width: int
) -> None:
    visit = Visit(running, viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = visit.open(address)
    assert page.inner_text("h1") == "run" and "maze-fo" in page.inner_text("#subtitle")
    assert page.locator("#scores svg .bar").count() == 10
    assert page.locator("#learning svg path.line").count() >= 3
    assert no_sideways(page)
    for view, content in (("Episodes", ".row"), ("Configuration", "table.fields")):
        page.click(f"nav >> text={view}")
        page.wait_for_selector(content)
        assert no_sideways(page), view
    light = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (light == "rgb(246, 247, 249)") is (scheme == "light")
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != light
    assert visit.clean(address), (visit.messages, visit.requests)
    page.context.close()


def shown(page: Any) -> int:
    """Return the number of episodes that the filters let through."""
    page.wait_for_timeout(150)
    return int(page.inner_text(".count").partition(" of ")[0].replace(",", ""))


def test_filters_find_what_is_stored(running: Any, run: Path, address: str) -> None:
    stored = {kind: list(load(run / "trajectories" / kind)) for kind in ("training", "evaluation")}
    every = [e for part in stored.values() for e in part]
    visit = Visit(running, viewport={"width": 1400, "height": 900})
    page = visit.open(f"{address}#/episodes")
    page.wait_for_selector(".row")
    assert shown(page) == len(every)

    def count(label: str, value: str) -> int:
        page.get_by_label(label, exact=True).fill(value)
        found = shown(page)
        page.get_by_label(label, exact=True).fill("")
        return found

    def chosen(label: str, value: str) -> int:
        page.get_by_label(label, exact=True).select_option(label=value)
        found = shown(page)
        page.get_by_label(label, exact=True).select_option(index=0)
        return found

    assert count("min returned", "-20") == sum(e.total_reward >= -20 for e in every)
    assert count("max length", "9") == sum(len(e.turns) <= 9 for e in every)
    assert count("min version", "3") == sum(e.oldest_version >= 3 for e in every)
    words = "your left, ABOVE you"
    assert count("Text in the episode", words) == sum(
        any(words.lower() in turn.observation for turn in e.turns) or words.lower() in e.final
        for e in every
    )
    assert count("Text in the episode", "no such words") == 0
    assert chosen("Kind", "training") == len(stored["training"])
    assert chosen("Outcome", "success") == sum(e.info["success"] for e in every)
    assert chosen("Outcome", "cut by a limit") == sum(e.ending == "truncated" for e in every)
    assert chosen("Policy", "ppo") == 20
    assert chosen("Learner's figures", "with") == 8
    page.get_by_label("Order", exact=True).select_option(label="lowest return")
    page.wait_for_timeout(150)
    first = float(page.inner_text(".row >> nth=0 >> .return").replace("−", "-"))
    assert first == min(e.total_reward for e in every)
    assert visit.clean(address), visit.messages
    page.context.close()


def test_an_episode_is_shown_token_by_token(running: Any, run: Path, address: str) -> None:
    episode = next(iter(load(run / "trajectories" / "training")))
    visit = Visit(running, viewport={"width": 1400, "height": 900})
    page = visit.open(f"{address}#/episodes/60")  # the first one of training
    page.wait_for_selector(".token")
    assert page.locator(".turn").count() == len(episode.turns) + 1
    assert page.inner_text(".bubble.seen >> nth=0 >> .said").strip() == (
        episode.turns[0].observation.strip()
    )
    tokens = page.locator(".token")
    assert tokens.count() == episode.action_tokens
    assert tokens.nth(0).inner_text().strip() in episode.turns[0].action
    tokens.nth(1).click()
    panel = page.inner_text(".token-panel")
    for name in ("log-prob (sampler)", "log-prob (learner)", "entropy", "value", "advantage"):
        assert name in panel
    assert f"{episode.turns[0].logprobs[1]:.2g}"[1:4] in panel and "weight version\t1" in panel
    page.get_by_label("Colour tokens by").select_option(label="advantage")
    assert page.locator(".token.neg").count() + page.locator(".token.pos").count() > 0
    assert "advantage along the episode" in page.inner_text(".side")
    assert page.locator(".board polyline.walk").count() == 1
    page.locator(".board input[type=range]").fill("0")
    assert page.inner_text(".board output").startswith("0 of")
    assert visit.clean(address), visit.messages
    page.context.close()


def test_everything_is_reached_by_keyboard(running: Any, address: str) -> None:
    visit = Visit(running, viewport={"width": 1400, "height": 900})
    page = visit.open(f"{address}#/episodes")
    page.wait_for_selector(".token")
    page.focus(".list")
    selected = "document.querySelector('.row[aria-selected=true]').id"
    active = "document.querySelector('.list').getAttribute('aria-activedescendant')"
    before = page.evaluate(selected)
    for key in ("ArrowDown", "ArrowDown", "ArrowUp"):
        page.keyboard.press(key)
    assert page.evaluate(selected) == page.evaluate(active) != before
    page.keyboard.press("End")
    page.wait_for_timeout(200)
    assert page.evaluate("location.hash") == "#/episodes/99"
    page.keyboard.press("Enter")
    page.wait_for_selector(".transcript:focus")
    page.focus(".token >> nth=0")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.token") == "1"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.click("nav >> text=Overview")
    page.focus("#learning svg >> nth=0")
    page.keyboard.press("ArrowLeft")
    assert "update" in page.inner_text(".tooltip") and page.is_visible(".tooltip")
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, a, input, select')].filter((e) =>"
        " !(e.getAttribute('aria-label') || e.textContent.trim() || e.closest('label'))).length"
    )
    assert unnamed == 0
    assert visit.clean(address), visit.messages
    page.context.close()


def test_a_phone_shows_the_list_then_the_episode(running: Any, address: str) -> None:
    visit = Visit(running, viewport={"width": 375, "height": 700}, has_touch=True)
    page = visit.open(address)
    page.click("nav >> text=Episodes")
    page.wait_for_selector(".row")
    assert not page.is_visible(".transcript")
    page.tap(".row >> nth=2")
    page.wait_for_selector(".transcript .token")
    assert not page.is_visible(".list") and no_sideways(page)
    page.tap("text=← List")
    assert page.is_visible(".list") and not page.is_visible(".transcript")
    assert visit.clean(address), visit.messages
    page.context.close()


@pytest.mark.parametrize(
    ("task", "cells"), [("wordle", 30), ("chess", 64), ("twenty-questions", 0)]
)
def test_each_task_is_drawn(running: Any, tmp_path: Path, task: str, cells: int) -> None:
    options: dict[str, Any] = {"max_moves": 4} if task == "chess" else {}
    made = make_run(tmp_path / "run", task, updates=1, episodes=2, scored=2, **options)
    address = write_report([made], tmp_path / "report.html").path.as_uri()
    visit = Visit(running, viewport={"width": 1280, "height": 900})
    page = visit.open(f"{address}#/episodes/2")  # by the optimal player
    page.wait_for_selector(".token")
    assert page.locator(".board .cell").count() == cells
    if task == "wordle":
        assert page.locator(".board .cell.hit").count() >= 5
    if task == "chess":
        assert page.locator(".board .glyph").count() > 10
    assert visit.clean(address), visit.messages
    page.context.close()


def test_hostile_texts_stay_texts(running: Any, run: Path, tmp_path: Path) -> None:
    folder = tmp_path / ATTACK.replace("/", "|")
    folder.mkdir()
    for path in run.glob("*.json*"):
        text = path.read_text()
        for word in ("maze-fo", "ppo", "finished", "launch", "train/made_up", "numpy"):
            text = text.replace(word, json.dumps(ATTACK)[1:-1])
        (folder / path.name).write_text(text)
    failure = {"seed": ATTACK, "error": ATTACK, "trace": ATTACK}
    (folder / "failures.jsonl").write_text(json.dumps(failure) + "\n")
    (folder / "scores.jsonl").write_text(
        json.dumps({"policy": ATTACK, "update": 1, "return_mean": 1.0}) + "\n"
    )
    first = next(iter(load(run / "trajectories" / "training")))
    turns = tuple(replace(t, observation=ATTACK, action=ATTACK + "\u202e\x00") for t in first.turns)
    bad = replace(
        first, task=ATTACK, turns=turns, final=ATTACK, player=ATTACK, info={ATTACK: ATTACK}
    )
    write_table(to_table([bad]), episodes_file(folder, "training", f"{ATTACK[9:17]}-00001-0"))
    address = write_report([folder, run], tmp_path / "report.html").path.as_uri()
    visit = Visit(running, viewport={"width": 1280, "height": 900})
    page = visit.open(address)
    for view, content in (("Episodes", ".turn"), ("Configuration", "table"), ("Overview", "h2")):
        page.click(f"nav >> text={view}")
        page.wait_for_selector(f"#view-{view.lower().replace('configuration', 'setup')} {content}")
    page.evaluate("location.hash = '#/episodes/60'")
    page.wait_for_timeout(300)
    page.evaluate("document.querySelectorAll('details').forEach((d) => d.open = true)")
    assert page.evaluate("window.sprung") is None
    assert page.locator("img").count() == 0
    assert "onerror" in page.inner_text("body"), "the texts are shown"
    assert visit.clean(address), visit.messages
    page.context.close()


def test_a_script_that_slips_in_would_not_run(running: Any, address: str) -> None:
    visit = Visit(running)
    page = visit.open(address)
    page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.sprung = 1';"
        " document.body.append(s); document.body.insertAdjacentHTML('beforeend',"
        " '<img src=x onerror=\"window.sprung = 1\">'); }"
    )
    page.wait_for_timeout(300)
    assert page.evaluate("window.sprung") is None
    assert any("Content Security Policy" in message for message in visit.messages)
    page.context.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A run in a folder of its own, and the address of a server that shows the folder."""
    import uvicorn

    run = make_run(tmp_path / "runs" / "one", updates=2, episodes=6, scored=6)
    make_run(tmp_path / "runs" / "two", seed=1, updates=2, episodes=6, scored=6)
    opened = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(application(Live([run.parent])), log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]}, daemon=True)
    thread.start()
    yield run, f"http://127.0.0.1:{opened.getsockname()[1]}/"
    server.should_exit = True
    thread.join(10)


def test_a_served_run_is_shown_and_follows_its_files(
    running: Any, served: tuple[Path, str]
) -> None:
    run, address = served
    visit = Visit(running, viewport={"width": 1400, "height": 900})
    page = visit.page
    page.goto(address)
    page.wait_for_selector("text=one")
    assert page.locator("tbody tr").count() == 2
    page.check("input >> nth=0")
    page.check("input >> nth=1")
    page.click("text=Open the chosen runs together")
    page.wait_for_selector("#scores")
    assert page.inner_text("h1") == "2 runs"
    page.click("text=All runs")
    page.click("a >> text=one")
    page.wait_for_selector("#scores")
    chart = "#learning svg >> nth=0"
    label = page.get_attribute(chart, "aria-label")
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"update": 50, "rollout/return_mean": -7.0}) + "\n")
    page.wait_for_selector('#learning svg[aria-label*="to 50"]', timeout=30_000)
    assert page.get_attribute(chart, "aria-label") != label
    page.click("nav >> text=Episodes")
    page.wait_for_selector(".token")
    page.get_by_label("Text in the episode").fill("no such words")
    page.wait_for_selector(".count:has-text('0 of 30')")
    page.get_by_label("Text in the episode").fill("success")
    page.wait_for_selector(".count:has-text('mean return')")
    assert not visit.messages
    assert all(url.startswith(address) for url in visit.requests)
    page.context.close()
