"""Workloads that need no file: networks by name, with the numbers of their published `config.json`."""

from itertools import pairwise
from typing import Any

from sim.workloads.language import Request, of_config
from sim.workloads.layers import Layer, Workload

CONFIGS: dict[str, dict[str, Any]] = {
    # sentence-transformers/all-MiniLM-L6-v2
    "minilm": {
        "model_type": "bert",
        "hidden_size": 384,
        "intermediate_size": 1536,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
        "max_position_embeddings": 512,
    },
    # HuggingFaceTB/SmolLM2-135M
    "smollm2-135m": {
        "model_type": "llama",
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "max_position_embeddings": 8192,
        "vocab_size": 49152,
    },
    # meta-llama/Meta-Llama-3-8B
    "llama-3-8b": {
        "model_type": "llama",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "max_position_embeddings": 8192,
        "vocab_size": 128256,
    },
}

NAMES = ("digits", *CONFIGS)
"""The names."""


def builtin(name: str, request: Request) -> Workload:
    """The workload of that name, one of `NAMES`. The batch of the digits is of images."""
    if name in CONFIGS:
        return of_config(CONFIGS[name], request, name, name)
    from sim.digits import HIDDEN, INPUTS, OUTPUTS

    widths = (INPUTS, *HIDDEN, OUTPUTS)
    layers = [Layer(f"dense {i + 1}", request.batch, n, k) for i, (k, n) in enumerate(pairwise(widths))]
    return Workload(f"digits, batch {request.batch}", tuple(layers))
