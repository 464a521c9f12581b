"""`compare`: a check that a sampler has the learner's weights.

Rounding and wrong weights both change log-probabilities. In bfloat16 rounding alone changes the one
of a rare token by half a nat. So the gate has four criteria:

- the checksum of every received tensor, which does not depend on rounding;
- the mean and the 95 % quantile of the differences over likely tokens, which a wrong matrix changes
  and a rare token does not;
- the maximum over all tokens, which also detects errors in a few tokens only.

Measured on correct pushes of SmolLM2-135M and of the tiny models, with trained and with perturbed
weights, on the probes of Wordle, Guess My City and the maze (largest of each, in nats):

| type     | mean    | quantile | maximum |
|----------|---------|----------|---------|
| float32  | 2.3e-6  | 1.0e-5   | 1.1e-4  |
| bfloat16 | 0.049   | 0.14     | 0.61    |
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MEAN, QUANTILE = 0.05, 0.15
"""Limits of mean and quantile over likely tokens, as a share of the limit of the maximum."""

BORDER = 0.05
"""Largest share of a probe's tokens that may lie inside the nucleus on one side only."""

SHOWN = 3
"""Largest number of tensor names in an error message."""


class Fingerprint(NamedTuple):
    """Numbers that differ between different weights.

    Attributes:
        logprobs: log-probability of every token but the first of each probe, in nats.
        checksums: checksum of each tensor, by name.
    """

    logprobs: list[NDArray[np.floating]]
    checksums: dict[str, int]


@dataclass(frozen=True)
class Parity:
    """The differences between a sampler and the learner.

    Attributes:
        mean, quantile: mean and 95 % quantile of the differences of log-probabilities over likely
            tokens, in nats. Likely tokens are the half of the probes' tokens with the higher
            log-probability in the learner.
        maximum: largest difference over all tokens, in nats; NaN if one of them is NaN.
        mean_all: mean difference over all tokens, in nats.
        tensors: names of tensors that arrived with wrong bytes, or not at all.
        worst: probe, position and token id of the largest difference.
        tolerance: limit of the maximum, in nats.
    """

    mean: float
    quantile: float
    maximum: float
    mean_all: float
    tensors: tuple[str, ...]
    worst: tuple[int, int, int]
    tolerance: float

    @property
    def refused(self) -> list[str]:
        """Part of a sentence for each criterion that fails; empty if all are met."""
        found = []
        if self.tensors:
            names = ", ".join(self.tensors[:SHOWN])
            more = f" and {len(self.tensors) - SHOWN} more" if len(self.tensors) > SHOWN else ""
            found.append(f"the checksum of {names}{more} is not that of what was sent")
        for name, value, share in (
            ("mean over likely tokens", self.mean, MEAN),
            ("95 % quantile over likely tokens", self.quantile, QUANTILE),
            ("maximum", self.maximum, 1.0),
        ):
            limit = share * self.tolerance
            if not value <= limit:  # also true for NaN
                found.append(f"the {name} is {value:.3g} nats (limit {limit:.3g})")
        return found

    def sentence(self) -> str:
        """Return a sentence with the failed criteria and the place of the largest difference."""
        probe, position, token = self.worst
        advice = (
            "the sampler's weights are not the learner's"
            if self.tensors
            else "the sampler's weights are not the learner's, or the model rounds more than "
            f"push.tolerance {self.tolerance:g} allows; the limits of mean and quantile are "
            f"{MEAN:g} and {QUANTILE:g} of it"
        )
        return (
            f"{'; '.join(self.refused)}; the largest difference of log-probs is on token {token}, "
            f"position {position} of probe {probe}: {advice}"
        )


def compare(
    sent: Fingerprint,
    held: Fingerprint,
    probes: Sequence[NDArray[np.integer[Any]]],
    tolerance: float,
) -> Parity:
    """Return the differences between a sampler and the learner.

    Args:
        sent: log-probabilities and checksums of the learner.
        held: log-probabilities and checksums of the sampler.
        probes: token sequences whose log-probabilities are compared.
        tolerance: largest allowed difference of log-probabilities, in nats.
    """
    expected = np.concatenate(sent.logprobs).astype(np.float64)
    gaps = [_gap(a, b) for a, b in zip(held.logprobs, sent.logprobs, strict=True)]
    gap = np.concatenate(gaps)
    likely = gap[expected >= np.median(expected)]
    largest = [float(np.nan_to_num(part, nan=np.inf).max(initial=-1.0)) for part in gaps]
    probe = int(np.argmax(largest))
    position = int(np.argmax(np.nan_to_num(gaps[probe], nan=np.inf))) + 1
    return Parity(
        mean=float(likely.mean()),
        quantile=float(np.quantile(likely, 0.95)),
        maximum=float(gap.max()),
        mean_all=float(gap.mean()),
        tensors=differing(sent.checksums, held.checksums),
        worst=(probe, position, int(probes[probe][position])),
        tolerance=tolerance,
    )


def _gap(
    held: NDArray[np.floating[Any]], sent: NDArray[np.floating[Any]]
) -> NDArray[np.floating[Any]]:
    """Return the difference of log-probabilities of each token of a probe, in nats.

    A policy with a nucleus gives the tokens outside probability 0. Two such tokens are equal. A
    token at the border of the nucleus may be inside on one side only, by rounding: these are not
    counted either, unless they are more than `BORDER` of the tokens.
    """
    held, sent = held.astype(np.float64), sent.astype(np.float64)
    outside, also = np.isneginf(held), np.isneginf(sent)
    with np.errstate(invalid="ignore"):
        gap = np.abs(held - sent)
    gap[outside & also] = 0.0
    border = outside ^ also
    if border.mean() <= BORDER:
        gap[border] = 0.0
    return gap


def differing(sent: Mapping[str, int], held: Mapping[str, int]) -> tuple[str, ...]:
    """Return the names of tensors whose checksums differ, or that only one side has."""
    return tuple(sorted(dict(set(sent.items()) ^ set(held.items()))))
