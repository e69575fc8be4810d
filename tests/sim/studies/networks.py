"""How networks do in the formats of studies; `python -m tests.sim.studies.networks [NETWORK...]` measures them anew.

Both operands of every product with weights are quantised, by the codec of the format, and multiplied in float32: with
the packed format that is the exact-integer product but for float32's rounding. Each is tried plain, and rotated along
the inner dimension. What was measured already is in build/networks.sqlite; a network or format that is left out keeps
the figures that it has.
"""

import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

from golden.files import write_text
from golden.quality import language
from golden.quality.minilm import Float32, MiniLM, sentences
from golden.quality.network import CodedLinear, fidelity
from golden.rivals import Lattice
from golden.rivals.integers import IntGroups
from golden.terminal import progress
from golden.universal import Rotation
from sim.digits import train
from sim.kernels.encoder import chooser
from sim.provenance import provenance
from sim.studies import networks
from sim.studies.store import Store, generator, json, key_of
from sim.studies.study import formats

SENTENCES = 200

WAYS = {"plain": False, "rotated": True}


def codec_of(format):
    """The codec, quicker: with the compiled encoder, which gives the same, and groups that are no longer than rows."""
    codec = formats()[format].codec
    if isinstance(codec, IntGroups):
        return lambda x: replace(codec, group=min(codec.group, x.shape[1]))(x)
    return language.Packed(codec.format, rounding=chooser()) if isinstance(codec, Lattice) else codec


def digits(codec, rotated):
    """Per cent of the images that are read right."""
    network = trained()

    def read(x):
        return x if codec is None else codec(Rotation(x.shape[1]).forward(x) if rotated else x).values

    weights = [read(matrix) for matrix in network.weights]
    return 100 * network.accuracy(lambda layer, x: read(x) @ weights[layer].T)


def minilm(codec, rotated):
    """Mean cosine between a sentence's embedding and that of float32."""
    linear = Float32() if codec is None else CodedLinear(codec, codec, rotate=rotated)
    return fidelity(embedded(), MiniLM.load().embed(sentences(SENTENCES), linear)).cosine


trained = cache(train)
embedded = cache(lambda: MiniLM.load().embed(sentences(SENTENCES), Float32()))

NETWORKS = {"digits": digits, "minilm": minilm}

ABOUT = {
    "digits": ("accuracy", "%", True, "897 images that were not learnt from"),
    "minilm": ("cosine", "", True, f"embeddings of {SENTENCES} sentences beside those of float32"),
}
"""Figure, unit, whether more of it is better, and what it is of."""


def main(names, wanted):
    store, table = Store(Path("build/networks.sqlite")), json.loads(networks.TABLE.read_text(encoding="utf-8"))
    for name in names or NETWORKS:
        measure, about = NETWORKS[name], dict(zip(("figure", "unit", "more", "of"), ABOUT[name], strict=True))
        chosen = [format for format in formats() if not wanted or format in wanted]
        seen = {}

        def found(codec, way, format, name=name, measure=measure, about=about):
            inputs = {"kind": "network", "network": name, "format": format, "way": way, "of": about["of"]}
            inputs["generator"] = generator()
            result = store.get(key_of(inputs))
            if result is None:
                result = {"value": round(float(measure(codec, WAYS[way])), 4)}
                store.put(key_of(inputs), inputs, result)
            return result["value"]

        with progress(name, len(chosen)) as advance:
            kept = table.get(name, {}).get("formats", {})
            for format in chosen:
                # Formats that differ in their hardware alone are measured once.
                first = seen.setdefault(formats()[format].codec, format)
                kept[format] = {way: found(codec_of(first), way, first) for way in WAYS}
                advance(1)
        kept = {format: kept[format] for format in formats() if format in kept}
        exact = found(None, "plain", "float32")
        made = {"command": f"python -m tests.sim.studies.networks {name}", "commit": provenance()["commit"]}
        table[name] = {**about, "exact": exact, **made, "formats": kept}
        write_text(networks.TABLE, json.dumps(table, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main([word for word in sys.argv[1:] if word in NETWORKS], [word for word in sys.argv[1:] if word not in NETWORKS])
