"""Encoder layers of random numbers."""

import numpy as np

from golden.encoder import LINEAR, EncoderLayer


def random_layer(rng, *, width, wide, heads, tokens, samples):
    """A layer, and inputs for it."""

    def numbers(*shape):
        return rng.normal(size=shape).astype(np.float32)

    tensors = {}
    for name, (tensor, _) in LINEAR.items():
        shape = (wide if name == "wide" else width), (wide if name == "narrow" else width)
        tensors[f"{tensor}.weight"] = numbers(*shape) / np.float32(np.sqrt(shape[1]))
        tensors[f"{tensor}.bias"] = numbers(shape[0]) / np.float32(8)
    for name in ("attention.output", "output"):
        tensors[f"{name}.LayerNorm.weight"] = np.exp(numbers(width) / 8)
        tensors[f"{name}.LayerNorm.bias"] = numbers(width) / 8
    return EncoderLayer(tensors, heads), *(numbers(tokens, width) for _ in range(samples))
