"""Loading of weights into a running vLLM engine.

Weights are loaded through vLLM's own weight-transfer interface. The transfer engine of this file is
registered by `actors.plugin` in each of vLLM's processes; it loads buckets of bytes that Ray mapped
from shared memory. An engine that is divided over several processes sends each bucket to all of
them, and each loads its part of every tensor.

On CPU vLLM repacks linear layers after loading. So weights go through its layer-wise reload, never
into parameters directly. The output embedding is repacked separately at the end. Without that, vLLM
keeps the old one if embeddings are tied, without an error, and log-probabilities are wrong by whole
nats.
"""

from dataclasses import dataclass
from typing import Any

import torch
from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead
from vllm.model_executor.model_loader.reload import (
    finalize_layerwise_reload,
    initialize_layerwise_reload,
)


@dataclass
class Nothing(WeightTransferInitInfo):
    """Initialisation message without content: the object store needs no connection."""


@dataclass
class Update(WeightTransferUpdateInfo):
    """One bucket.

    Attributes:
        metas: names, types, shapes and places of its tensors (`learners.buckets.Meta`).
        data: bytes of the bucket, a numpy array.
    """

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
            # torch would warn about read-only memory, but nothing below writes to it.
            data = data.view()
        whole = torch.frombuffer(memoryview(data), dtype=torch.uint8)
        weights = []
        for meta in update_info.metas:
            flat = whole[meta.offset : meta.offset + meta.length]
            flat = flat.view(getattr(torch, meta.dtype))
            weights.append((meta.name, flat.view(meta.shape).to(self.device)))
        self.model.load_weights(weights)

    def finish_weight_update(self) -> None:
        """Finish the reload, then repack output embeddings, since it skips tied ones."""
        finalize_layerwise_reload(self.model, self.model_config)
        for module in self.model.modules():
            if isinstance(module, ParallelLMHead):
                module.quant_method.process_weights_after_loading(module)

    def shutdown(self) -> None:
        """Nothing to release."""
