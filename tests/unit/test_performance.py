"""docs/performance.md and its tables; the parts of a start; benchmarks that are asked to end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks import report
from benchmarks.report import PAGE, ROWS, TABLES, UNMEASURED, Row, render
from benchmarks.running import emit, process, run, spread
from benchmarks.start.__main__ import split
from lmrl.errors import RunError, Terminated, UsageError


def test_the_page_shows_the_committed_results() -> None:
    text = PAGE.read_text()
    assert render(text) == text, "run 'python -m benchmarks.report'"
    for name in TABLES:
        assert f"<!-- measured: {name} -->" in text
    for row in ROWS:
        assert f"| {row.name} |" in text


def test_a_row_shows_its_value_and_whether_it_falls_short(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {
        "scaling": {"ratios": {"control-plane efficiency, 64 samplers / 1": 0.8}},
        "start": {"ratios": {"start: command to first update, tiny model": 12.0}},
    }
    monkeypatch.setattr(report, "found", lambda name: found.get(name, {}))
    lines = {line.split("|")[1].strip(): line for line in report.ratios().splitlines()}
    assert "0.8, falls short" in lines["control-plane efficiency, 64 samplers / 1"]
    assert "| 12 s |" in lines["start: command to first update, tiny model"]
    assert UNMEASURED in lines["learner idle share, staleness 2"]


def test_bounds_have_a_direction() -> None:
    assert Row("a", "b", 0.9, 1.0).holds(0.9) and not Row("a", "b", 0.9, 1.0).holds(0.89)
    most = Row("a", "b", 4.0, 2.0, least=False)
    assert most.holds(4.0) and not most.holds(4.1)


def test_the_parts_of_a_start_add_up() -> None:
    seconds = {"ray": 2.0, "launch": 8.0, "push": 1.0, "sample": 3.0, "learn": 1.0, "total": 40.0}
    found = split(100.0, 104.0, 120.0, seconds)
    assert found["total"] == 20.0
    assert found["imports"] == 4.0
    assert found["sample"] == 3.0
    assert found["total"] == pytest.approx(sum(v for k, v in found.items() if k != "total"))
    assert found["rest"] == pytest.approx(1.0)


def test_spread_of_repeats() -> None:
    assert spread([3.0, 1.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 3.0}


@pytest.mark.parametrize(
    ("error", "code"),
    [(Terminated(), 143), (KeyboardInterrupt(), 130), (UsageError("x"), 2), (RunError("x"), 1)],
)
def test_exit_status_of_a_benchmark(error: BaseException, code: int) -> None:
    def main() -> None:
        raise error

    assert run(main) == code


def test_only_results_are_printed(capfd: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        os.write(1, b"a warning of a library\n")
        emit("the result")

    assert run(main) == 0
    out, err = capfd.readouterr()
    assert out == "the result\n"
    assert "a warning of a library" in err


def test_a_command_that_fails_is_an_error() -> None:
    with pytest.raises(RunError, match="ended with 3"):
        process([sys.executable, "-c", "raise SystemExit(3)"])


CHILD = "import os, time; open({path!r}, 'w').write(str(os.getpid())); time.sleep(60)"

BENCHMARK = """
import sys
from benchmarks.running import emit, process, run
sys.exit(run(lambda: print(process([sys.executable, "-c", {child!r}]))))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_benchmark_and_its_process(tmp_path: Path, number: Any, code: int) -> None:
    path = tmp_path / "pid"
    script = BENCHMARK.format(child=CHILD.format(path=str(path)))
    benchmark = subprocess.Popen(
        [sys.executable, "-c", script],
        # A shell's background job, as these tests may be, ignores SIGINT and hands that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        while not (path.exists() and path.read_text()):
            assert benchmark.poll() is None
            time.sleep(0.02)
        benchmark.send_signal(number)
        assert benchmark.wait() == code
    finally:
        benchmark.kill()
    with pytest.raises(ProcessLookupError):
        os.kill(int(path.read_text()), 0)
