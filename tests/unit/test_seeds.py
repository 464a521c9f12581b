"""The rules of seeds give the recorded numbers: runs and data made before can be made again."""

import pytest

from lmrl import seeds


def test_requests_have_the_recorded_seeds() -> None:
    found = [
        seeds.request_seed(*given) for given in ((7, 10**9, 0), (7, 10**9, 3), (1_000_005, -1, 2))
    ]
    assert found == [4292765852, 1015936460, 3312471384]


def test_episodes_of_a_group_are_sampled_differently() -> None:
    first = seeds.request_seed(7, 10**9, 3)
    found = [seeds.request_seed(7, 10**9, turn, m) for turn in range(4) for m in range(8)]
    assert found[3 * 8] == first and len(set(found)) == 32


def test_generators_draw_the_recorded_numbers() -> None:
    assert seeds.player_rng("optimal", 7).random() == pytest.approx(0.8736091751378016)
    assert seeds.shuffle_rng(3, 1).random() == pytest.approx(0.27374937593541604)
    assert seeds.mixture_rng(3).random() == pytest.approx(0.07078790830469484)
    assert seeds.order_rng(5, 6).random() == pytest.approx(0.3158576614743164)
    assert seeds.tokenizer_seed(3) == 499047
    assert seeds.replay_rng(3, 64).integers(1000) == 580


def test_seeds_of_runs_updates_and_evaluations_are_apart() -> None:
    assert [seeds.first_training_seed(run) for run in (0, 1, 899, 900)] == [
        0,
        1_000_000,
        899_000_000,
        0,
    ]
    assert seeds.decoding_seed(2, 5) == 2_000_011
    final = seeds.evaluation_seeds(seeds.FIRST_EVALUATION_SEED, 200)
    selecting = seeds.evaluation_seeds(seeds.FIRST_EVALUATION_SEED, 200, selecting=True)
    assert final == range(1_000_000_000, 1_000_000_200)
    assert selecting == range(1_001_000_000, 1_001_000_200)
