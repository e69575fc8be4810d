"""What multiplies on processors otherwise, where it is installed: PyTorch, ONNX Runtime, and ggml."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from sim.compare.ggml import TYPES, Ggml
from sim.compare.ways import Array, Prepared, Unfit, Way


def rivals() -> tuple[list[Way], list[str]]:
    """What is installed, and the names of what is not."""
    ways: dict[str, list[Way]] = {
        "torch": [Torch(kind) for kind in ("fp32", "bf16", *ENGINES, "int4, groups of 32")],
        "onnxruntime": [OnnxRuntime(group, level) for group in (32, 128) for level in (0, 4)],
        "ik_llama_cpp": [Ggml(name) for name in TYPES],
    }
    there = {module: all(find_spec(name) for name in (module, *ALSO.get(module, ()))) for module in ways}
    found = [way for module, some in ways.items() if there[module] for way in some]
    return found, [way.name for module, some in ways.items() if not there[module] for way in some]


ALSO = {"onnxruntime": ("onnx",)}
"""What else must be there."""


ENGINES = {"int8 dynamic": None, "int8 dynamic, oneDNN": "onednn"}
"""PyTorch's kernels for int8, which lay weights out for themselves: those it chooses, and those that know AMX."""


@dataclass(frozen=True)
class Torch:
    """PyTorch: weights in float32, bfloat16, int8 with activations quantised on the way, or int4 in groups of 32.

    The last is its weight-only kernel for processors, which torchao calls: bfloat16 activations, and per group a scale
    and a zero in bfloat16.
    """

    kind: str
    family: str = ""
    takes: str = "fp32"

    @property
    def name(self) -> str:
        """PyTorch and the kind."""
        return f"torch {self.kind}"

    def prepare(self, w: Array, copies: Callable[[float], int], threads: int) -> Prepared:
        """As `Way`."""
        import torch

        torch.set_num_threads(threads)
        weights = torch.from_numpy(w)
        calls: list[Callable[[Any], Any]]
        if self.kind in ENGINES:
            import warnings

            layer = torch.nn.Linear(*w.shape[::-1], bias=False)
            layer.weight.data = weights
            with warnings.catch_warnings():  # quantising here is to move to torchao, whose layers are the same kernels
                warnings.simplefilter("ignore")
                before = torch.backends.quantized.engine
                engine = ENGINES[self.kind] or before
                if engine not in torch.backends.quantized.supported_engines:
                    raise Unfit(f"PyTorch has no {engine} here")
                torch.backends.quantized.engine = engine
                try:
                    calls = [
                        torch.ao.quantization.quantize_dynamic(torch.nn.Sequential(layer), dtype=torch.qint8)
                        for _ in range(copies(w.size))
                    ]
                finally:
                    torch.backends.quantized.engine = before
            return self._prepared(8, torch.from_numpy, calls)
        if self.kind == "int4, groups of 32":
            if w.shape[1] % 32 or w.shape[0] % 16:
                raise Unfit("K is no multiple of 32, or N none of 16")
            groups = weights.reshape(len(w), -1, 32)
            low, high = groups.amin(dim=2), groups.amax(dim=2)
            step = (high - low) / 15
            codes = ((groups - low[..., None]) / step[..., None]).round().clamp(0, 15).to(torch.int32).reshape(w.shape)
            scales = torch.stack([step, low + 8 * step], dim=2).transpose(0, 1).contiguous().bfloat16()
            laid = torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes, 1)
            calls = [
                partial(_int4, torch.ops.aten._weight_int4pack_mm_for_cpu, laid.clone(), scales.clone())
                for _ in range(copies(laid.nbytes + scales.nbytes))
            ]
            return self._prepared(
                8 * (laid.nbytes + scales.nbytes) / w.size, lambda x: torch.from_numpy(x).bfloat16(), calls
            )
        kind = torch.float32 if self.kind == "fp32" else torch.bfloat16
        half = weights.to(kind)
        calls = [partial(_transposed, half.clone()) for _ in range(copies(half.nbytes))]
        return self._prepared(8 * half.itemsize, lambda x: torch.from_numpy(x).to(kind), calls)

    def _prepared(self, bits: float, operand: Callable[[Any], Any], calls: list[Any]) -> Prepared:
        import torch

        def without_gradients(call: Any, x: Any) -> Any:
            with torch.inference_mode():
                return call(x)

        return Prepared(
            bits, operand, [partial(without_gradients, call) for call in calls], lambda y: np.asarray(y.float().numpy())
        )


def _int4(multiply: Any, w: Any, scales: Any, x: Any) -> Any:
    return multiply(x, w, 32, scales)


def _transposed(w: Any, x: Any) -> Any:
    return x @ w.T


@dataclass(frozen=True)
class OnnxRuntime:
    """ONNX Runtime's MatMulNBits: 4 bits, symmetric, a float32 scale per group.

    Attributes
    ----------
    group : int
    level : int
        Its accuracy level: 0 computes in float32, 4 in int8.
    """

    group: int
    level: int
    takes: str = "fp32"

    @property
    def name(self) -> str:
        """Groups and level."""
        return f"onnxruntime 4 bits, groups of {self.group}, level {self.level}"

    @property
    def family(self) -> str:
        """By level: groups are its rates."""
        return f"onnxruntime 4 bits, level {self.level}"

    def prepare(self, w: Array, copies: Callable[[float], int], threads: int) -> Prepared:
        """As `Way`."""
        import onnx
        import onnxruntime
        from onnx import TensorProto, helper, numpy_helper

        if w.shape[1] % self.group:
            raise Unfit(f"K is no multiple of {self.group}")
        blocks = w.reshape(len(w), -1, self.group)
        scale = np.abs(blocks).max(axis=2) / 7
        code = (np.clip(np.rint(blocks / scale[..., None]), -8, 7) + 8).astype(np.uint8)
        nibbles = code[..., 0::2] | code[..., 1::2] << 4
        node = helper.make_node(
            "MatMulNBits", ["x", "w", "s"], ["y"], domain="com.microsoft",
            K=w.shape[1], N=w.shape[0], bits=4, block_size=self.group, accuracy_level=self.level,
        )  # fmt: skip
        graph = helper.make_graph(
            [node],
            "product",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["m", w.shape[1]])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["m", len(w)])],
            [numpy_helper.from_array(nibbles, "w"), numpy_helper.from_array(scale.astype(np.float32).ravel(), "s")],
        )
        imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        model = onnx.helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # Threads of sessions that wait for their turn must not take the processor from the one whose turn it is.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        stored = nibbles.nbytes + scale.size * 4
        sessions = [
            onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"]) for _ in range(copies(stored))
        ]
        return Prepared(8 * stored / w.size, lambda x: {"x": x}, [partial(_run, each) for each in sessions])


def _run(session: Any, x: Any) -> Any:
    return session.run(None, x)[0]
