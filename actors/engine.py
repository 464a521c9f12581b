"""vLLM behind a small interface: submit contexts, step, load weights, score probes. CPU and GPU
alike; every quirk of vLLM lives in this file.

Weights arrive through vLLM's own weight-transfer interface, with an engine of ours registered as
`object_store`: buckets of bytes that Ray mapped from shared memory. On CPU vLLM repacks linear
layers after loading, so weights go through its layer-wise reload, never into parameters directly,
and the output embedding is repacked by hand at the end: with tied embeddings vLLM leaves it stale
without an error, and every log-probability is then wrong by nats.
"""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lmrl.limits import COUNT, NOT_NEGATIVE, POSITIVE, Range, Used
from lmrl.rollout import Reply
from lmrl.trajectory import Ids

UNVERSIONED = "default"
BACKEND = "object_store"

CPU_HEAD_SIZES = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)
"""Attention head sizes of vLLM's CPU kernels. A copy, since vLLM takes seconds to import."""


class SamplerStale(RuntimeError):
    """There is no complete version of the weights: push first, then ask again."""


class EngineFailed(RuntimeError):
    """The engine raised within a step; its process ends, and starts again without weights."""


@dataclass(frozen=True)
class SamplerConfig:
    """A vLLM engine.

    Attributes:
        count: sampler actors, each with an engine of its own.
        threads: CPU threads of each engine; 0 is every core it may use.
        max_sequences: sequences that the engine works on at one time.
        batched_tokens: tokens of one engine step.
        kv_gigabytes: key-value cache of an engine on CPU.
        gpu_memory: share of a GPU's memory that an engine may take.
        block_size: tokens of a prefix-cache block. On CPU 32 is the smallest that vLLM takes, and
            short games need it: nothing below one block is ever reused.
        dtype: of weights and cache.
        eager: no graph capture; always so on CPU.
        seed: of the engine.
    """

    count: Annotated[int, COUNT] = 1
    threads: Annotated[int, NOT_NEGATIVE] = 0
    max_sequences: Annotated[int, COUNT] = 256
    batched_tokens: Annotated[int, COUNT] = 8192
    kv_gigabytes: Annotated[float, POSITIVE, Used("may_use_cpu", "on CPU")] = 0.5
    gpu_memory: Annotated[float, Range(above=0.0, high=1.0), Used("may_use_gpu", "on a GPU")] = 0.4
    block_size: Annotated[int, COUNT, Used("may_use_cpu", "on CPU")] = 32
    dtype: Literal["float32", "bfloat16"] = "float32"
    eager: Annotated[bool, Used("may_use_gpu", "on a GPU")] = True
    seed: Annotated[int, NOT_NEGATIVE] = 0


@dataclass(frozen=True)
class Decoding:
    """How actions are sampled.

    Attributes:
        max_tokens: longest action; one that is cut there is still given to the task.
        temperature: 0 is greedy. Training samples at 1, where sampler and learner mean the same.
        top_p, top_k: of nucleus and top-k sampling; 1 and 0 are off.
        seed: of the run; with an episode's seed and the turn it seeds each request, so that what is
            sampled does not depend on what else is in the batch.
    """

    max_tokens: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0


class Request(NamedTuple):
    """A context that waits for an action: a key of the caller's, tokens `[C]`, and a seed."""

    key: int
    context: Ids
    seed: int


@dataclass
class Running:
    """A request inside the engine."""

    client: str
    key: int


@dataclass
class Usage:
    """What an engine did so far.

    Attributes:
        prompt_tokens: tokens of all contexts.
        cached_tokens: of these, read from the prefix cache.
        sampled_tokens: tokens said.
        steps: of the engine.
        busy_seconds: time inside engine steps.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    sampled_tokens: int = 0
    steps: int = 0
    busy_seconds: float = 0.0


@dataclass
class VLLMEngine:
    """One in-process vLLM engine.

    Args:
        checkpoint: a Hugging Face checkpoint directory.
        config: of the engine.
        context: most tokens of context and action together.
        stop_ids: tokens that end an action.
        device: `cpu` or `cuda`.
        arrived: checksum of each tensor that the latest update brought, by name.
    """

    checkpoint: str
    config: SamplerConfig
    context: int
    stop_ids: list[int]
    device: str
    running: dict[str, Running] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    version: int | None = None
    early: list[Any] = field(default_factory=list)
    arrived: dict[str, int] = field(default_factory=dict)
    open: bool = False

    def __post_init__(self) -> None:
        self._environment()
        import vllm
        from vllm.config import WeightTransferConfig

        _register()
        _register_guided(self.checkpoint)
        config = self.config
        settings: dict[str, Any] = {
            "model": self.checkpoint,
            "skip_tokenizer_init": True,
            "dtype": config.dtype,
            "enforce_eager": config.eager or self.device == "cpu",
            "max_model_len": self.context,
            "max_num_seqs": config.max_sequences,
            "max_num_batched_tokens": max(config.batched_tokens, self.context),
            "enable_prefix_caching": True,
            "logprobs_mode": "processed_logprobs",
            "weight_transfer_config": WeightTransferConfig(backend=BACKEND),
            "seed": config.seed,
            "disable_log_stats": True,
        }
        if self.device == "cpu":
            settings["block_size"] = config.block_size
            # A prompt cut over two steps would draw from its seeded generator twice; vLLM turns
            # such a generator back, which those of the CPU cannot do.
            settings["enable_chunked_prefill"] = False
        else:
            settings["gpu_memory_utilization"] = config.gpu_memory
        self.llm = vllm.LLM(**settings)
        self.engine = self.llm.llm_engine
        self.llm.init_weight_transfer_engine({"init_info": {}})
        self._serial = 0
        self._made: dict[Decoding, Any] = {}

    def _environment(self) -> None:
        """Set what vLLM reads from the environment; the process must not have imported it yet."""
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        os.environ["VLLM_NO_USAGE_STATS"] = "1"
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        if self.device == "cpu":
            os.environ["VLLM_CPU_NUM_OF_RESERVED_CPU"] = "0"
            os.environ["VLLM_CPU_KVCACHE_SPACE"] = str(max(1, round(self.config.kv_gigabytes)))
            # Nothing is compiled here but a helper that counts ranks, at the cost of seconds.
            os.environ.setdefault("TORCH_COMPILE_DISABLE", "1")
            # Threads that spin while they wait would take the learner's cores between two steps.
            os.environ.setdefault("KMP_BLOCKTIME", "1")
            # Ray sets this to the actor's share of CPUs, which counts as one thread here.
            threads = self.config.threads or len(os.sched_getaffinity(0))
            os.environ["OMP_NUM_THREADS"] = str(threads)
            # Unbound: samplers and learner take turns on the same cores, and a thread that is
            # pinned beside another one stalls its whole team at every barrier.
            os.environ["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
            os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    def submit(self, client: str, requests: Iterable[Request], decoding: Decoding) -> None:
        """Queue contexts; `step` works on them.

        The prefix cache is salted with the weight version, so that no key or value of an older
        version is ever read.
        """
        salt = f"v{self.version}"
        for request in requests:
            name = f"{client}/{request.key}/{self._serial}"
            self._serial += 1
            params = self._params(decoding)
            params.seed = request.seed
            prompt = {"prompt_token_ids": request.context.tolist(), "cache_salt": salt}
            # vLLM answers under this name; the one that `add_request` returns is internal.
            self.engine.add_request(name, prompt, params)
            self.running[name] = Running(client, request.key)

    def _params(self, decoding: Decoding) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        return SamplingParams(
            max_tokens=decoding.max_tokens,
            temperature=decoding.temperature,
            top_p=decoding.top_p,
            top_k=decoding.top_k,
            logprobs=0,
            stop_token_ids=self.stop_ids,
            ignore_eos=True,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    @property
    def busy(self) -> bool:
        """Whether requests wait."""
        return bool(self.running)

    def step(self) -> list[tuple[Running, Reply]]:
        """Run one engine step and return what it finished."""
        finished = []
        began = time.perf_counter()
        outputs = self.early or self.engine.step()
        self.early = []
        self.usage.steps += 1
        self.usage.busy_seconds += time.perf_counter() - began
        for output in outputs:
            if not output.finished:
                continue
            running = self.running.pop(output.request_id, None)
            if running is None:  # aborted meanwhile
                continue
            said = output.outputs[0]
            ids = np.array(said.token_ids, np.int32)
            logprobs = np.array(
                [
                    entry[token].logprob
                    for entry, token in zip(said.logprobs, said.token_ids, strict=True)
                ],
                np.float32,
            )
            finished.append((running, Reply(ids, logprobs, _versions(said, len(ids)))))
            self.usage.prompt_tokens += len(output.prompt_token_ids)
            self.usage.cached_tokens += output.num_cached_tokens or 0
            self.usage.sampled_tokens += len(ids)
        return finished

    def abort(self, client: str) -> None:
        """Forget all requests of a client."""
        names = [name for name, running in self.running.items() if running.client == client]
        for name in names:
            del self.running[name]
        if names:
            self.engine.abort_request(names)

    def serve(self, version: int) -> None:
        """Serve the checkpoint's own weights as `version`."""
        self.llm.update_weight_version(str(version))
        self.version = version

    def set_beta(self, beta: float) -> None:
        """Change β of a value-guided policy; what the cache holds does not depend on it.

        Raises:
            ValueError: if the policy is a plain one.
        """

        def change(model: Any) -> bool:
            known = hasattr(model, "guidance")
            if known:
                model.guidance = replace(model.guidance, beta=beta)
            return known

        if not all(self.llm.apply_model(change)):
            raise ValueError(f"{self.checkpoint} holds no value-guided policy, so it has no beta")

    def quarantine(self) -> None:
        """Serve nothing until the next complete update."""
        self.version = None

    def begin_load(self) -> None:
        """Open a weight update. Until `finish_load` the engine has no version and must not step."""
        self.version = None
        if self.open:  # an earlier update was given up; vLLM wants it closed
            self.llm.finish_weight_update()
        self.llm.start_weight_update()
        self.open = True
        self.arrived = {}

    def load(self, bucket: Any) -> None:
        """Load one bucket of an open update (see `learners.engine.Bucket`).

        Raises:
            SamplerStale: if no update is open: this process started after the others had begun.
        """
        if not self.open:
            raise SamplerStale("this sampler was restarted within a push")
        self.arrived |= bucket.checksums()
        self.llm.update_weights({"update_info": {"metas": list(bucket.metas), "data": bucket.data}})

    def finish_load(self, version: int) -> None:
        """Close the update: from here on the engine holds `version`.

        Raises:
            SamplerStale: as `load` does.
        """
        if not self.open:
            raise SamplerStale("this sampler was restarted within a push")
        self.llm.finish_weight_update(str(version))
        self.open = False
        if not self.busy:
            self.llm.reset_prefix_cache()
        self.version = version

    def score(self, probes: list[Ids]) -> list[NDArray[np.float32]]:
        """Return the log-prob of every token but the first of each probe, by prefill.

        Requests that run stay in the engine and go on afterwards; what they finish meanwhile is
        kept for the next `step`.
        """
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        params = SamplingParams(
            max_tokens=1,
            prompt_logprobs=0,
            temperature=0.0,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        for index, ids in enumerate(probes):
            self.engine.add_request(
                f"probe/{index}", {"prompt_token_ids": ids.tolist()}, params.clone()
            )
        scores: dict[int, NDArray[np.float32]] = {}
        while len(scores) < len(probes):
            for output in self.engine.step():
                kind, _, index = output.request_id.partition("/")
                if kind != "probe":
                    self.early.append(output)
                elif output.finished:
                    ids = probes[int(index)]
                    said = zip(output.prompt_logprobs[1:], ids[1:], strict=True)
                    scores[int(index)] = np.array(
                        [entry[int(token)].logprob for entry, token in said], np.float32
                    )
        return [scores[index] for index in range(len(probes))]


def _versions(said: Any, count: int) -> Ids:
    """Return the weight version of each token from vLLM's spans `[A]`; -1 before any push."""
    versions = np.full(count, -1, np.int32)
    for span in said.weight_versions or ():
        if span.version != UNVERSIONED:
            versions[span.start : span.end] = int(span.version)
    return versions


def _register_guided(checkpoint: str) -> None:
    """Tell vLLM our model class, if the checkpoint needs it."""
    from vllm import ModelRegistry

    from learners.checkpoints.guided import ARCHITECTURE, read_guidance

    if read_guidance(Path(checkpoint)) is not None:
        from actors.value_guided import ValueGuidedForCausalLM

        # The class itself, not its name: vLLM would start a process to look at a name.
        ModelRegistry.register_model(ARCHITECTURE, ValueGuidedForCausalLM)


def _register() -> None:
    """Register our weight-transfer engine with vLLM, once per process."""
    import torch
    from vllm.distributed.weight_transfer.base import (
        WeightTransferEngine,
        WeightTransferInitInfo,
        WeightTransferUpdateInfo,
    )
    from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead
    from vllm.model_executor.model_loader.reload import (
        finalize_layerwise_reload,
        initialize_layerwise_reload,
    )

    @dataclass
    class Nothing(WeightTransferInitInfo):
        """Our transport needs no rendezvous."""

    @dataclass
    class Update(WeightTransferUpdateInfo):
        """One bucket."""

        metas: list[Any]
        data: Any

    class ObjectStoreEngine(WeightTransferEngine[Nothing, Update]):
        """Loads buckets of bytes."""

        init_info_cls = Nothing
        update_info_cls = Update

        def init_transfer_engine(self, init_info: Nothing) -> None:
            """Nothing to set up."""

        def start_weight_update(self) -> None:
            """Begin a layer-wise reload."""
            initialize_layerwise_reload(self.model)

        def receive_weights(self, update_info: Update) -> None:
            """Load the tensors of a bucket."""
            data = update_info.data
            if not data.flags.writeable:
                # torch warns about read-only memory; nothing below writes to it.
                data = data.view()
            whole = torch.frombuffer(memoryview(data), dtype=torch.uint8)
            weights = []
            for meta in update_info.metas:
                flat = whole[meta.offset : meta.offset + meta.length]
                flat = flat.view(getattr(torch, meta.dtype))
                weights.append((meta.name, flat.view(meta.shape).to(self.device)))
            self.model.load_weights(weights)

        def finish_weight_update(self) -> None:
            """Finish the reload, and repack output embeddings, which it leaves stale when tied."""
            finalize_layerwise_reload(self.model, self.model_config)
            for module in self.model.modules():
                if isinstance(module, ParallelLMHead):
                    module.quant_method.process_weights_after_loading(module)

        def shutdown(self) -> None:
            """Nothing to release."""

    if BACKEND not in WeightTransferEngineFactory._registry:
        WeightTransferEngineFactory.register_engine(BACKEND, ObjectStoreEngine)
