"""Rows and flat columns against twins that walk over each turn, and the Arrow form of episodes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest
import torch
import torch.nn.functional as F

from learners.algorithms.offline.bc import bc_loss
from learners.algorithms.online.ppo import PPO
from learners.batch import Batch
from learners.collate import collate
from learners.micro_batch import MicroBatch, micro_batches
from learners.networks.actor_critic import Network
from learners.networks.causal_lm import CausalLM
from learners.networks.heads import Head
from learners.networks.outputs import Inputs
from lmrl.data.store import load, write
from lmrl.episode import Episode, play
from lmrl.errors import DataError
from lmrl.schema import from_table, to_table
from lmrl.tasks import make
from lmrl.tokens.codec import Codec
from lmrl.tokens.format import Format, Plain
from lmrl.tokens.tokenizer import train_tokenizer
from lmrl.trajectory import (
    NO_FLOATS,
    NO_IDS,
    TERMINATED,
    TRUNCATED,
    Ids,
    Trajectory,
    Turn,
)

KINDS = ("history", "markov", "odd window", "even window", "forgets", "chat", "chat window")
VOCAB = 5  # so small that equal rows are common

seeds = pytest.mark.parametrize("seed", range(6))
kinds = pytest.mark.parametrize("kind", [*KINDS, "mixed"])


def test_an_action_that_the_task_did_not_apply_is_not_learned_from() -> None:
    """The maze's limit: the last reward counts in the score, and its action led nowhere."""
    codec: Any = Spelled()
    env = make("maze-fo", max_steps=3)
    episode = Episode(env, 5, codec, name="maze-fo")
    while not episode.done:
        episode.act("jump\n")
    played = episode.trajectory()
    assert len(played.turns) == 4 and played.total_reward == -13.0
    batch = collate([played])
    assert batch.turn_end.sum() == 3 and batch.reward.sum() == -12.0
    # The episode is cut where that action was chosen: the bootstrap's row is its context.
    last = int(batch.segment[batch.actions])
    assert batch.rows[batch.segment_row[last]].tolist() == played.turns[3].observation_ids.tolist()
    assert batch.next[batch.actions - 1] == batch.actions
    published = make("maze-fo", max_steps=3, faithful=True)
    episode = Episode(published, 5, codec, name="maze-fo")
    while not episode.done:
        episode.act("jump\n")
    assert collate([episode.trajectory()]).turn_end.sum() == 4


class Spelled:
    """A codec of bytes."""

    fingerprint = "bytes"

    @property
    def format(self) -> Format:
        return Plain(cast(Codec, self))

    def encode(self, text: str) -> Ids:
        return np.frombuffer(text.encode(), np.uint8).astype(np.int32)


# -- random episodes ------------------------------------------------------------------------------


def spans(kind: str, count: int, rng: np.random.Generator) -> list[int]:
    """Return how many items each of `count` contexts holds, under the rules of `rollout`."""
    window = {"markov": 1, "odd window": 5, "even window": 4, "chat window": 4}.get(kind)
    found, available = [], 1
    for _ in range(count):
        found.append(available if window is None else min(available, window))
        forgets = kind == "forgets" and rng.random() < 0.4
        available = 1 if forgets else available + 2
    return found


def random_episode(rng: np.random.Generator, kind: str, turns: int | None = None) -> Trajectory:
    """Return an episode of short random items with made-up log-probs and versions."""
    count = int(rng.integers(1, 7)) if turns is None else turns
    kind = str(rng.choice(KINDS)) if kind == "mixed" else kind

    def ids(low: int = 1) -> Ids:
        return rng.integers(0, VOCAB, size=rng.integers(low, 4)).astype(np.int32)

    chat = kind.startswith("chat")

    def lead(observation: Ids) -> int:
        return int(rng.integers(0, len(observation))) if chat else 0

    made: list[Turn] = []
    *context_spans, final_span = spans(kind, count + 1, rng)
    for span in context_spans:
        action, observation = ids(), ids()
        made.append(
            Turn(
                observation=f"see {len(made)} \u00e9\x00\n",
                observation_ids=observation,
                span=span,
                action="do\n",
                action_ids=action,
                logprobs=rng.normal(size=len(action)).astype(np.float32),
                versions=rng.integers(-1, 9, size=len(action)).astype(np.int32),
                reward=float(np.float32(rng.normal())),
                lead=lead(observation) if made else 0,
                cut=bool(rng.random() < 0.2),
                malformed=bool(rng.random() < 0.2),
            )
        )
    ending = TERMINATED if rng.random() < 0.5 else TRUNCATED
    final = ids()
    return Trajectory(
        task="made-up",
        options={"kind": kind, "window": None},
        seed=int(rng.integers(2**40)),
        turns=tuple(made),
        ending=ending,
        final="bye\n",
        final_ids=final,
        final_span=final_span,
        player="dice",
        tokenizer="none",
        info={"success": True, "share": 0.5, "last_text": "bye\n"},
        final_lead=lead(final) if made else 0,
        opening=ids() if chat else NO_IDS,
        resuming=ids() if chat else NO_IDS,
    )


def random_episodes(seed: int, kind: str, count: int = 12) -> list[Trajectory]:
    rng = np.random.default_rng([seed, KINDS.index(kind) if kind in KINDS else len(KINDS)])
    made = [random_episode(rng, kind) for _ in range(count)]
    return [*made, made[0]]  # at least one episode twice


def row_of(batch: Batch, segment: int) -> list[int]:
    """Return the tokens of a segment's row."""
    return batch.rows[batch.segment_row[segment]].tolist()


# -- collate --------------------------------------------------------------------------------------


@seeds
@kinds
def test_every_entry_sees_what_the_sampler_saw(seed: int, kind: str) -> None:
    episodes = random_episodes(seed, kind)
    batch = collate(episodes)
    n = 0
    cut = batch.actions
    for number, episode in enumerate(episodes):
        *contexts, final = episode.contexts()
        first = n
        for turn, context in zip(episode.turns, contexts, strict=True):
            said: list[int] = []
            for index, token in enumerate(turn.action_ids.tolist()):
                last = index == len(turn.action_ids) - 1
                row = row_of(batch, batch.segment[n])
                assert row[: batch.position[n] + 1] == context.tolist() + said
                assert row[batch.position[n] + 1] == batch.token[n] == token
                assert batch.reward[n] == (turn.reward if last else 0.0)
                assert batch.logprob[n] == turn.logprobs[index]
                assert batch.version[n] == turn.versions[index]
                assert batch.turn_end[n] == last
                assert batch.episode[n] == number
                said.append(token)
                n += 1
        assert batch.next[first : n - 1].tolist() == list(range(first + 1, n))
        if episode.ending == TERMINATED:
            assert batch.next[n - 1] == -1
        else:
            assert batch.next[n - 1] == cut
            row = row_of(batch, batch.segment[cut])
            assert row[: batch.position[cut] + 1] == final.tolist()
            cut += 1
    assert (n, cut, len(episodes)) == (batch.actions, batch.entries, batch.episodes)
    assert batch.segment_turns.sum() == sum(len(e.turns) for e in episodes)


@seeds
@kinds
def test_strided_windows_are_the_newer_half_at_least_in_fewer_rows(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    # Ids that tell items apart, so that a context says which item it begins with.
    episodes = [_numbered(random_episode(rng, kind, turns=20)) for _ in range(4)]
    exact, strided = collate(episodes), collate(episodes, strided=True)
    assert [t.tolist() for t in (strided.token, strided.next, strided.reward)] == [
        t.tolist() for t in (exact.token, exact.next, exact.reward)
    ]
    for n in range(exact.entries):
        full, cut = (
            row_of(batch, batch.segment[n])[: batch.position[n] + 1] for batch in (exact, strided)
        )
        assert full[len(full) - len(cut) :] == cut
        shown, kept = sorted(set(full)), sorted(set(cut))
        assert len(shown) == 1 or len(kept) >= len(shown) // 2 - 1
        assert kept[0] % 2 == 0 or kept[0] == shown[0], "a window opens with an observation"
    if kind in ("history", "markov", "forgets"):  # nothing slides
        assert strided.segments == exact.segments
    if kind == "odd window":
        assert strided.segments < 0.7 * exact.segments


def _numbered(episode: Trajectory) -> Trajectory:
    """Return the episode with every token replaced by the index of its item, without beginnings
    and leads."""

    def like(ids: Ids, index: int) -> Ids:
        return np.full(len(ids), index, np.int32)

    turns = tuple(
        replace(
            turn,
            observation_ids=like(turn.observation_ids, 2 * index),
            action_ids=like(turn.action_ids, 2 * index + 1),
            lead=0,
        )
        for index, turn in enumerate(episode.turns)
    )
    final = like(episode.final_ids, 2 * len(turns))
    return replace(
        episode, turns=turns, final_ids=final, final_lead=0, opening=NO_IDS, resuming=NO_IDS
    )


@seeds
@kinds
def test_observation_tokens_are_seen_once_with_all_that_comes_before(seed: int, kind: str) -> None:
    episodes = random_episodes(seed, kind)
    batch = collate(episodes, observations=True)
    expected = []
    for episode in episodes:
        contexts = list(episode.contexts())
        newest = [
            turn.observation_ids[turn.lead if turn.span == 1 else 0 :] for turn in episode.turns
        ]
        if episode.ending == TRUNCATED:
            newest.append(episode.final_ids[episode.final_lead if episode.final_span == 1 else 0 :])
        for observation, context in zip(newest, contexts, strict=False):
            before = len(context) - len(observation)
            expected += [
                (context[:end].tolist(), int(context[end]))
                for end in range(max(before, 1), len(context))  # nothing predicts a first token
            ]
    found = [
        (row_of(batch, segment)[: position + 1], token)
        for segment, position, token in zip(
            batch.observation_segment,
            batch.observation_position,
            batch.observation_token.tolist(),
            strict=True,
        )
    ]
    assert found == expected
    assert len(collate(episodes).observation_token) == 0


@seeds
@kinds
def test_equal_rows_are_kept_once(seed: int, kind: str) -> None:
    batch = collate(random_episodes(seed, kind))
    rows = [tuple(row.tolist()) for row in batch.rows]
    assert len(set(rows)) == len(rows) < batch.segments
    assert set(batch.segment_row.tolist()) == set(range(len(rows)))
    assert batch.tokens == sum(len(rows[r]) for r in batch.segment_row)


@seeds
def test_a_malformed_turn_loses_reward_in_training(seed: int) -> None:
    episodes = random_episodes(seed, "history")
    lost = collate(episodes).reward - collate(episodes, malformed_penalty=0.5).reward
    batch = collate(episodes)
    turns = [turn for episode in episodes for turn in episode.turns]
    assert lost[batch.turn_end].tolist() == pytest.approx([0.5 * t.malformed for t in turns])
    assert not lost[~batch.turn_end].any() and any(t.malformed for t in turns)


def test_a_history_is_one_row_and_a_markov_episode_a_row_a_turn() -> None:
    rng = np.random.default_rng(0)
    history = replace(random_episode(rng, "history", turns=6), ending=TRUNCATED)
    assert collate([history]).segment_turns.tolist() == [6]
    markov = replace(random_episode(rng, "markov", turns=6), ending=TRUNCATED)
    assert collate([markov]).segment_turns.tolist() == [1] * 6 + [0]
    assert collate([replace(markov, ending=TERMINATED)]).segment_turns.tolist() == [1] * 6


@seeds
@kinds
def test_a_batch_does_not_depend_on_its_neighbours(seed: int, kind: str) -> None:
    episodes = random_episodes(seed, kind)
    whole = collate(episodes)
    entry = bootstrap = 0
    for episode in episodes:
        alone = collate([episode])
        mine = slice(entry, entry + alone.actions)
        for name in ("position", "token", "reward", "logprob", "version", "turn_end"):
            column = getattr(alone, name)[: alone.actions]
            assert getattr(whole, name)[mine].tolist() == column.tolist()
        follow = whole.next[mine] - entry
        if episode.ending == TRUNCATED:
            at = whole.actions + bootstrap
            assert whole.position[at] == alone.position[-1]
            assert row_of(whole, whole.segment[at]) == row_of(alone, alone.segment[-1])
            follow[-1] = alone.actions
            bootstrap += 1
        else:
            follow[-1] = -1
        assert follow.tolist() == alone.next.tolist()
        entry += alone.actions


@seeds
@kinds
@pytest.mark.parametrize("limit", [3, 6, 10])
def test_a_short_context_leaves_out_the_oldest_items(seed: int, kind: str, limit: int) -> None:
    episodes = random_episodes(seed, kind)
    if kind not in KINDS[:5]:
        limit += 3  # tokens of a beginning
    batch = collate(episodes, context=limit)
    n = 0
    for episode in episodes:
        for index, turn in enumerate(episode.turns):
            context = slow_fit(episode, 2 * index + 1, turn.span, limit)
            assert len(context) <= limit
            for step in range(len(turn.action_ids)):
                row = row_of(batch, batch.segment[n])
                assert row[: batch.position[n] + 1] == context + turn.action_ids[:step].tolist()
                n += 1
    assert n == batch.actions


def test_episodes_that_cannot_be_learned_from_are_refused() -> None:
    episode = random_episode(np.random.default_rng(1), "history", turns=3)
    first, *rest = episode.turns
    long = replace(first, observation_ids=np.zeros(9, np.int32))
    with pytest.raises(DataError, match="exceeds the context of 8"):
        collate([replace(episode, turns=(long, *rest))], context=8)
    mute = replace(first, action_ids=NO_IDS, logprobs=NO_FLOATS, versions=NO_IDS)
    with pytest.raises(DataError, match="no action tokens"):
        collate([replace(episode, turns=(mute, *rest))])
    blind = replace(first, observation_ids=NO_IDS)
    with pytest.raises(DataError, match="no context tokens"):
        collate([replace(episode, turns=(blind, *rest))])


def test_no_episodes_make_an_empty_batch() -> None:
    batch = collate([])
    assert (batch.actions, batch.entries, batch.segments, batch.tokens) == (0, 0, 0, 0)
    assert micro_batches(batch, at_least=0) == []
    assert [len(m.entry) for m in micro_batches(batch, at_least=2)] == [0, 0]


# -- micros ---------------------------------------------------------------------------------------


def served(batch: Batch, passes: Sequence[MicroBatch]) -> list[int]:
    """Return the entries of all passes, after checking that each points at its own state."""
    found = []
    for micro in passes:
        for entry, state, token in zip(
            micro.entry, micro.entry_state, micro.entry_token, strict=True
        ):
            row, position = micro.state_row[state], micro.state_position[state]
            assert position == batch.position[entry]
            ids = row_of(batch, batch.segment[entry])
            assert micro.tokens[row, : len(ids)].tolist() == ids
            assert not micro.tokens[row, len(ids) :].any()
            assert token == (batch.token[entry] if entry < batch.actions else 0)
            found.append(int(entry))
        states = list(zip(micro.state_row.tolist(), micro.state_position.tolist(), strict=True))
        assert len(set(states)) == len(states)
    return found


@seeds
@kinds
@pytest.mark.parametrize("budget", [1, 40, 10_000])
def test_passes_serve_every_entry_once_within_the_budget(seed: int, kind: str, budget: int) -> None:
    batch = collate(random_episodes(seed, kind), observations=True)
    passes = micro_batches(batch, budget=budget)
    assert sorted(served(batch, passes)) == list(range(batch.entries))
    observation = np.concatenate([micro.observation for micro in passes])
    assert sorted(observation.tolist()) == list(range(len(batch.observation_token)))
    for micro in passes:
        assert micro.tokens.size <= budget or len(micro.tokens) == 1
        assert (micro.observation_token == batch.observation_token[micro.observation]).all()
        assert (
            micro.state_position[micro.observation_state]
            == batch.observation_position[micro.observation]
        ).all()
        for index, entry in enumerate(micro.observation):
            ids = row_of(batch, batch.observation_segment[entry])
            row = micro.state_row[micro.observation_state[index]]
            assert micro.tokens[row, : len(ids)].tolist() == ids
    assert sum(len(micro.tokens) for micro in passes) == len(batch.rows)


@seeds
@kinds
def test_passes_of_some_segments_and_without_bootstraps(seed: int, kind: str) -> None:
    batch = collate(random_episodes(seed, kind))
    actions = micro_batches(batch, budget=30, bootstraps=False)
    assert sorted(served(batch, actions)) == list(range(batch.actions))
    order = np.random.default_rng(seed).permutation(batch.segments)
    parts = [served(batch, micro_batches(batch, part, 30)) for part in np.array_split(order, 3)]
    assert sorted(entry for part in parts for entry in part) == list(range(batch.entries))
    for part, entries in zip(np.array_split(order, 3), parts, strict=True):
        assert set(batch.segment[entries]) <= set(part.tolist())
    nothing = micro_batches(batch, np.empty(0, np.int64), 30, at_least=3)
    assert [len(micro.entry) for micro in nothing] == [0, 0, 0]
    more = micro_batches(batch, budget=30, at_least=len(micro_batches(batch, budget=30)) + 2)
    assert sorted(served(batch, more)) == list(range(batch.entries))
    assert [len(micro.entry) for micro in more[-2:]] == [0, 0]


# -- the same numbers as turn by turn --------------------------------------------------------------


def tiny_network(chunk: int = 4096) -> Network:
    """Return a two-layer transformer with random weights and a value head."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCAB,
        n_positions=64,
        n_embd=16,
        n_layer=2,
        n_head=2,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        initializer_range=0.3,
    )
    head = Head(16, 1, 0.5, "linear")
    torch.nn.init.normal_(head.weight)
    return Network(CausalLM(GPT2LMHeadModel(config)), None, head, value_scale=3.0, chunk=chunk)


def value_head(network: Network) -> Any:
    assert network.value_head is not None
    return network.value_head


def naive(network: Network, episodes: Sequence[Trajectory]) -> Iterator[torch.Tensor]:
    """Yield log-probs `[A]` and values `[A]` of each turn: one full forward pass a turn."""
    model: Any = network.policy.model
    for episode in episodes:
        for turn, context in zip(episode.turns, episode.contexts(), strict=False):
            ids = torch.tensor(np.concatenate([context, turn.action_ids]), dtype=torch.long)[None]
            out = model(input_ids=ids, output_hidden_states=True)
            states = slice(len(context) - 1, ids.shape[1] - 1)
            logp = F.log_softmax(out.logits[0, states], -1)
            chosen = logp.gather(-1, ids[0, len(context) :, None]).squeeze(-1)
            value = value_head(network)(out.hidden_states[-1][0, states])[0].squeeze(-1)
            yield torch.stack([chosen, network.value_scale * value])


def gradients(network: Network, loss: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, list(network.parameters()), allow_unused=True))


@kinds
@pytest.mark.parametrize(("budget", "chunk"), [(10_000, 4096), (40, 3)])
def test_loss_and_gradient_are_those_of_turn_by_turn(kind: str, budget: int, chunk: int) -> None:
    episodes = random_episodes(0, kind)
    batch = collate(episodes)
    assert len(batch.rows) < batch.segments
    network = tiny_network(chunk)
    rng = np.random.default_rng(0)
    columns = {
        name: torch.tensor(rng.normal(size=batch.actions), dtype=torch.float32)
        for name in ("old_value", "advantage", "target")
    }
    with torch.no_grad():
        logprob, value = torch.cat(list(naive(network, episodes)), dim=1)
    columns["old_logprob"] = logprob + 0.1 * columns["advantage"]
    ppo = PPO(value_scale=3.0, value_clip=0.5)

    terms, cloned = torch.zeros(()), torch.zeros(())
    for micro in micro_batches(batch, budget=budget, bootstraps=False):
        out = network(Inputs.of(micro))
        at = torch.as_tensor(micro.entry)
        assert torch.allclose(out.logprob, logprob[at], atol=1e-5)
        assert torch.allclose(out.value, value[at], atol=1e-5)
        targets = {name: column[at] for name, column in columns.items()}
        terms = terms + ppo.loss(out, targets, batch.actions).loss
        cloned = cloned + bc_loss(out.logprob, normaliser=batch.actions)
    ours = gradients(network, terms + cloned)

    slow_logprob, slow_value = torch.cat(list(naive(network, episodes)), dim=1)
    ratio = (slow_logprob - columns["old_logprob"]).exp()
    gain = columns["advantage"]
    policy = -torch.minimum(gain * ratio, gain * ratio.clamp(0.8, 1.2)).mean()
    old, target = columns["old_value"], columns["target"]
    near = old + (slow_value - old).clamp(-0.5, 0.5)
    square = torch.maximum((slow_value - target) ** 2, (near - target) ** 2) / 9.0
    slow = policy + ppo.value_coef * 0.5 * square.mean() - slow_logprob.mean()
    assert (terms + cloned).item() == pytest.approx(slow.item(), abs=1e-5)
    theirs = gradients(network, slow)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine is not None and other is not None
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)
    assert max(float(g.abs().max()) for g in ours) > 0.1


def test_bootstrap_values_and_observation_logprobs_are_those_of_the_full_model() -> None:
    episodes = random_episodes(0, "mixed")
    batch = collate(episodes, observations=True)
    network = tiny_network()
    model: Any = network.policy.model
    finals = [list(e.contexts())[-1] for e in episodes if e.ending == TRUNCATED]
    checked = 0
    with torch.no_grad():
        for micro in micro_batches(batch, budget=60):
            out = network(Inputs.of(micro))
            for place in np.flatnonzero(micro.entry >= batch.actions):
                ids = torch.tensor(finals[micro.entry[place] - batch.actions])[None].long()
                hidden = model(input_ids=ids, output_hidden_states=True).hidden_states[-1]
                value = network.value_scale * value_head(network)(hidden[0, -1])[0]
                assert out.value[place].item() == pytest.approx(value.item(), abs=1e-5)
                checked += 1
            for place, entry in enumerate(micro.observation):
                row = row_of(batch, batch.observation_segment[entry])
                ids = torch.tensor(row[: batch.observation_position[entry] + 1])[None]
                logp = F.log_softmax(model(input_ids=ids).logits[0, -1], -1)
                expected = logp[int(batch.observation_token[entry])].item()
                assert out.observation_logprob[place].item() == pytest.approx(expected, abs=1e-5)
    assert checked == len(finals) > 0


# -- the Arrow form -------------------------------------------------------------------------------


def plain(trajectory: Trajectory) -> Any:
    """Return an episode as values that compare with ==."""

    def simple(record: Any) -> dict[str, Any]:
        fields = {name: getattr(record, name) for name in record.__slots__}
        return {
            n: (v.dtype, v.tolist()) if isinstance(v, np.ndarray) else v for n, v in fields.items()
        }

    return {**simple(trajectory), "turns": [simple(turn) for turn in trajectory.turns]}


def as_plain(trajectories: Sequence[Trajectory]) -> list[Any]:
    return [plain(trajectory) for trajectory in trajectories]


def varied() -> list[Trajectory]:
    """Return episodes with everything that may be empty, and some that are not."""
    rng = np.random.default_rng(0)
    made = random_episodes(0, "mixed", count=8)
    none = random_episode(rng, "history", turns=0)
    text = tuple(
        replace(
            turn, observation_ids=NO_IDS, action_ids=NO_IDS, logprobs=NO_FLOATS, versions=NO_IDS
        )
        for turn in made[1].turns
    )
    bare = replace(made[1], turns=text, final_ids=NO_IDS, final="", tokenizer="", info={})
    return [made[0], none, *made[1:4], bare, *made[4:], none]


def test_table_round_trip() -> None:
    episodes = varied()
    table = to_table(episodes)
    table.validate(full=True)
    assert table.num_rows == len(episodes)
    assert as_plain(from_table(table)) == as_plain(episodes)


@pytest.mark.parametrize("episodes", [[], [random_episode(np.random.default_rng(0), "markov", 0)]])
def test_table_without_turns(episodes: list[Trajectory]) -> None:
    table = to_table(episodes)
    table.validate(full=True)
    assert as_plain(from_table(table)) == as_plain(episodes)


def test_table_slices_takes_and_joins() -> None:
    episodes = varied()
    table, wanted = to_table(episodes), as_plain(episodes)
    for low in range(len(episodes)):
        for length in (0, 1, 3):
            part = from_table(table.slice(low, length))
            assert as_plain(part) == wanted[low : low + length]
    picks = [5, 0, 0, 7, 2]
    assert as_plain(from_table(table.take(picks))) == [wanted[i] for i in picks]
    assert as_plain(from_table(table.slice(2).take(picks[1:4]))) == [
        wanted[i + 2] for i in [0, 0, 7]
    ]
    joined = pa.concat_tables([table.slice(1, 4), table, table.slice(8)])
    assert as_plain(from_table(joined)) == wanted[1:5] + wanted + wanted[8:]
    assert as_plain(from_table(joined.take([0, 6, 4]))) == [wanted[1], wanted[2], wanted[0]]


def test_table_through_the_wire_and_parquet(tmp_path: Path) -> None:
    episodes = varied()
    table = to_table(episodes)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table.slice(2, 5))
    received = pa.ipc.open_stream(sink.getvalue()).read_all()
    assert as_plain(from_table(received)) == as_plain(episodes[2:7])
    assert write(episodes, tmp_path, shard=4) == len(episodes)
    assert as_plain(list(load(tmp_path))) == as_plain(episodes)


def test_collate_reads_tables_as_it_reads_episodes() -> None:
    episodes = random_episodes(2, "mixed")
    direct, read = collate(episodes), collate(from_table(to_table(episodes)))
    for name, column in vars(direct).items():
        other = getattr(read, name)
        if name == "rows":
            assert [row.tolist() for row in other] == [row.tolist() for row in column]
        else:
            assert np.array_equal(other, column), name


# -- codec and contexts ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(["move left\n", "There is a wall above you.\n"], 300, folder)
    return Codec.load(folder)


def test_codec_reads_text_that_no_model_has_seen(codec: Codec) -> None:
    text = play(make("maze-po", max_steps=5), "random", seed=1, name="maze-po")
    assert all(len(turn.action_ids) == 0 for turn in text.turns)
    read = codec.read(text)
    for turn, original in zip(read.turns, text.turns, strict=True):
        assert codec.decode(turn.observation_ids) == original.observation
        assert codec.decode(turn.action_ids) == original.action
        assert turn.logprobs.tolist() == [0.0] * len(turn.action_ids)
        assert turn.versions.tolist() == [-1] * len(turn.action_ids)
        assert (turn.span, turn.reward) == (original.span, original.reward)
    assert codec.decode(read.final_ids) == text.final
    assert len(read.opening) == len(read.resuming) == 0
    changed = {"turns", "final_ids", "tokenizer", "opening", "resuming"}
    for name in set(Trajectory.__slots__) - changed:
        assert getattr(read, name) == getattr(text, name)
    assert read.tokenizer == codec.fingerprint
    # The same as playing with the codec from the start.
    played = play(make("maze-po", max_steps=5), "random", 1, "maze-po", codec=codec)
    assert plain(played) == plain(read)


def test_codec_keeps_what_its_own_policy_sampled(codec: Codec) -> None:
    episode = random_episode(np.random.default_rng(0), "history")
    own = replace(episode, tokenizer=codec.fingerprint)
    assert codec.read(own) is own
    foreign = codec.read(replace(own, tokenizer="another"))
    assert codec.decode(foreign.turns[0].action_ids) == own.turns[0].action


def slow_fit(episode: Trajectory, end: int, span: int, limit: int) -> list[int]:
    """Return the longest context that fits by trying all: whole, or one that opens with an
    observation. `end` is the index after the newest observation among the items."""
    items, leads = [], []
    for turn in episode.turns:
        items += [turn.observation_ids.tolist(), turn.action_ids.tolist()]
        leads += [turn.lead, 0]
    items.append(episode.final_ids.tolist())
    leads.append(episode.final_lead)
    found: list[int] = []
    for count in range(1, span + 1):
        first = end - count
        beginning = episode.opening if first % 2 == 0 else episode.resuming
        context = (
            beginning.tolist() + items[first][leads[first] :] + [*chain(*items[first + 1 : end])]
        )
        if len(context) <= limit and (count % 2 or count == span):
            found = context
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_newest_items_that_fit_are_a_context(kind: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        episode = random_episode(rng, kind)
        items = episode.items()
        end = 2 * int(rng.integers(0, len(episode.turns) + 1)) + 1
        span = int(rng.integers(1, end + 1))
        limit = int(rng.integers(0, 15))
        fits = items.fitting(end, span, limit)
        context = items.context(end, fits).tolist() if fits else []
        assert context == slow_fit(episode, end, span, limit)
