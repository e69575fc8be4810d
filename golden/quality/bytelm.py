"""A language model of bytes, trained in this repository: small, and never quantised by anyone before.

Four Llama blocks of width 192, 1.8 million weights. `python -m golden.quality.bytelm` trains it in PyTorch on the
documentation strings of Python's standard library, with a fixed seed, and writes `bytelm.safetensors`, which is
committed: float16, rounded once after training in float32, and so the network that others are compared with. It is
measured on text it was not trained on, the language reference that `help` shows.
"""

import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from golden.quality.llama import LINEARS, WINDOW, Ids, Llama, Shape
from golden.quality.texts import documentation, in_windows, prose

SHAPE = Shape(layers=4, heads=3, cached=3, width=64, base=10_000.0)
EMBEDDED, INNER, BYTES = SHAPE.heads * SHAPE.width, 512, 256

FILE = Path(__file__).with_name("bytelm.safetensors")

STEPS, BATCH, SEED = 700, 8, 0
"""Of training: steps, windows in each."""

RATE, WARM = 3e-3, 40
"""The largest learning rate, and the steps until it is reached; it falls to a tenth with a cosine."""


@cache
def load() -> Llama:
    """The trained model."""
    from safetensors.numpy import load_file

    return Llama({name: tensor.astype(np.float32) for name, tensor in load_file(FILE).items()}, SHAPE)


def encode(text: str) -> Ids:
    """A text's bytes in UTF-8."""
    return np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int64)


@cache
def text() -> Ids:
    """The whole of `prose` in windows: int64 `(windows, WINDOW)`."""
    return in_windows(encode(prose()))


def train() -> None:
    """Trains the model and writes its file."""
    import torch
    from safetensors.numpy import save_file
    from torch.nn import functional as F

    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    text = torch.from_numpy(encode(documentation()))
    sizes = {"ffn_gate": (INNER, EMBEDDED), "ffn_up": (INNER, EMBEDDED), "ffn_down": (EMBEDDED, INNER)}
    weights: dict[str, Any] = {"token_embd.weight": torch.randn(BYTES, EMBEDDED) * EMBEDDED**-0.5}
    for layer in range(SHAPE.layers):
        for part in LINEARS:
            rows, columns = sizes.get(part, (EMBEDDED, EMBEDDED))
            small = (2 * SHAPE.layers) ** -0.5 if part in ("attn_output", "ffn_down") else 1.0
            weights[f"blk.{layer}.{part}.weight"] = torch.randn(rows, columns) * columns**-0.5 * small
        for part in ("attn_norm", "ffn_norm"):
            weights[f"blk.{layer}.{part}.weight"] = torch.ones(EMBEDDED)
    weights["output_norm.weight"] = torch.ones(EMBEDDED)
    for tensor in weights.values():
        tensor.requires_grad_()

    angles = torch.arange(WINDOW)[:, None] * SHAPE.base ** (-torch.arange(0, SHAPE.width, 2) / SHAPE.width)
    turn = torch.polar(torch.ones_like(angles), angles)[:, None]

    def normal(name: str, x: Any) -> Any:
        return F.rms_norm(x, (EMBEDDED,), weights[f"{name}.weight"], 1e-5)

    def turned(x: Any) -> Any:
        pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * turn[: x.shape[1]]).flatten(-2)

    def logits(ids: Any) -> Any:
        x = weights["token_embd.weight"][ids]
        for layer in range(SHAPE.layers):
            name = f"blk.{layer}"
            y = normal(f"{name}.attn_norm", x)
            q, k, v = (
                (y @ weights[f"{name}.attn_{part}.weight"].T).unflatten(-1, (SHAPE.heads, SHAPE.width))
                for part in "qkv"
            )
            q, k, v = (part.transpose(1, 2) for part in (turned(q), turned(k), v))
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(-2)
            x = x + mixed @ weights[f"{name}.attn_output.weight"].T
            y = normal(f"{name}.ffn_norm", x)
            wide = F.silu(y @ weights[f"{name}.ffn_gate.weight"].T) * (y @ weights[f"{name}.ffn_up.weight"].T)
            x = x + wide @ weights[f"{name}.ffn_down.weight"].T
        return normal("output_norm", x) @ weights["token_embd.weight"].T

    optimiser = torch.optim.AdamW(weights.values(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.1)
    start = time.monotonic()
    for step in range(STEPS):
        rate = RATE * min((step + 1) / WARM, 0.55 + 0.45 * np.cos(np.pi * step / STEPS))
        for group in optimiser.param_groups:
            group["lr"] = rate
        at = torch.randint(len(text) - WINDOW, (BATCH,), generator=generator)
        ids = torch.stack([text[i : i + WINDOW + 1] for i in at.tolist()])
        loss = F.cross_entropy(logits(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimiser.step()
        if step % 20 == 0 or step + 1 == STEPS:
            spent = time.monotonic() - start
            print(f"step {step:4d}  nats per byte {loss.item():.3f}  {spent:.0f} s", flush=True)
    save_file({name: tensor.detach().numpy().astype(np.float16) for name, tensor in weights.items()}, FILE)


if __name__ == "__main__":
    train()
