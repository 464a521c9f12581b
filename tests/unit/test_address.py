"""Which Ray a run joins: a wrong RAY_ADDRESS is one sentence, and soon."""

import socket
import time
from collections.abc import Iterator

import pytest

pytest.importorskip("ray")

from cluster.startup import address
from cluster.startup.address import ray_address
from lmrl.errors import UsageError


@pytest.fixture
def port() -> Iterator[int]:
    """A port where connections are taken and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield int(silent.getsockname()[1])


def refused(given: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("RAY_ADDRESS", given)
    began = time.monotonic()
    with pytest.raises(UsageError) as error:
        ray_address()
    assert time.monotonic() - began < 15
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("given", ["", "local"])
def test_without_an_address_a_run_has_a_ray_of_its_own(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", given)
    assert ray_address() == "local"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("auto", "joins any Ray of this machine"),
        ("http://127.0.0.1:8265", "'ray job submit' understands"),
        ("ray://127.0.0.1:10001", "'ray job submit' understands"),
        ("127.0.0.1", "not HOST:PORT"),
        ("127.0.0.1:123456", "not HOST:PORT"),
        ("no-such-host.invalid:6379", "no Ray head node answers"),
        ("127.0.0.1:1", "Connection refused"),
    ],
)
def test_an_address_that_cannot_be_joined_is_refused(
    given: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = refused(given, monkeypatch)
    assert sentence in said and given in said


def test_a_port_of_something_else_is_refused(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "ANSWER", 2.0)
    assert "it gave no status within 2 s" in refused(f"127.0.0.1:{port}", monkeypatch)
