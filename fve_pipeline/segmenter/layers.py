"""The three transformer pieces that pixel decoder, text encoder and mask decoder are built from.

Shapes: B batch, Q queries, K keys, C channels. Parameter names follow the released checkpoint.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Attention", "CrossAttentionLayer", "FeedForwardLayer", "SelfAttentionLayer", "unset_embedding"]


def unset_embedding(count: int, dim: int) -> nn.Embedding:
    """Make an embedding [count,dim] whose weight is not drawn: :func:`initialise` or a checkpoint sets it.

    Drawing one on the meta device imports torch's compiler, more than a second at every start.
    """
    return nn.Embedding(count, dim, _weight=torch.empty(count, dim))


class Attention(nn.Module):
    """Multi-head attention with a fused input projection (``in_proj_weight`` [3C,C]), batch first."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * dim))
        self.out_proj = nn.Linear(dim, dim)

    def _split(self, x: Tensor) -> Tensor:
        """(B,N,C) -> (B,heads,N,C/heads)."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def _read(self, x: Tensor) -> Tensor:
        """What the queries look up, of keys or values (B,heads,K,C/heads): their own batch entry's."""
        return x

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, opened: Tensor | None = None, *, causal: bool = False
    ) -> Tensor:
        """Query (B,Q,C), key and value (B,K,C) -> (B,Q,C).

        ``opened`` bool, broadcastable to (B,heads,Q,K): True where a query may look.
        """
        weight, bias = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        q = self._split(F.linear(query, weight[0], bias[0]))
        k = self._read(self._split(F.linear(key, weight[1], bias[1])))
        v = self._read(self._split(F.linear(value, weight[2], bias[2])))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=opened, is_causal=causal)
        result: Tensor = self.out_proj(out.transpose(1, 2).flatten(2))
        return result


class SelfAttentionLayer(nn.Module):
    """x <- LN(x + MHA(x + position)), values without position."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.self_attn = Attention(dim, heads)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, position: Tensor, opened: Tensor | None = None) -> Tensor:
        """``x`` and ``position`` (B,N,C) -> (B,N,C)."""
        placed = x + position
        out: Tensor = self.norm(x + self.self_attn(placed, placed, x, opened))
        return out


class CrossAttentionLayer(nn.Module):
    """x <- LN(x + MHA(x + query position, keys, values))."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.multihead_attn = Attention(dim, heads)
        self.norm = nn.LayerNorm(dim)

    def forward(
        self,
        x: Tensor,
        key: Tensor,
        value: Tensor,
        position: Tensor | None = None,
        opened: Tensor | None = None,
    ) -> Tensor:
        """``x`` (B,Q,C), ``key`` and ``value`` (B,K,C) -> (B,Q,C)."""
        query = x if position is None else x + position
        out: Tensor = self.norm(x + self.multihead_attn(query, key, value, opened))
        return out


class FeedForwardLayer(nn.Module):
    """x <- LN(x + W2 ReLU(W1 x))."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(dim, hidden)
        self.linear2 = nn.Linear(hidden, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """(…,C) -> (…,C)."""
        out: Tensor = self.norm(x + self.linear2(F.relu(self.linear1(x))))
        return out
