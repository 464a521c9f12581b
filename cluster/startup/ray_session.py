"""`ray_session`: join a Ray cluster, or start a private local one and end it."""

import atexit
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import ray

from cluster.startup.address import ray_address
from cluster.startup.orphans import ended_if_raised, ended_with_this_process
from lmrl.errors import RunError, Terminated
from lmrl.interrupt import signals_raise, terminated
from lmrl.screen.capture import captured

CLEAN_UP = 5.0
"""Time limit of each step of the clean-up after SIGTERM, in seconds."""


@contextmanager
def ray_session(verbose: bool = False) -> Iterator[None]:
    """Join the cluster that RAY_ADDRESS names, or start a private local Ray and end it.

    Inside a submitted job Ray sets RAY_ADDRESS. SIGTERM and SIGUSR1 raise
    `lmrl.errors.Terminated` in the block.

    Args:
        verbose: whether to print the actors' logs.

    Raises:
        UsageError: if there is no cluster at RAY_ADDRESS.
        RunError: if Ray cannot be started or joined.
    """
    if ray.is_initialized():
        yield
        return
    address = ray_address()
    local = address == "local"
    # Ray starts workers at the lowest priority, but here they are the main work of the machine.
    os.environ.setdefault("RAY_worker_niceness", "0")
    with (
        signals_raise(),
        ended_with_this_process() if local else nullcontext(),
        _usr1_later() as now,
    ):
        try:
            with nullcontext() if verbose else _hushed(), ended_if_raised():
                ray.init(
                    address=address,
                    include_dashboard=False if local else None,
                    log_to_driver=verbose,
                    logging_level=logging.INFO if verbose else logging.ERROR,
                    configure_logging=False,
                )
        except SystemExit as error:  # of the handler of SIGTERM that Ray sets while it starts
            raise Terminated from error
        except Exception as error:  # Ray raises plain `Exception` where its processes are too slow
            raise RunError(
                f"Ray cannot be {'started' if local else 'joined'}: {error} The logs of its "
                "processes are in Ray's session directory; if the machine is busy, try again"
            ) from error
        # Ray's own handler would end the child processes first, and they could not end cleanly.
        with signals_raise():
            try:
                now()
                yield
            finally:
                if not ended_in_time(ray.shutdown):
                    # Ray's own clean-up at exit would wait as long, and then abort.
                    atexit.register(_exit_at_once)


@contextmanager
def _usr1_later() -> Iterator[Callable[[], None]]:
    """Block SIGUSR1, also for the processes that are started, until the yielded function is called.

    A batch system may send it to the whole process group. It would end Ray's processes, which the
    run needs to save. The run itself gets a signal that arrives meanwhile, at once if the process
    has other threads, or else from that function.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})

    def restore() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    try:
        yield restore
    finally:
        restore()


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep what Ray's processes print while they start; print it if Ray does not start."""
    with TemporaryDirectory(prefix="lmrl-") as folder:
        file = Path(folder) / "log.txt"
        try:
            with captured(file):
                yield
        except BaseException:
            sys.stderr.write(file.read_text(errors="replace"))
            raise


def ended_in_time(step: Callable[[], None]) -> bool:
    """Run a step of the clean-up, and return whether it finished.

    A batch system may send SIGTERM to the whole process group. Ray's processes then end too, and a
    call to them does not return. So after SIGTERM a step has a time limit.
    """
    if not terminated():
        step()
        return True
    thread = threading.Thread(target=step, daemon=True)
    thread.start()
    thread.join(CLEAN_UP)
    return not thread.is_alive()


def _exit_at_once() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(128 + signal.SIGTERM)
