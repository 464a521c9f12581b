"""The published simulators of the dialogue tasks, for a user who has their weights.

    from lmrl.adapters.published_oracles import CausalBuyer, SeqToSeqOracle

    lmrl.make("twenty-questions", oracle=SeqToSeqOracle("twenty-questions/oracle"))
    lmrl.make("guess-my-city", oracle=SeqToSeqOracle("guess-my-city/oracle", new_tokens=128))
    lmrl.make("car-dealer", buyer=CausalBuyer("car-dealer/simulator/model"))

They read the prompts of the tasks, which are the published ones. A directory has to hold weights
and tokenizer in the form of `transformers`; Flax weights have to be converted to it first.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np


class _Model:
    """A model and its tokenizer, and the text that the model adds to a prompt.

    Args:
        path: directory of weights and tokenizer, or a name that `transformers` knows.
        kind: name of the class in `transformers`.
        device: device of the model, as torch names it.
    """

    def __init__(self, path: Path | str, kind: str, device: str) -> None:
        import transformers

        self.version = str(path)
        self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(str(path))
        self.model: Any = getattr(transformers, kind).from_pretrained(str(path)).to(device).eval()
        self.model.requires_grad_(False)

    def _read(self, prompt: str) -> Any:
        """Return the tokens of a prompt as a tensor `[1, T]` on the model's device."""
        return self.tokenizer(prompt, return_tensors="pt")["input_ids"].to(self.model.device)


class SeqToSeqOracle(_Model):
    """The oracle of a guessing game: FLAN-T5-XL, fine-tuned, in the published benchmark.

    It answers greedily. The published settings are 124 tokens of a prompt, and 4 of an answer; the
    free answers of Guess My City need more.

    Args:
        path: directory of weights and tokenizer.
        new_tokens: largest number of tokens of an answer.
        prompt_tokens: number of tokens of a prompt that it reads, from the beginning.
        device: device of the model, as torch names it.
    """

    name = "seq2seq"

    def __init__(
        self,
        path: Path | str,
        new_tokens: int = 4,
        prompt_tokens: int = 124,
        device: str = "cpu",
    ) -> None:
        super().__init__(path, "AutoModelForSeq2SeqLM", device)
        self.new_tokens, self.prompt_tokens = new_tokens, prompt_tokens

    def __call__(self, prompt: str, /) -> str:
        """Return the answer to a prompt."""
        ids = self._read(prompt)[:, : self.prompt_tokens]
        made = self.model.generate(
            input_ids=ids,
            attention_mask=ids.new_ones(ids.shape),
            pad_token_id=self.tokenizer.eos_token_id,
            do_sample=False,
            max_new_tokens=self.new_tokens,
        )
        return str(self.tokenizer.decode(made[0], skip_special_tokens=True)).strip()


class CausalBuyer(_Model):
    """The buyer of Car Dealer: GPT-2 XL, fine-tuned, in the published benchmark.

    It samples a line, and is a function of its prompt, from which the seed of the sampling follows.
    The published settings are 127 tokens of a line, and the last 896 of a prompt.

    Args:
        path: directory of weights and tokenizer.
        new_tokens: largest number of tokens of a line.
        prompt_tokens: number of tokens of a prompt that it reads, from the end.
        device: device of the model, as torch names it.
    """

    name = "causal"

    def __init__(
        self,
        path: Path | str,
        new_tokens: int = 127,
        prompt_tokens: int = 896,
        device: str = "cpu",
    ) -> None:
        super().__init__(path, "AutoModelForCausalLM", device)
        self.new_tokens, self.prompt_tokens = new_tokens, prompt_tokens
        self.newline = self.tokenizer.encode("\n")[0]

    def __call__(self, prompt: str, /) -> str:
        """Return the next line after a prompt, with its end."""
        digest = hashlib.sha256(prompt.encode(errors="replace")).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        made: list[int] = []
        ids, past = self._read(prompt)[:, -self.prompt_tokens :], None
        while len(made) < self.new_tokens:
            out = self.model(input_ids=ids, past_key_values=past, use_cache=True)
            logits = out.logits[0, -1].float().cpu().numpy().astype(np.float64)
            chances = np.exp(logits - logits.max())
            token = int(rng.choice(len(chances), p=chances / chances.sum()))
            if token in (self.newline, self.tokenizer.eos_token_id):
                break
            made.append(token)
            ids, past = ids.new_tensor([[token]]), out.past_key_values
        text = str(self.tokenizer.decode(made, skip_special_tokens=True))
        return text.partition("\n")[0] + "\n"
