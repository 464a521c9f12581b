"""vLLM behind a small interface, on CPU and GPU: submit contexts, step, load weights, score probes.

All work-arounds for vLLM are in this file and in `actors.weight_transfer`.
"""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actors.cache import cache_bytes, free_for_cache
from actors.config import SamplerConfig
from actors.messages import Decoding, Request, SamplerStale
from actors.plugin import BACKEND, check_installed, register
from actors.vocabulary import leave_out_surplus
from learners.checkpoints.guided import ARCHITECTURE, read_guidance
from learners.checkpoints.vocabulary import token_count
from lmrl.episode import Reply
from lmrl.trajectory import Ids

UNVERSIONED = "default"


@dataclass
class Running:
    """A request inside the engine: its client and the client's key."""

    client: str
    key: int


@dataclass
class Usage:
    """Counts of an engine's work since its start.

    Attributes:
        prompt_tokens: number of tokens of all contexts.
        cached_tokens: number of context tokens that were read from the prefix cache.
        sampled_tokens: number of sampled tokens.
        steps: number of engine steps.
        busy_seconds: time inside engine steps, in seconds.
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
        checkpoint: Hugging Face checkpoint directory.
        config: settings of the engine.
        context: largest number of tokens of context and action together.
        stop_ids: ids of the tokens that end an action.
        device: `cpu` or `cuda`.
        running: requests inside the engine, by their names.
        usage: counts of the engine's work.
        version: weight version that the engine serves; None serves nothing.
        early: outputs that finished while probes were scored.
        arrived: checksum of each tensor of the latest weight update, by name.
        open: whether a weight update is open.
        asleep: whether the engine has freed its GPU memory.
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
    asleep: bool = False

    def __post_init__(self) -> None:
        self._environment()
        import vllm
        from vllm.config import WeightTransferConfig

        register()
        _register_guided(self.checkpoint)
        config = self.config
        settings: dict[str, Any] = {
            "model": self.checkpoint,
            "skip_tokenizer_init": True,
            # A checkpoint's generation_config.json would change how its policy samples.
            "generation_config": "vllm",
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
        if config.tensor_parallel > 1:
            check_installed()
            settings["tensor_parallel_size"] = config.tensor_parallel
            # Worker processes of this actor. Within Ray vLLM would start actors of its own, which
            # are not in the run's bundle.
            settings["distributed_executor_backend"] = "mp"
        path = Path(self.checkpoint)
        trunks = 1 if read_guidance(path) is None else 2
        if self.device == "cpu":
            settings["block_size"] = config.block_size
            limit = int(config.kv_gigabytes * 2**30)
            # A prompt that is split over two steps draws from its seeded generator twice. vLLM then
            # rewinds the generator, which is not possible on CPU.
            settings["enable_chunked_prefill"] = False
        else:
            settings["gpu_memory_utilization"] = config.gpu_memory
            settings["enable_sleep_mode"] = config.sleep
            limit = free_for_cache(path, config)
        # vLLM would take its whole share, whatever is needed. On a GPU it would also measure what
        # is left, and count the memory that other processes take in the meantime as its own.
        size = cache_bytes(path, config, self.context, limit, trunks)
        settings["kv_cache_memory_bytes"] = size
        self.llm = vllm.LLM(**settings)
        tokens = token_count(Path(self.checkpoint))
        if tokens is not None:
            self.llm.apply_model(partial(leave_out_surplus, tokens=tokens))
        self.engine = self.llm.llm_engine
        self.llm.init_weight_transfer_engine({"init_info": {}})
        self._serial = 0
        self._made: dict[Decoding, Any] = {}

    def _environment(self) -> None:
        """Set vLLM's environment variables; the process must not have imported vLLM yet."""
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        os.environ["VLLM_NO_USAGE_STATS"] = "1"
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        if self.device != "cpu" and self.config.dtype == "float32":
            # Triton rounds float32 to 10 bits in products (TF32), which torch does not: sampler and
            # learner would differ by 5e-4 nats.
            os.environ["TRITON_F32_DEFAULT"] = "ieee"
        if self.device == "cpu":
            os.environ["VLLM_CPU_NUM_OF_RESERVED_CPU"] = "0"
            # Otherwise torch compiles a helper that counts ranks, and nothing else, for seconds.
            os.environ.setdefault("TORCH_COMPILE_DISABLE", "1")
            # Threads that spin while they wait would use the learner's cores between two steps.
            os.environ.setdefault("KMP_BLOCKTIME", "1")
            # Ray sets this to the actor's share of CPUs, which counts as one thread here.
            threads = self.config.threads or len(os.sched_getaffinity(0))
            threads = max(1, threads // self.config.tensor_parallel)
            os.environ["OMP_NUM_THREADS"] = str(threads)
            # Not bound to cores: samplers and learner use the same cores in turn. A thread that is
            # pinned to a busy core would delay its whole team at every barrier.
            os.environ["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
            os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    def submit(self, client: str, requests: Iterable[Request], decoding: Decoding) -> None:
        """Queue contexts; `step` processes them.

        The prefix cache is salted with the weight version, so that keys and values of an older
        version are never read.

        Args:
            client: name of the caller.
            requests: contexts with keys and seeds.
            decoding: sampling settings.
        """
        salt = f"v{self.version}"
        for request in requests:
            name = f"{client}/{request.key}/{self._serial}"
            self._serial += 1
            params = self._params(decoding)
            params.seed = request.seed
            prompt = {"prompt_token_ids": request.context.tolist(), "cache_salt": salt}
            # vLLM's outputs have this name; the one that `add_request` returns is internal.
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
        """Whether the engine has requests."""
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
            if running is None:  # the request was aborted
                continue
            sampled = output.outputs[0]
            ids = np.array(sampled.token_ids, np.int32)
            logprobs = np.array(
                [
                    entry[token].logprob
                    for entry, token in zip(sampled.logprobs, sampled.token_ids, strict=True)
                ],
                np.float32,
            )
            finished.append((running, Reply(ids, logprobs, _versions(sampled, len(ids)))))
            self.usage.prompt_tokens += len(output.prompt_token_ids)
            self.usage.cached_tokens += output.num_cached_tokens or 0
            self.usage.sampled_tokens += len(ids)
        return finished

    def abort(self, client: str) -> None:
        """Drop all requests of a client."""
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
        """Change β of a value-guided policy. The cache stays valid, since it does not depend on β.

        Raises:
            ValueError: if the policy is not value-guided.
        """
        if not all(self.llm.apply_model(partial(_set_beta, beta=beta))):
            raise ValueError(f"{self.checkpoint} is not a value-guided policy, so it has no beta")

    def quarantine(self) -> None:
        """Serve nothing until the next complete update."""
        self.version = None

    def sleep(self) -> None:
        """Free the GPU's memory until the next weight update, if `SamplerConfig.sleep` is set.

        Weights wait in the memory of the machine, since an update need not have all of them: a
        value-guided policy gets no new start policy. Requests in the engine are dropped.
        """
        if self.config.sleep and self.device != "cpu" and not self.asleep:
            self.quarantine()
            self.running.clear()
            self.llm.sleep(level=1)
            self.asleep = True

    def begin_load(self) -> None:
        """Open a weight update. Until `finish_load` the engine has no version and must not step."""
        self.version = None
        if self.asleep:
            self.llm.wake_up()
            self.asleep = False
        if self.open:  # an earlier update was not finished; vLLM requires that it is closed
            self.llm.finish_weight_update()
        self.llm.start_weight_update()
        self.open = True
        self.arrived = {}

    def load(self, bucket: Any) -> None:
        """Load one bucket of an open update (see `learners.buckets.Bucket`).

        Raises:
            SamplerStale: if no update is open, since this process started after the push had begun.
        """
        if not self.open:
            raise SamplerStale("this sampler was restarted within a push")
        self.arrived |= bucket.checksums()
        self.llm.update_weights({"update_info": {"metas": list(bucket.metas), "data": bucket.data}})

    def finish_load(self, version: int) -> None:
        """Close the update: from now on the engine serves `version`.

        Raises:
            SamplerStale: if no update is open, since this process started after the push had begun.
        """
        if not self.open:
            raise SamplerStale("this sampler was restarted within a push")
        self.llm.finish_weight_update(str(version))
        self.open = False
        if not self.busy:
            self.llm.reset_prefix_cache()
        self.version = version

    def score(self, probes: list[Ids]) -> list[NDArray[np.float32]]:
        """Return the log-probability of every token but the first of each probe, by prefill.

        Running requests stay in the engine and continue afterwards. Outputs that finish in the
        meantime are kept for the next `step`.

        Args:
            probes: token ids of each probe.

        Returns:
            Log-probabilities in nats, one array for each probe.
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
                    pairs = zip(output.prompt_logprobs[1:], ids[1:], strict=True)
                    scores[int(index)] = np.array(
                        [entry[int(token)].logprob for entry, token in pairs], np.float32
                    )
        return [scores[index] for index in range(len(probes))]


def _versions(sampled: Any, count: int) -> Ids:
    """Return the weight version of each token from vLLM's spans `[A]`; -1 before any push."""
    versions = np.full(count, -1, np.int32)
    for span in sampled.weight_versions or ():
        if span.version != UNVERSIONED:
            versions[span.start : span.end] = int(span.version)
    return versions


def _set_beta(model: Any, beta: float) -> bool:
    """Change β of vLLM's model, and return whether it has one."""
    known = hasattr(model, "guidance")
    if known:
        model.guidance = replace(model.guidance, beta=beta)
    return known


def _register_guided(checkpoint: str) -> None:
    """Register the value-guided model class with vLLM, if the checkpoint needs it."""
    from vllm import ModelRegistry

    if read_guidance(Path(checkpoint)) is not None:
        from actors.value_guided import ValueGuidedForCausalLM

        # The class itself, not its name: vLLM would start a process to import a name.
        ModelRegistry.register_model(ARCHITECTURE, ValueGuidedForCausalLM)
