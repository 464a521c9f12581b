"""The ledger: its counts as metrics, and whether they add up."""

import pytest

from cluster.ledger import Ledger
from lmrl.errors import RunError


def test_the_counts_of_episodes_are_metrics() -> None:
    ledger = Ledger(started=9, trained=4, evaluated=2, stale=1, failed=1, oracle={"replies": 3})
    metrics = ledger.metrics()
    assert metrics == {
        "ledger/started": 9.0,
        "ledger/trained": 4.0,
        "ledger/evaluated": 2.0,
        "ledger/stale": 1.0,
        "ledger/failed": 1.0,
    }
    assert metrics["ledger/started"] - sum(list(metrics.values())[1:]) == ledger.open == 1


def test_a_ledger_that_does_not_add_up_is_an_error() -> None:
    ledger = Ledger(started=9, trained=4, evaluated=2, stale=1, failed=1)
    ledger.check(pending=1)
    with pytest.raises(RunError, match=r"of 9 started episodes 4 were trained on.* 0 are pending"):
        ledger.check(pending=0)
