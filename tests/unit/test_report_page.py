"""The page itself: what it embeds, what it escapes, what it forbids, and who may ask for it."""

import base64
import json
import re
import signal
import subprocess
import sys
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest
from fastapi.testclient import TestClient

from benchmarks.pages.made_run import make_run
from lmrl.cli import main
from lmrl.data.store import load
from lmrl.report.live import Live
from lmrl.report.page import render, write_report
from lmrl.report.server import application, is_loopback

HOSTILE = '</script><script>alert(1)</script>"><img src=x onerror=alert(1)>\ud800'


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "run", episodes=10, scored=20)


def block(page: str, name: str) -> bytes:
    """Return the content of a block of the page."""
    found = re.search(rf'id="block-{name}">([A-Za-z0-9+/=]*)</script>', page)
    assert found is not None, name
    return zlib.decompress(base64.b64decode(found[1]))


def embedded(page: str) -> list[list[str]]:
    """Return the texts of every embedded episode."""
    texts = json.loads(block(page, "texts"))
    said, starts = (np.frombuffer(block(page, name), "<u4") for name in ("said", "starts"))
    return [[texts[i] for i in said[low:high]] for low, high in pairwise(starts)]


def test_the_page_embeds_every_episode_as_it_is(run: Path, tmp_path: Path) -> None:
    written = write_report([run], tmp_path / "report.html")
    page = written.path.read_text()
    assert (written.runs, written.shown, written.stored) == (1, 100, 100)
    assert written.size == written.path.stat().st_size and written.problems == ()
    stored = [e for kind in ("evaluation", "training") for e in load(run / "trajectories" / kind)]
    found = embedded(page)
    assert [text[0::2][: len(e.turns)] for text, e in zip(found, stored, strict=True)] == [
        [turn.observation for turn in e.turns] for e in stored
    ]
    index = json.loads(block(page, "index"))["columns"]
    assert index["returned"] == [e.total_reward for e in stored]
    pieces = [json.loads(block(page, f"piece-{i}")) for i in range(2)]
    assert [len(piece) for piece in pieces] == [50, 50]
    tokens = json.loads(block(page, "tokens"))
    first = pieces[0][0]
    assert "".join(tokens[i] for i in first["tokens"]) == "".join(t.action for t in stored[0].turns)


def test_no_text_of_a_run_is_markup() -> None:
    page = render(HOSTILE, {"overview": "QUJD"}, ["abc"], home="./")
    assert "<img" not in page and page.count("<script") == 3 and "&lt;/script&gt;" in page
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    assert "default-src &#39;none&#39;" in policy[1] and "unsafe" not in policy[1]


def test_the_page_names_no_address() -> None:
    page = render("title", {})
    addresses = set(re.findall(r"https?://[^\s\"'`]+", page))
    assert addresses == {"http://www.w3.org/2000/svg"}, "the name of SVG, which is never fetched"


@pytest.mark.parametrize(("limit", "shown"), [(0, 0), (1, 1), (30, 30), (99, 99), (1000, 100)])
def test_the_number_of_episodes_is_limited(
    run: Path, tmp_path: Path, limit: int, shown: int
) -> None:
    written = write_report([run], tmp_path / "report.html", episodes=limit)
    page = written.path.read_text()
    data = json.loads(block(page, "overview"))
    assert (written.shown, written.stored) == (shown, 100)
    assert (f"{shown} of 100 stored episodes" in data["embedded"]) is (shown < 100)
    columns = json.loads(block(page, "index"))["columns"]
    if limit == 30:
        updates = [u for u, k in zip(columns["update"], columns["kind"], strict=True) if k == 0]
        assert set(updates) == {1, 2, 3, 4}, "training episodes are taken evenly"


def test_the_size_of_the_episodes_is_limited(run: Path, tmp_path: Path) -> None:
    whole = write_report([run], tmp_path / "whole.html")
    part = write_report([run], tmp_path / "part.html", megabytes=0.03)
    assert 0 < part.shown < whole.shown and part.size < whole.size


def test_the_command_writes_beside_the_run_and_says_where(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(run)]) == 0
    out = capsys.readouterr().out
    assert str(run / "report.html") in out and "100 of 100 episodes" in out
    out_file = tmp_path / "with space" / "Käse.html"
    assert main(["report", str(run), "--out", str(out_file), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["path"] == str(out_file) and facts["bytes"] == out_file.stat().st_size
    assert not [path for path in out_file.parent.iterdir() if path != out_file]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["report"], "RUN is missing"),
        (["report", "missing"], "missing is not a folder"),
        (["report", "."], "is not a run directory and has none in it"),
        (["report", ".", "--episodes", "-1"], "--episodes is '-1'; give a whole number"),
        (["report", ".", "--episodes", "many"], "--episodes is 'many'; give a whole number"),
        (["report", "run", "--out", "run"], "run is a folder; give a file"),
        (["report", "run", "--out", "/proc/x/report.html"], "cannot be written"),
        (["report", ".", "--megabytes", "nan"], "--megabytes is 'nan'; give a number"),
        (["serve", "missing"], "missing is not a folder"),
        (
            ["serve", ".", "--port", "99999"],
            "--port is '99999'; give a whole number at least 0 and at most 65535",
        ),
        (["serve", ".", "--host", "no.such.host.invalid"], "cannot listen at"),
    ],
)
def test_wrong_calls_get_one_sentence(
    words: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if "run" in words:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "config.json").write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    assert main(words) == 2
    err = capsys.readouterr().err
    assert sentence in err and err.count("\n") == 1 and sorted(tmp_path.rglob("*")) == before


def test_ctrl_c_ends_the_server_quietly(run: Path) -> None:
    command = [sys.executable, "-m", "lmrl", "serve", str(run.parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        assert p.stdout is not None and p.stderr is not None
        found = re.match(r"(http://127\.0\.0\.1:\d+/)", p.stdout.readline())
        assert found is not None
        with urlopen(f"{found[1]}api/runs", timeout=30) as answer:
            assert json.load(answer)["runs"][0]["name"] == "run"
        p.send_signal(signal.SIGINT)
        assert p.wait(20) == 0 and p.stderr.read() == ""


# -- server ---------------------------------------------------------------------------------------


@pytest.fixture
def client(run: Path) -> TestClient:
    return TestClient(application(Live([run.parent])), base_url="http://127.0.0.1")


def key_of(client: TestClient) -> str:
    found: str = client.get("/api/runs").json()["runs"][0]["key"]
    return found


def test_the_server_answers_with_the_page_and_its_data(client: TestClient) -> None:
    key = key_of(client)
    page = client.get("/")  # a single run is shown at once
    assert page.status_code == 200 and json.dumps([key]) in page.text
    answer = client.get("/api/overview", params={"run": key})
    assert answer.json()["runs"][0]["name"] == "run"
    again = client.get(
        "/api/overview", params={"run": key}, headers={"If-None-Match": answer.headers["ETag"]}
    )
    assert again.status_code == 304 and again.content == b""
    index = client.get("/api/index", params={"run": key}).json()
    assert len(index["columns"]["row"]) == 100
    episode = client.get(
        "/api/episode",
        params={"run": key, "number": 0, "kind": "training", "file": "update-00001-0", "row": 1},
    )
    assert episode.json()["task"] == "maze-fo"


def test_every_answer_forbids_foreign_scripts(client: TestClient) -> None:
    for path in ("/", "/api/runs", "/report?run=x", "/nothing"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/report?run=unknown", 404),
        ("/report", 422),
        ("/api/overview?run=../..", 404),
        ("/api/episode?run=KEY&number=0&kind=training&file=../../config&row=0", 404),
        ("/api/episode?run=KEY&number=0&kind=training&file=%00&row=0", 404),
        ("/api/episode?run=KEY&number=0&kind=training&file=update-00001-0&row=99999999", 404),
        ("/api/episode?run=KEY&number=x&kind=training&file=update-00001-0&row=0", 422),
        ("/docs", 404),
        ("/openapi.json", 404),
    ],
)
def test_bad_requests_are_refused(client: TestClient, path: str, code: int) -> None:
    answer = client.get(path.replace("KEY", key_of(client)))
    assert answer.status_code == code and "Traceback" not in answer.text


def test_names_of_other_sites_are_refused_on_loopback(run: Path) -> None:
    for loopback, code in ((True, 400), (False, 200)):
        client = TestClient(application(Live([run]), loopback), base_url="http://evil.example")
        assert client.get("/").status_code == code


@pytest.mark.parametrize(
    ("host", "found"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("x", False)],
)
def test_loopback_addresses_are_known(host: str, found: bool) -> None:
    assert is_loopback(host) is found


def test_an_address_that_others_reach_is_warned_of(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served: list[Any] = []
    monkeypatch.setattr("lmrl.report.server.serve", lambda *arguments: served.append(arguments))
    for host, warned in (("127.0.0.1", False), ("0.0.0.0", True)):
        assert main(["serve", str(run), "--host", host]) == 0
        out = capsys.readouterr()
        assert ("everyone who reaches it can read these runs" in out.err) is warned
        assert re.match(rf"http://{host}:\d+/", out.out)
    for _, opened, _ in served:
        opened.close()
