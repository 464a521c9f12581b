"""The DeepSpeed engine of one rank, on CPU and GPU: build, step, export, save.

All work-arounds for DeepSpeed are in this file.
"""

import math
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from learners.buckets import Bucket, pack
from learners.config import OptimiserConfig
from learners.networks.actor_critic import Network
from learners.networks.lora import adapter_parameters
from learners.networks.outputs import Inputs
from learners.networks.per_token import PerToken
from learners.networks.values import ValueNetwork
from lmrl.errors import RunError
from lmrl.files import atomic_folder

Trained = Network | ValueNetwork

HEAD = re.compile(r"q\d+\.")
"""Names under which Q heads' weights are sent to a sampler (`ValueNetwork.exported`)."""


STATE, UNIVERSAL = "state", "universal"
"""Tags of a checkpoint: as the ranks write it, and in the form for any number of ranks."""

OTHER_RANKS = {0: "any number of ranks", 1: "fewer ranks", 2: "fewer ranks"}
"""Ranks that can go on with a checkpoint, by the ZeRO stage. DeepSpeed 0.19's universal form fails
where a rank's share of a group of parameters is empty, and at stage 3 the moments come back in
another order."""

HEADS = frozenset({"value_head", "v_head", "q_heads"})
"""Names of the modules that hold value heads."""


def parameter_groups(module: nn.Module, config: OptimiserConfig) -> list[dict[str, Any]]:
    """Return AdamW parameter groups.

    Heads and trunks are in different groups, and so are matrices and biases or norms. A parameter
    with fewer than two dimensions counts as a bias or a norm.
    """
    groups: dict[tuple[bool, bool], list[Tensor]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            shape = getattr(parameter, "ds_shape", parameter.shape)
            head = not HEADS.isdisjoint(name.split("."))
            key = (head, len(shape) >= 2)
            groups.setdefault(key, []).append(parameter)
    head_lr = config.lr if config.head_lr is None else config.head_lr
    return [
        {
            "params": parameters,
            "lr": head_lr if head else config.lr,
            "peak": head_lr if head else config.lr,
            "weight_decay": config.weight_decay if matrix else 0.0,
        }
        for (head, matrix), parameters in groups.items()
    ]


class DeepSpeedEngine:
    """A network under DeepSpeed.

    Args:
        network: network to train, with trained weights in float32.
        config: settings of the optimiser.
        device: `cpu` or `cuda`.
    """

    def __init__(self, network: Trained, config: OptimiserConfig, device: str) -> None:
        import deepspeed

        self.config, self.device = config, torch.device(device)
        self.steps = 0
        self.progress = 0.0  # share of the run's updates that are done, for a decaying schedule
        optimiser = torch.optim.AdamW(
            parameter_groups(network, config), betas=config.betas, eps=config.eps
        )
        self.engine, self.optimiser, *_ = deepspeed.initialize(
            model=network,
            optimizer=optimiser,
            config=self._settings(),
            dist_init_required=False,
        )
        if config.zero == 3:
            for module in network.modules():
                if isinstance(module, PerToken):
                    for parameter in module.reads():
                        deepspeed.zero.register_external_parameter(module, parameter)

    def _settings(self) -> dict[str, Any]:
        config = self.config
        return {
            "train_micro_batch_size_per_gpu": 1,
            "gradient_accumulation_steps": 1,
            "steps_per_print": 10**9,
            "gradient_clipping": config.clip,
            "zero_optimization": {
                "stage": config.zero,
                "stage3_param_persistence_threshold": config.zero_whole,
            },
            "zero_allow_untested_optimizer": True,
            # Use the given AdamW: DeepSpeed would compile its own for a minute.
            "zero_force_ds_cpu_optimizer": False,
        }

    @property
    def network(self) -> Trained:
        """The network inside."""
        network: Trained = self.engine.module
        return network

    def forward(self, inputs: Inputs) -> Any:
        """Run the network on one micro-batch."""
        return self.engine(inputs)

    def backward(self, loss: Tensor, last: bool) -> None:
        """Accumulate the gradient of a loss.

        Ranks average their gradients, so the caller multiplies the loss by the number of ranks.

        Args:
            loss: loss of a micro-batch, a scalar.
            last: whether this is the last micro-batch before `step`.
        """
        self.engine.set_gradient_accumulation_boundary(last)
        self.engine.backward(loss)

    def accumulate(self, last: bool) -> None:
        """Set, before a forward pass, whether `step` follows that pass."""
        self.engine.set_gradient_accumulation_boundary(last)

    def step(self) -> float:
        """Update the weights; return the norm of all ranks' gradient before clipping.

        A gradient whose norm is not finite is dropped: weights and the optimiser's state do not
        change. The norm is the same on every rank, so either all ranks drop it or none does.
        """
        factor = self._schedule()
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * factor
        if self.config.zero == 0:
            norm = self._own_norm()
            if not math.isfinite(norm):
                self.engine.zero_grad()
                return norm
            self.engine.step()
        else:
            self.engine.step()  # checks the norm itself
            if self.engine.optimizer.overflow:
                return math.inf
            norm = float(self.engine.get_global_grad_norm())
        self.steps += 1
        return norm

    def _schedule(self) -> float:
        warm = min(1.0, (self.steps + 1) / max(self.config.warmup, 1))
        return warm * (1.0 - self.progress) if self.config.decay == "linear" else warm

    def _own_norm(self) -> float:
        # Under ZeRO 0 in float32 the engine does not report one. Gradients are averaged by now.
        squares = [
            p.grad.float().square().sum() for p in self.network.parameters() if p.grad is not None
        ]
        return float(torch.stack(squares).sum().sqrt()) if squares else 0.0

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the whole weights that the sampler needs, under the sampler's names.

        Tied weights have one name only. These are the names of a checkpoint file, so every model
        class of vLLM accepts them; some classes with tied embeddings refuse a second name. Under
        ZeRO 3 this is a collective: every rank has to iterate to the end.
        """
        for weight in self.network.exported():
            with self.whole(weight.parameters):
                yield weight.name, weight.tensor()

    def critic_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the whole weights of the critic, under the names of the network's
        `critic_weights`; nothing without a critic.

        Under ZeRO 3 this is a collective: every rank has to iterate to the end.
        """
        for weight in self.network.critic_weights():
            with self.whole(weight.parameters):
                yield weight.name, weight.tensor()

    def adapters(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the whole adapters of a policy under peft's names; nothing without LoRA.

        Under ZeRO 3 this is a collective: every rank has to iterate to the end.
        """
        policy: Any = getattr(self.network, "policy", None)
        for name, parameter in adapter_parameters(policy.model) if policy is not None else ():
            with self.whole([parameter]):
                yield name, parameter.detach()

    def sizes(self) -> dict[str, int]:
        """Return numbers of elements: `parameters` and `trainable` ones of the whole network, and
        of this rank's `optimiser_state`, which is empty before the first step."""
        parameters = list(self.network.parameters())
        counts = [getattr(p, "ds_numel", p.numel()) for p in parameters]
        trained = [n for n, p in zip(counts, parameters, strict=True) if p.requires_grad]
        adam = getattr(self.optimiser, "optimizer", self.optimiser)
        states = [value for state in adam.state.values() for value in state.values()]
        moments = sum(v.numel() for v in states if torch.is_tensor(v) and v.dim())
        return {"parameters": sum(counts), "trainable": sum(trained), "optimiser_state": moments}

    def whole(self, parameters: list[nn.Parameter]) -> Any:
        """Return a context manager in which sharded parameters are whole."""
        import deepspeed

        return deepspeed.zero.GatheredParameters(parameters, enabled=self.config.zero == 3)

    def buckets(self, size: int) -> Iterator[Bucket]:
        """Yield the policy's weights as flat buckets of at most `size` bytes each."""
        # Rounded to the type of the matrix products; the sampler would round in the same way.
        kind = getattr(torch, self.config.dtype)
        yield from pack(
            (
                (name, tensor if HEAD.match(name) else tensor.to(kind))
                for name, tensor in self.named_weights()
            ),
            size,
        )

    def save(self, folder: Path, client_state: dict[str, Any]) -> None:
        """Write DeepSpeed's state; every rank has to call this.

        Args:
            folder: folder to write to.
            client_state: further values to save, which `load` returns.
        """
        self.engine.save_checkpoint(
            str(folder), tag=STATE, client_state={**client_state, "engine_steps": self.steps}
        )

    def load(self, folder: Path) -> dict[str, Any]:
        """Read what `save` wrote and return its client state; every rank has to call this.

        The state may be that of other ranks, as far as `OTHER_RANKS` says. Under ZeRO 1 and 2 each
        rank has a part of it, and DeepSpeed's universal form of the checkpoint is made beside it
        first.

        Raises:
            FileNotFoundError: if the folder has no DeepSpeed state.
            RunError: if the universal form cannot be made.
        """
        parts = len(list((folder / STATE).glob("zero_pp_rank_*_optim_states.pt")))
        world = torch.distributed.get_world_size()
        other = self.config.zero > 0 and parts not in (0, world)
        if other:
            if torch.distributed.get_rank() == 0 and not (folder / UNIVERSAL).exists():
                _make_universal(folder)
            torch.distributed.barrier()
        self.engine._config.load_universal_checkpoint = other
        tag = UNIVERSAL if other else STATE
        path, state = self.engine.load_checkpoint(str(folder), tag=tag)
        if path is None:
            raise FileNotFoundError(f"no DeepSpeed state in {folder}")
        self.steps = state["engine_steps"]
        return dict(state)


def _make_universal(folder: Path) -> None:
    """Make the universal form of DeepSpeed's checkpoint in a folder."""
    # In a process of its own: the converter starts further ones, and this one has threads.
    words = ["--num_extract_workers", "1", "--num_merge_workers", "1", "--inject_missing_state"]
    with atomic_folder(folder / UNIVERSAL) as made:
        paths = ["--input_folder", str(folder / STATE), "--output_folder", str(made)]
        done = subprocess.run(
            [sys.executable, "-m", "deepspeed.checkpoint.ds_to_universal", *paths, *words],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["without a message"])[-1]
            raise RunError(
                f"the checkpoint {folder} cannot be read by another number of ranks: {last}; "
                "go on with learner.ranks as it was"
            )
