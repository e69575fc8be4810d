"""Products of language models, from the `config.json` that Hugging Face's transformers writes beside their weights."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from golden.errors import GossetError
from sim.workloads.layers import Layer, Unmapped, Workload, checked

Phase = Literal["decode", "prefill", "encode"]
"""Decode computes one new token per sequence, prefill all tokens of the prompt; an encoder only encodes."""

GATED = ("llama", "mistral", "qwen2", "qwen3")
"""Values of `model_type` with grouped keys, and a feed-forward part with a gate."""

FAMILIES = (*GATED, "gpt2", "bert")
"""The values of `model_type` that are known."""

SQUARE = "attention is counted as whole rectangles: what a causal mask leaves out, up to half in prefill, is in it"


@dataclass(frozen=True, kw_only=True)
class Request:
    """How a network is run.

    Parameters
    ----------
    phase : "decode", "prefill" or "encode", optional
        The first one that the network has if none is given.
    batch : int
        Sequences.
    context : int, optional
        Tokens of each sequence that attention reads, new ones included; as many as the network takes, up to 1,024, if
        none are given.
    """

    phase: Phase | None = None
    batch: int = 1
    context: int | None = None

    def __post_init__(self) -> None:
        if self.phase is not None and self.phase not in get_args(Phase):
            raise GossetError(f"The phase is one of {', '.join(get_args(Phase))}, not {self.phase!r}.")
        checked(self.batch, "The batch")
        if self.context is not None:
            checked(self.context, "The context")


class Config:
    """The keys of a `config.json`, checked as they are read.

    Parameters
    ----------
    values : mapping
    source : str
        The file, for messages.
    """

    def __init__(self, values: Mapping[str, Any], source: str) -> None:
        self.values, self.source = values, source

    def size(self, key: str, default: int | None = None) -> int:
        """A positive integer; `default` where the key is missing or null."""
        value = self.values.get(key)
        if value is None and default is not None:
            return default
        if value is None:
            raise GossetError(f"{self.source} lacks the key {key!r}, which a {self.values['model_type']} model needs.")
        return checked(value, f"{self.source}: the value of {key!r}")

    def share(self, key: str, whole: int, parts: int) -> int:
        """`whole` over `parts`, which must come out even."""
        if whole % parts:
            raise GossetError(f"{self.source}: {key} do not share {whole:,} evenly between {parts:,}.")
        return whole // parts


def read_config(path: Path, request: Request) -> Workload:
    """The products that a `config.json` describes.

    Raises
    ------
    GossetError
        If the file cannot be read, is no JSON, lacks a key, has an impossible number or an unknown architecture.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise GossetError(f"Cannot read {path}: {error.strerror}.") from error
    except json.JSONDecodeError as error:
        raise GossetError(f"{path}, line {error.lineno}: {error.msg}.") from error
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise GossetError(f"{path} is not a JSON file: {error}.") from error
    if not isinstance(values, dict):
        raise GossetError(f"{path} is not a config.json: it holds a {type(values).__name__}, not an object.")
    return of_config(values, request, str(path), path.parent.name if path.stem == "config" else path.stem)


def of_config(values: Mapping[str, Any], request: Request, source: str, name: str) -> Workload:
    """The products of the model that the keys describe, for messages about `source`."""
    if "model_type" not in values:
        raise GossetError(f"{source} lacks the key 'model_type', which says what the network is.")
    family = values["model_type"]
    if family not in FAMILIES:
        raise GossetError(f"{source}: model_type {family!r} is not known; known are {', '.join(FAMILIES)}.")
    config = Config(values, source)
    phases: tuple[Phase, ...] = ("encode",) if family == "bert" else ("decode", "prefill")
    phase = request.phase or phases[0]
    if phase not in phases:
        raise GossetError(f"{source}: a {family} model has no phase {phase!r}, only {' and '.join(phases)}.")
    longest = config.size("n_positions" if family == "gpt2" else "max_position_embeddings")
    context = request.context or min(longest, 1024)
    if context > longest:
        raise GossetError(f"{source}: a context of {context:,} is longer than the {longest:,} tokens of the model.")
    tokens = 1 if phase == "decode" else context
    network = {"gpt2": _gpt2, "bert": _bert}.get(family, _gated)
    layers, unmapped, notes = network(config, request.batch, tokens, context)
    title = f"{name}, {phase}, batch {request.batch}, context {context}"
    return Workload(title, tuple(layers), tuple(unmapped), notes=(*notes, *(() if family == "bert" else (SQUARE,))))


_Parts = tuple[list[Layer], list[Unmapped], tuple[str, ...]]


def _gated(config: Config, batch: int, tokens: int, context: int) -> _Parts:
    """Llama and its like: grouped keys and values, and a gate in the feed-forward part."""
    hidden, inner = config.size("hidden_size"), config.size("intermediate_size")
    depth, heads = config.size("num_hidden_layers"), config.size("num_attention_heads")
    kv_heads = config.size("num_key_value_heads", heads)
    group = config.share("num_attention_heads and num_key_value_heads", heads, kv_heads)
    # A null head_dim, as some files have, means the same as none.
    width = (
        config.size("head_dim")
        if config.values.get("head_dim") is not None
        else config.share("hidden_size and num_attention_heads", hidden, heads)
    )
    window = config.size("sliding_window", context) if config.values.get("use_sliding_window", True) else context
    notes = (f"attention is counted over the whole context, though the model looks back {window:,} tokens",)
    rows = batch * tokens
    layers = [
        Layer("q_proj", rows, heads * width, hidden, depth),
        Layer("k_proj", rows, kv_heads * width, hidden, depth),
        Layer("v_proj", rows, kv_heads * width, hidden, depth),
        *_attention(group * tokens, context, width, depth * batch * kv_heads, "kv"),
        Layer("o_proj", rows, hidden, heads * width, depth),
        Layer("gate_proj", rows, inner, hidden, depth),
        Layer("up_proj", rows, inner, hidden, depth),
        Layer("down_proj", rows, hidden, inner, depth),
        Layer("lm_head", batch, config.size("vocab_size"), hidden),
    ]
    return layers, [], notes if window < context else ()


def _gpt2(config: Config, batch: int, tokens: int, context: int) -> _Parts:
    hidden, depth, heads = config.size("n_embd"), config.size("n_layer"), config.size("n_head")
    width, inner = config.share("n_embd and n_head", hidden, heads), config.size("n_inner", 4 * hidden)
    rows = batch * tokens
    layers = [
        Layer("attn.c_attn", rows, 3 * hidden, hidden, depth),
        *_attention(tokens, context, width, depth * batch * heads, "kv"),
        Layer("attn.c_proj", rows, hidden, hidden, depth),
        Layer("mlp.c_fc", rows, inner, hidden, depth),
        Layer("mlp.c_proj", rows, hidden, inner, depth),
        Layer("lm_head", batch, config.size("vocab_size"), hidden),
    ]
    return layers, [], ()


def _bert(config: Config, batch: int, tokens: int, context: int) -> _Parts:
    hidden, inner = config.size("hidden_size"), config.size("intermediate_size")
    depth, heads = config.size("num_hidden_layers"), config.size("num_attention_heads")
    width, rows = config.share("hidden_size and num_attention_heads", hidden, heads), batch * tokens
    layers = [
        *(Layer(f"attention.{name}", rows, hidden, hidden, depth) for name in ("query", "key", "value")),
        *_attention(tokens, context, width, depth * batch * heads, "activations"),
        Layer("attention.output", rows, hidden, hidden, depth),
        Layer("intermediate", rows, inner, hidden, depth),
        Layer("output", rows, hidden, inner, depth),
    ]
    return layers, [Unmapped("pooler, heads", "Linear", "config.json does not say which of them are used")], ()


def _attention(rows: int, context: int, width: int, count: int, kind: Literal["kv", "activations"]) -> list[Layer]:
    """Queries × keys, and the weights that they become × values."""
    return [
        Layer("attention.scores", rows, context, width, count, kind),
        Layer("attention.values", rows, width, context, count, kind),
    ]
