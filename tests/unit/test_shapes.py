"""The shapes in signatures of losses are checked in the tests; see `tests/conftest.py`."""

from collections.abc import Callable

import jaxtyping
import pytest
import torch

from learners.algorithms.offline.bc import bc_loss
from learners.algorithms.offline.ilql import expectile_weight
from learners.algorithms.offline.mc import mc_terms
from learners.algorithms.offline.qsft import qsft_terms
from learners.algorithms.offline.sarsa import sarsa_terms
from learners.algorithms.online.losses import policy_terms, value_terms

THREE, ONE = torch.zeros(3), torch.zeros(1)


@pytest.mark.parametrize(
    "call",
    [
        lambda: bc_loss(torch.zeros(3, 3)),
        lambda: expectile_weight(THREE, ONE, 0.7),
        lambda: mc_terms(THREE, ONE),
        lambda: policy_terms(THREE, THREE, ONE, 0.2, 0.2),
        lambda: value_terms(THREE, THREE, ONE, None),
        lambda: qsft_terms(THREE, THREE, ONE),
        lambda: sarsa_terms(torch.zeros(2, 3), ONE, torch.ones(3) > 0),
    ],
)
def test_shapes_that_broadcast_by_accident_are_refused(call: Callable[[], object]) -> None:
    with pytest.raises(jaxtyping.TypeCheckError):
        call()
