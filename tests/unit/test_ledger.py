"""The ledger's counts as metrics of an update."""

from cluster.ledger import Ledger


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
