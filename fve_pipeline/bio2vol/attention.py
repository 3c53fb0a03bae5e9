"""Cross-slice dual-head attention (CSDHA): some heads read another slice of the same sequence.

In ``k`` of ``h`` heads, slice t takes keys and values from slice t + Δt; the other heads stay (Bio2Vol,
section 2.2, equations 3 to 5). Weights are those of the module that is replaced, so nothing is added to the
model's ``state_dict``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fve_pipeline.errors import Bio2VolError
from fve_pipeline.segmenter.decoder import BoltzmannDecoder
from fve_pipeline.segmenter.layers import Attention
from fve_pipeline.segmenter.model import Segmenter
from fve_pipeline.segmenter.pixel_decoder import EncoderLayer

__all__ = ["CrossSliceAttention", "SliceOrder", "adapt", "source_slices"]


def source_slices(lengths: Sequence[int], offset: int) -> list[int]:
    """For sequences of ``lengths`` slices, one after the other: the slice that each slice's cross heads read.

    That is ``offset`` slices on in its own sequence, and the last slice (or the first, for a negative offset)
    where the sequence ends before.
    """
    found, first = list[int](), 0
    for length in lengths:
        found += [first + min(max(t + offset, 0), length - 1) for t in range(length)]
        first += length
    return found


@dataclass(eq=False)
class SliceOrder:
    """Which images of a batch are sequences: shared by all attention modules of one model.

    ``source`` (images,) int64 is None outside of volumes: each image then stands alone, as in the model
    before. It holds until it is set again; a backward pass with recomputed activations reads it, too.
    """

    heads: int
    offset: int
    source: Tensor | None = None

    def sequences(self, lengths: Sequence[int], device: torch.device) -> None:
        """The next batches hold sequences of ``lengths`` slices, one after the other."""
        self.source = torch.tensor(source_slices(lengths, self.offset), device=device)

    def alone(self) -> None:
        """The next batches hold images that have nothing to do with each other."""
        self.source = None


class CrossSliceAttention(Attention):
    """An :class:`Attention` whose first ``order.heads`` heads read keys and values of another slice.

    The batch may hold several entries an image (one a prompt), image by image.
    """

    def __init__(self, own: Attention, order: SliceOrder) -> None:
        nn.Module.__init__(self)  # not Attention's, which would make weights
        self.heads = own.heads
        self.in_proj_weight, self.in_proj_bias, self.out_proj = (
            own.in_proj_weight,
            own.in_proj_bias,
            own.out_proj,
        )
        self.order = order
        self.train(own.training)

    def _read(self, x: Tensor) -> Tensor:
        source = self.order.source
        if source is None:
            return x
        if len(x) % len(source):
            msg = f"a batch of {len(x)} entries for {len(source)} slices of sequences; expected a multiple"
            raise ValueError(msg)
        crossing, staying = x[:, : self.order.heads], x[:, self.order.heads :]
        moved = crossing.view(len(source), -1, *crossing.shape[1:])[source].flatten(0, 1)
        return torch.cat((moved, staying), dim=1)


def adapt(model: Segmenter, heads: int = 1, offset: int = 2) -> SliceOrder:
    """Let ``model``, in place, read across slices in the first ``heads`` heads of its attention.

    That is in the pixel decoder's transformer and in the mask decoder's self- and cross-attention. The
    classification query, which judges its own slice, and the text encoder keep theirs; FocalNet has none.
    ``heads`` 0 puts the original modules back, for which the order returned means nothing. Adapting an adapted
    model replaces the adaptation.

    Raises
    ------
    Bio2VolError
        If the model has fewer heads, or ``offset`` is 0.
    """
    if not 0 <= heads <= model.config.heads:
        msg = f"[bio2vol] heads = {heads}: expected 0 to {model.config.heads}, the heads that the model has"
        raise Bio2VolError(msg)
    if offset == 0:
        msg = "a slice offset of 0 reads the slice itself; expected another number"
        raise Bio2VolError(msg)
    order = SliceOrder(heads, offset)
    for parent, name, module in list(_standard_attention(model)):
        setattr(parent, name, CrossSliceAttention(module, order) if heads else _plain(module))
    return order


def _standard_attention(model: Segmenter) -> Iterator[tuple[nn.Module, str, Attention]]:
    """(parent, attribute, module) of each attention module that is adapted."""
    head = model.sem_seg_head
    for layer in head.pixel_decoder.modules():
        if isinstance(layer, EncoderLayer):
            yield layer, "self_attn", layer.self_attn
    decoder = head.predictor
    assert isinstance(decoder, BoltzmannDecoder)
    own: list[nn.Module] = [decoder.initial_self_attention_layer]
    own += [*decoder.transformer_self_attention_layers, *decoder.transformer_cross_attention_layers]
    for layer in own:
        for name, module in layer.named_children():
            if isinstance(module, Attention):
                yield layer, name, module


def _plain(module: Attention) -> Attention:
    with torch.device("meta"):
        plain = Attention(module.in_proj_weight.shape[1], module.heads)
    plain.in_proj_weight, plain.in_proj_bias = module.in_proj_weight, module.in_proj_bias
    plain.out_proj = module.out_proj
    return plain.train(module.training)
