"""Three planes of bytes interleaved into one, by vector instructions that a loop compiler does not find.

Sixty-four pixels at a time: three loads, shuffles, and three stores, written as LLVM vectors, which become the
byte permutations of whatever processor compiles them. A result larger than the caches is written past them
(nontemporal stores): a line that will be overwritten whole is then never read first, which is a third of the
memory traffic of a plain loop.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, register_jitable
from numpy.typing import NDArray

__all__ = ["finish_stream", "interleave3"]

Bytes = NDArray[np.uint8]

LANES = 64  # pixels a block; a nontemporal store of 64 bytes fills a cache line, which narrower ones don't
INVERSE_OF_3 = 43  # modulo 64

_BYTE, _INDEX = ir.IntType(8), ir.IntType(32)
_VECTOR = ir.VectorType(_BYTE, LANES)


def _shuffle(builder: Any, a: Any, b: Any, picks: list[int]) -> Any:
    """Elements ``picks`` of ``a`` followed by ``b``."""
    mask = ir.Constant(ir.VectorType(_INDEX, len(picks)), [ir.Constant(_INDEX, pick) for pick in picks])
    return builder.shuffle_vector(a, b, mask)


def _pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer())


def _make_block(nontemporal: bool) -> Any:
    """The block's instructions; with ``nontemporal`` its target must lie at a multiple of 64."""

    @intrinsic
    def block(
        _typing: Any, focal: Any, before: Any, after: Any, start: Any, out: Any, target: Any
    ) -> tuple[Any, Any]:
        """Pixels ``start`` to ``start + LANES`` of three (n,) into bytes from ``target`` on of ``out``."""

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            kinds = signature.args
            loaded = []
            for i in range(3):
                load = builder.load(_pointer(context, builder, kinds[i], values[i], values[3]))
                load.align = 1
                loaded.append(load)
            first, second, third = loaded
            # A shuffle takes two vectors of one length: 128 bytes each, of which the last 64 go unused.
            pair = _shuffle(builder, first, second, list(range(2 * LANES)))
            single = _shuffle(builder, third, third, list(range(2 * LANES)))
            places = [channel * LANES + pixel for pixel in range(LANES) for channel in range(3)]
            pointer = _pointer(context, builder, kinds[4], values[4], values[5])
            for part in range(3):
                woven = _shuffle(builder, pair, single, places[part * LANES : (part + 1) * LANES])
                store = builder.store(woven, builder.gep(pointer, [ir.Constant(_INDEX, part)]))
                store.align = LANES if nontemporal else 1
                if nontemporal:
                    mark = builder.module.add_metadata([ir.Constant(_INDEX, 1)])
                    store.set_metadata("nontemporal", mark)
            return context.get_dummy_value()

        return types.void(focal, before, after, start, out, target), generate

    return block


_block, _streamed_block = _make_block(nontemporal=False), _make_block(nontemporal=True)


@intrinsic
def finish_stream(_typing: Any) -> tuple[Any, Any]:
    """Wait for nontemporal stores, which other threads may otherwise not see in time."""

    def generate(context: Any, builder: Any, _signature: Any, _values: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


@register_jitable
def _pixels(focal: Bytes, before: Bytes, after: Bytes, out: Bytes, start: int, stop: int) -> None:
    for i in range(start, stop):
        out[3 * i] = focal[i]
        out[3 * i + 1] = before[i]
        out[3 * i + 2] = after[i]


@register_jitable
def interleave3(focal: Bytes, before: Bytes, after: Bytes, out: Bytes, stream: bool) -> None:
    """Three (n,) into (3·n,). ``stream`` writes past the caches; ``finish_stream`` must then be called."""
    n = focal.size
    # Three pixels' bytes and a cache line's have no common divisor: some pixel below 64 begins a line.
    head = min(n, int(-np.int64(out.ctypes.data) * INVERSE_OF_3) % LANES) if stream else 0
    tail = n - (n - head) % LANES
    _pixels(focal, before, after, out, 0, head)
    if stream:
        for i in range(head, tail, LANES):
            _streamed_block(focal, before, after, i, out, 3 * i)
    else:
        for i in range(head, tail, LANES):
            _block(focal, before, after, i, out, 3 * i)
    _pixels(focal, before, after, out, tail, n)
