"""`Learner`, one rank of the learner group.

It uses torch and DeepSpeed, but not Ray. So the same class runs inside an actor and under plain
pytest.

The steps of an update:

1. Take this rank's share of the episodes and collate them.
2. Compute the network outputs before the first optimiser step (`OldOutputs`), if they are needed.
3. Let the algorithm `prepare` target columns.
4. For each minibatch: forward, loss, backward, step.

Every rank makes the same number of passes and steps, whatever its share, because each one is a
collective.
"""

import math
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from learners.algorithms.base import Algorithm, LossOutput, Metrics, OldOutputs
from learners.batch import Batch
from learners.buckets import Bucket
from learners.checkpoints.critic import take_critic, write_critic
from learners.checkpoints.policy import write_policy
from learners.collate import collate
from learners.config import LearnerConfig
from learners.engine import DeepSpeedEngine
from learners.inspection import network_quantities, to_rows
from learners.loading import loader, reference_policy, trained_network
from learners.memory import peak_memory
from learners.micro_batch import MicroBatch, micro_batches
from learners.networks.guidance import sampled_policy_logits
from learners.networks.outputs import Inputs
from learners.networks.target import bootstrap_columns, target_of, value_part
from learners.networks.values import ValueNetwork
from learners.old_outputs import policy_outputs, value_outputs
from learners.process_group import TorchProcessGroup, group_shares, join_group
from lmrl.errors import RunError
from lmrl.schema import from_table, table_groups, table_returns
from lmrl.tokens.codec import Codec
from lmrl.tokens.format import FormatConfig
from lmrl.trajectory import Ids


class Learner:
    """One rank.

    Args:
        algorithm: algorithm with its hyper-parameters.
        config: settings of the learner group.
        checkpoint: Hugging Face checkpoint directory with a tokenizer.
        context: largest number of tokens of a turn's context.
        rank, world: number of this process, and number of all ranks.
        address, port: host address and port of rank 0.
        device: `cpu` or `cuda`.
        seed: seed of minibatch order and head initialisation.
        updates: number of updates of the whole run, for a decaying schedule.
        form: format of the policy's contexts and replies; None is plain text.
        critic: checkpoint directory whose critic is taken over; None begins with a new one.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        config: LearnerConfig,
        checkpoint: str,
        context: int,
        rank: int = 0,
        world: int = 1,
        address: str = "127.0.0.1",
        port: int = 29500,
        device: str = "cpu",
        seed: int = 0,
        updates: int = 1,
        form: FormatConfig | None = None,
        critic: str | None = None,
    ) -> None:
        if device == "cpu":
            os.environ["DS_ACCELERATOR"] = "cpu"
            # Ray sets OMP_NUM_THREADS to the actor's share of CPUs, which counts as one thread.
            torch.set_num_threads(config.threads or max(1, (os.cpu_count() or 1) // world))
        self.algorithm, self.config, self.context = algorithm, config, context
        self.device = torch.device(device)
        self.group = TorchProcessGroup(rank, world, device)
        self.codec = Codec.load(checkpoint, form)
        self.checkpoint = checkpoint
        self.state = algorithm.start_state()
        self.seed = seed
        self.rng = np.random.default_rng([seed, rank])
        self.skipped = self.skipped_in_a_row = 0
        self.updates, self.updates_done = updates, 0
        join_group(rank, world, address, port, device, config.timeout)
        torch.manual_seed(seed)  # the same heads on every rank
        network = trained_network(algorithm, loader(checkpoint, config, device), config).to(
            self.device
        )
        if critic is not None:
            take_critic(network, algorithm.critic_form, Path(critic))
        self.reference = reference_policy(algorithm, network, checkpoint, config, device)
        if isinstance(self.reference, torch.nn.Module):
            self.reference.to(self.device)
        self.target = target_of(
            network, algorithm.target_config, self.reference, config.optimiser.sharded
        )
        self.engine = DeepSpeedEngine(network, config.optimiser, device)

    def ready(self) -> dict[str, Any]:
        """Return rank and process id, once this rank has started."""
        return {"rank": self.group.rank, "pid": os.getpid()}

    def sizes(self) -> dict[str, float]:
        """Return numbers of elements, see `DeepSpeedEngine.sizes`, and the largest memory of this
        process so far, in GB, on the machine and on its GPU."""
        on_gpu = torch.cuda.max_memory_allocated() / 2**30 if self.device.type == "cuda" else 0.0
        return self.engine.sizes() | {
            "peak_memory_gb": peak_memory(),
            "peak_gpu_memory_gb": on_gpu,
        }

    def release(self) -> None:
        """Return GPU memory that no tensor uses to the device, for a sampler that wakes up."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def update(self, tables: list[pa.Table], auxiliary: list[pa.Table] | None = None) -> Metrics:
        """Learn from some episodes; return metrics, equal on every rank.

        Args:
            tables: episodes of all ranks as Arrow tables. Every rank gets all of them and reads its
                share.
            auxiliary: episodes of a data set for a behaviour-cloning term, one table for each
                optimiser step. If there are more steps, the tables are used again from the first.

        Raises:
            RunError: if the gradient was not finite in `max_skips` optimiser steps in a row.
        """
        began = time.perf_counter()
        self.engine.progress = self.updates_done / max(self.updates, 1)
        self.updates_done += 1
        batch = self._collate(tables)
        if not self.group.total(batch.actions)[0]:  # nothing was good enough to be cloned
            return {"optimiser_steps": 0.0, "action_tokens": 0.0, "episodes": 0.0}
        clones = cycle(auxiliary) if auxiliary else None
        old = self._old_outputs(batch)
        columns, metrics, state = self._prepare(batch, old)
        prepared = time.perf_counter()
        counted: list[Metrics] = []
        stopped = False
        for epoch in range(self.algorithm.epochs):
            if epoch and self.target is not None:
                # With the bootstrap values of the first pass, a second one would learn nothing new.
                old = replace(self._old_outputs(batch), logprob=old.logprob)
                columns, *_ = self._prepare(batch, old, epoch)
            for segments in self._minibatches(batch):
                extra = None if clones is None else self._collate([next(clones)])
                counted.append(self._step(batch, segments, columns, old, extra))
                if self.algorithm.stop(counted[-1]):
                    stopped = True
                    break
            if stopped:
                break
        self.state = state
        seconds = time.perf_counter() - began
        tokens, actions, episodes = self.group.total(batch.tokens, batch.actions, batch.episodes)
        for key in counted[0]:
            metrics[key] = _mean([m[key] for m in counted])
        return metrics | {
            "optimiser_steps": float(len(counted)),
            "stopped_early": float(stopped),
            "skipped_total": float(self.skipped),
            "skipped_in_a_row": float(self.skipped_in_a_row),
            "lr": self.engine.optimiser.param_groups[0]["lr"],
            "tokens": tokens,
            "action_tokens": actions,
            "episodes": episodes,
            "distinct_rows": self.group.total(len(batch.rows))[0],
            "segments": self.group.total(batch.segments)[0],
            "prepare_seconds": prepared - began,
            "update_seconds": seconds,
            "tokens_per_s": tokens * max(len(counted), 1) / max(seconds, 1e-9),
        }

    def _collate(self, tables: list[pa.Table]) -> Batch:
        table = pa.concat_tables(tables)
        if self.algorithm.on_policy and self.algorithm.selects:
            # Every rank has all episodes, so every rank selects the same ones.
            table = table.take(self.algorithm.select(table_returns(table)))
        lengths = pc.list_value_length(table["turns"]).to_numpy()
        # Only algorithms that compare the episodes of a group need them on one rank.
        grouped = self.algorithm.group > 1
        groups = table_groups(table) if grouped else np.arange(table.num_rows)
        mine = group_shares(lengths, groups, self.group.world)[self.group.rank]
        part = table.take(pa.array(mine, pa.int64()))  # named, because a rank's share may be empty
        target_config = self.algorithm.target_config
        return collate(
            [self.codec.read(t) for t in from_table(part)],
            self.context,
            self.algorithm.observations,
            self.config.windows == "strided",
            target_config.bootstrap if target_config else "reply",
            self.config.malformed_penalty,
            groups[mine],
        )

    def _old_outputs(self, batch: Batch) -> OldOutputs:
        """Return the network outputs before the first optimiser step; zeros if not needed."""
        if isinstance(self.engine.network, ValueNetwork) and self.target is not None:
            # If a step is one pass, it contains all following states: no second pass is needed.
            steps_are_passes = self.algorithm.minibatch == 0 and len(self._passes(batch, None)) == 1
            if self.algorithm.evaluates(self.state) or not steps_are_passes:
                return value_outputs(self.engine, self.target, batch, self._passes(batch, None))
        elif self.algorithm.evaluates(self.state):
            passes = self._passes(batch, None)
            return policy_outputs(self.engine, self.target, self.reference, batch, passes)
        zeros = np.zeros(batch.entries, np.float32)
        return OldOutputs(zeros[: batch.actions], zeros, zeros[: batch.actions], zeros[None][:0])

    def _prepare(
        self, batch: Batch, old: OldOutputs, epoch: int = 0
    ) -> tuple[dict[str, torch.Tensor], Metrics, dict[str, float]]:
        given = {**self.state, "epoch": float(epoch)}
        columns, metrics, state = self.algorithm.prepare(batch, old, self.group, given)
        tensors = {
            name: torch.as_tensor(column, dtype=torch.float32, device=self.device)
            for name, column in columns.items()
        }
        return tensors, metrics, state

    def _minibatches(self, batch: Batch) -> Iterator[NDArray[np.int64]]:
        """Yield the segments of each minibatch, shuffled; every rank yields the same number."""
        if not self.algorithm.minibatch:
            # All of them, also those without a turn: a truncated episode bootstraps there.
            yield np.arange(batch.segments)
            return
        mine = np.flatnonzero(batch.segment_turns > 0)
        parts = self.algorithm.minibatches(int(self.group.total(len(mine))[0]))
        yield from np.array_split(self.rng.permutation(mine), parts)

    def _passes(
        self, batch: Batch, segments: NDArray[np.int64] | None, bootstraps: bool = True
    ) -> list[MicroBatch]:
        budget = self.config.micro_tokens
        passes = micro_batches(batch, segments, budget, bootstraps=bootstraps)
        if self.group.world > 1:
            most = int(self.group.largest(len(passes))[0])
            passes = micro_batches(batch, segments, budget, at_least=most, bootstraps=bootstraps)
        return passes

    def _step(
        self,
        batch: Batch,
        segments: NDArray[np.int64],
        columns: dict[str, torch.Tensor],
        old: OldOutputs,
        extra: Batch | None,
    ) -> Metrics:
        """Take one optimiser step on some segments."""
        # Bootstrap entries are needed only where the loss uses following states of the same pass.
        together = self.target is not None and not len(old.target_q)
        passes = self._passes(batch, segments, bootstraps=together)
        actions, observed = self.group.total(
            sum(int((m.entry < batch.actions).sum()) for m in passes),
            sum(len(m.observation) for m in passes),
        )
        normaliser = max(self.algorithm.weight(int(actions), int(observed)), 1e-8)
        extra_passes = self._passes(extra, None, bootstraps=False) if extra is not None else []
        sums: dict[str, float] = {}
        for index, micro in enumerate(passes):
            last = index == len(passes) - 1 and not extra_passes
            self.engine.accumulate(last)
            inputs = Inputs.of(micro, self.device)
            out = self.engine.forward(inputs)
            acts = micro.entry[micro.entry < batch.actions]
            at = torch.as_tensor(acts, device=self.device)
            targets = {name: column[at] for name, column in columns.items()}
            if isinstance(self.engine.network, ValueNetwork) and self.target is not None:
                out, after = bootstrap_columns(
                    batch, micro, inputs, out, old, self.target, self.engine.network
                )
                targets |= after
            terms = self.algorithm.loss(out, targets, normaliser)
            self._backward(terms, last)
            for name, value in {**terms.sums, "loss": terms.loss.detach() * actions}.items():
                sums[name] = sums.get(name, 0.0) + float(value)
        if extra_passes:
            self._clone(extra_passes, sums, actions)
        norm = self.engine.step()
        taken = math.isfinite(norm)
        if taken and self.target is not None:
            self.target.follow(value_part(self.engine.network), self.engine.whole)
        self._count_skips(not taken)
        names = sorted(sums)
        means = self.group.total(*(sums[name] for name in names))
        metrics = {n: v / max(actions, 1.0) for n, v in zip(names, means, strict=True)}
        return metrics | {"grad_norm": norm}

    def _clone(self, passes: list[MicroBatch], sums: dict[str, float], actions: float) -> None:
        """Add the gradient of the behaviour-cloning term, which has a normaliser of its own."""
        from learners.algorithms.offline.bc import bc_loss

        count = max(self.group.total(sum(len(m.entry) for m in passes))[0], 1.0)
        for index, micro in enumerate(passes):
            last = index == len(passes) - 1
            self.engine.accumulate(last)
            out = self.engine.forward(Inputs.of(micro, self.device))
            loss = bc_loss(out.logprob, normaliser=count)
            # The term does not use the critic; a zero keeps its gradients defined on every rank.
            unused = out.value.sum() + (0.0 if out.q is None else out.q.sum())
            terms = LossOutput(self.algorithm.bc_coef * loss + 0.0 * unused, {})
            self._backward(terms, last)
            sums["bc_loss"] = sums.get("bc_loss", 0.0) + float(loss) * actions

    def _backward(self, terms: LossOutput, last: bool) -> None:
        """Accumulate a gradient. If the loss is not finite, the gradient is not finite either."""
        loss = terms.loss * self.group.world
        if not torch.isfinite(loss):
            # The norm of all ranks' gradient is then not finite, and no rank takes the step.
            loss = loss * math.nan
        self.engine.backward(loss, last)

    def _count_skips(self, bad: bool) -> None:
        self.skipped += bad
        self.skipped_in_a_row = self.skipped_in_a_row + 1 if bad else 0
        if self.skipped_in_a_row >= self.config.max_skips:
            raise RunError(
                f"the gradient was not finite in {self.skipped_in_a_row} optimiser steps in a row, "
                f"and none of these steps was taken; lower learner.optimiser.lr "
                f"({self.config.optimiser.lr:g}) or start from the last checkpoint"
            )

    @torch.no_grad()
    def probe(self, probes: list[Ids]) -> list[NDArray[np.float32]]:
        """Return the sampled policy's log-probabilities of the tokens of each probe.

        The parity gate compares them with those of the samplers. If values guide the sampler, its
        policy is softmax(log π_start + β min Q).

        Args:
            probes: token ids of each probe, two or more.

        Returns:
            Log-probabilities of all tokens but the first, in nats, an array for each probe.
        """
        counts = np.array([len(ids) - 1 for ids in probes])
        tokens = np.zeros((len(probes), counts.max() + 1), np.int64)
        for index, ids in enumerate(probes):
            tokens[index, : len(ids)] = ids
        row = np.repeat(np.arange(len(probes)), counts)
        position = np.concatenate([np.arange(count) for count in counts])
        none = position[:0]
        micro = MicroBatch(
            tokens,
            counts + 1,
            row,
            position,
            none,
            np.arange(len(position)),
            tokens[row, position + 1],
            np.ones(len(position), np.bool_),
            none,
            none,
            none,
        )
        inputs = Inputs.of(micro, self.device)
        guidance, network = self.algorithm.guidance, self.engine.network
        if guidance is None:
            logprob = self.engine.forward(inputs).logprob
        else:
            assert self.reference is not None
            assert isinstance(network, ValueNetwork)
            with self.engine.whole(list(network.parameters())):
                logits = sampled_policy_logits(self.reference, network, guidance, inputs)
            chosen = F.log_softmax(logits, -1).gather(-1, inputs.entry_token[:, None])
            logprob = chosen.squeeze(-1)
        return np.split(logprob.float().cpu().numpy(), np.cumsum(counts)[:-1])

    def inspect(self, table: pa.Table) -> pa.Table:
        """Return what this learner knows about each action token of some episodes.

        Every rank has to call this, with the same episodes. Nothing is learned.

        Args:
            table: episodes as an Arrow table.

        Returns:
            One row for each episode and a list column for each quantity: those of
            `network_quantities`, and `advantage` and `target` of the algorithms that have them.
            Advantages are whitened over these episodes; those of algorithms that compare the
            episodes of a group are left out, since their groups are not complete here. An action
            that the task did not apply has no entries.
        """
        trajectories = [self.codec.read(t) for t in from_table(table)]
        batch = collate(trajectories, self.context, strided=self.config.windows == "strided")
        passes = micro_batches(batch, None, self.config.micro_tokens)
        found = network_quantities(self.engine, batch, passes, self.device)
        columns, *_ = self._prepare(batch, self._old_outputs(batch))
        for name in ("advantage", "target"):
            if name in columns and self.algorithm.group == 1:
                found[name] = columns[name].cpu().numpy()
        return to_rows(batch, found)

    def weights(self, bucket_bytes: int) -> Iterator[Bucket]:
        """Yield the policy's weights in buckets of at most `bucket_bytes` bytes.

        Every rank has to iterate to the end, but only rank 0 yields buckets.
        """
        for bucket in self.engine.buckets(bucket_bytes):
            if self.group.rank == 0:
                yield bucket

    def save(self, folder: str) -> None:
        """Write a checkpoint into an existing folder; every rank has to call this.

        The checkpoint has Hugging Face files, which `transformers` and vLLM load directly; those of
        a value-guided policy only vLLM loads (see `learners.checkpoints.guided`). The folder
        `critic/` has the critic (`learners.checkpoints.critic`), and `deepspeed/` has DeepSpeed's
        state, with optimiser, target network, algorithm state and random generators.
        """
        path = Path(folder)
        network = self.engine.network
        weights = _copies(self.engine.named_weights())
        adapters = _copies(self.engine.adapters())
        form = self.algorithm.critic_form
        critic = _copies(self.engine.critic_weights()) if form is not None else {}
        if self.group.rank == 0:
            guidance = self.algorithm.guidance
            write_policy(path, Path(self.checkpoint), network, guidance, weights, adapters)
            if form is not None:
                write_critic(path, form, critic)
        self.engine.save(
            path / "deepspeed",
            {
                "algorithm_state": self.state,
                "generators": self.group.each(
                    {"order": self.rng.bit_generator.state, "torch": torch.get_rng_state()}
                ),
                "skipped": self.skipped,
                "skipped_in_a_row": self.skipped_in_a_row,
                "updates_done": self.updates_done,
                "target": None if self.target is None else self.target.state(),
            },
        )

    def load(self, folder: str) -> None:
        """Restore the state that `save` wrote; every rank has to call this.

        The number of ranks may have been another one.
        """
        state = self.engine.load(Path(folder) / "deepspeed")
        self.state = state["algorithm_state"]
        self.skipped, self.skipped_in_a_row = state["skipped"], state["skipped_in_a_row"]
        self.updates_done = state["updates_done"]
        generators = state["generators"]
        if len(generators) == self.group.world:
            mine = generators[self.group.rank]
            self.rng.bit_generator.state = mine["order"]
            torch.set_rng_state(mine["torch"])
        else:  # of another number of ranks: none of them is this one's
            self.rng = np.random.default_rng([self.seed, self.group.rank, self.updates_done])
        if self.target is not None:
            self.target.restore(state["target"])


def _copies(tensors: Iterator[tuple[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Return copies in float32: frozen weights may be in bfloat16, and trained ones never are."""
    return {name: tensor.float().contiguous().cpu().clone() for name, tensor in tensors}


def _mean(values: list[float]) -> float:
    """Return the mean of the finite values; NaN if there are none."""
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else math.nan
