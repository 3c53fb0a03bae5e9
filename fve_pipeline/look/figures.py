"""Figures that explain the encoding, drawn from what the encoder makes: the paper's Figs. 14, 16 and 17."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.errors import ReportError
from fve_pipeline.imaging.encoding import context_depth, decode, encode

__all__ = [
    "DIRECTIONS",
    "allocation",
    "blank_figure",
    "draw_allocation",
    "draw_decoded",
    "draw_explanation",
    "draw_orders",
    "save_figure",
]

PANEL = 1.9  # inches


#: Where lines and columns of a view's slices run; volumes are LPS.
DIRECTIONS = {
    "axial": ("to posterior", "to left"),
    "coronal": ("to superior", "to left"),
    "sagittal": ("to superior", "to posterior"),
}


def draw_explanation(
    volume: NDArray[np.uint8], index: int, order: int, *, title: str = "", view: str = "", **settings: str
) -> Any:
    """Both of the figures below for one slice of a volume (D, H, W), one above the other.

    ``title`` stands above, and where lines and columns of a ``view`` run beside the first picture.

    ``settings`` are ``boundary`` and ``downsample`` of ``encode``. H and W that the order doesn't divide are
    padded with black at their ends.
    """
    depth = context_depth(order)
    columns = max(depth, order, 1)
    figure = blank_figure(columns, 3 if depth else 1)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 2)) if depth else (figure, None)
    _orders(upper, volume, index, order, settings, view)
    if title:
        figure.suptitle(title, fontsize=9)
    if lower is not None:
        _decoded(lower, _encode_one(volume, index, order, settings), order)
    return figure


def draw_orders(volume: NDArray[np.uint8], index: int, orders: int, **settings: str) -> Any:
    """One focal slice of a volume (D, H, W) encoded at orders 1…``orders``, as RGB (Fig. 14)."""
    figure = blank_figure(max(orders, 1), 1)
    _orders(figure, volume, index, orders, settings)
    return figure


def draw_decoded(volume: NDArray[np.uint8], index: int, order: int, **settings: str) -> Any:
    """What an image of this order decodes to: every context slice at its own resolution (Fig. 16)."""
    figure = blank_figure(context_depth(order), 2)
    _decoded(figure, _encode_one(volume, index, order, settings), order)
    return figure


def allocation(order: int) -> tuple[NDArray[np.int64], dict[int, Fraction]]:
    """One super pixel (2^(k−1), 2^(k−1)) of a context channel as distances, and each distance's share of it.

    Found by encoding a volume whose voxels are their slices' numbers.
    """
    depth, side = context_depth(order), 1 << (order - 1)
    numbers = np.broadcast_to(np.arange(depth + 1, dtype=np.uint8)[:, None, None], (depth + 1, side, side))
    unit = encode(numbers, order, focal=[0])[0, :, :, 2].astype(np.int64)
    distances, counts = np.unique(unit, return_counts=True)
    return unit, {int(d): Fraction(int(n), side * side) for d, n in zip(distances, counts, strict=True)}


def draw_allocation(orders: int = 6) -> Any:
    """Super pixels of orders 1…``orders`` coloured by distance, with the share of each distance (Fig. 17)."""
    figure = blank_figure(orders, 1, height=2.4)
    pairs = figure.subplots(1, 2 * orders, width_ratios=(4, 1) * orders)
    deepest = max(2, context_depth(orders))
    for order in range(1, orders + 1):
        unit, shares = allocation(order)
        panel, bar = pairs[2 * order - 2], pairs[2 * order - 1]
        panel.imshow(unit, cmap="viridis", vmin=1, vmax=deepest, interpolation="nearest")
        panel.set_title(f"order {order}: {len(unit)}×{len(unit)}", fontsize=8)
        bottom = 0.0
        for distance, share in shares.items():
            colour = _colour((distance - 1) / (deepest - 1))
            bar.bar(0, float(share), bottom=bottom, color=colour, width=1, lw=0)
            if share >= Fraction(1, 8):
                middle = bottom + float(share) / 2
                bar.text(0, middle, str(distance), ha="center", va="center", fontsize=7, color="white")
            bottom += float(share)
        bar.set_ylim(1, 0)
        panel.set_axis_off()
        bar.set_axis_off()
    return figure


def save_figure(figure: Any, out: Path | IO[bytes], dpi: int = 80) -> None:
    """Write a figure, without date or version in it: the same figure gives the same bytes. Into memory as PNG."""
    from matplotlib import rc_context

    if isinstance(out, Path):
        out.parent.mkdir(parents=True, exist_ok=True)
    suffix = out.suffix if isinstance(out, Path) else ".png"
    metadata = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    with rc_context({"svg.hashsalt": "fve"}):
        figure.savefig(out, dpi=dpi, metadata=metadata.get(suffix))


def _encode_one(
    volume: NDArray[np.uint8], index: int, order: int, settings: dict[str, str]
) -> NDArray[np.uint8]:
    """One slice, encoded after padding to a size that the order divides."""
    block = 1 << max(order - 1, 0)
    first, last = max(0, index - context_depth(order)), index + context_depth(order) + 1
    slab = volume[first:last]
    padding = [(0, 0), *((0, -side % block) for side in slab.shape[1:])]
    image: NDArray[np.uint8] = encode(
        np.pad(slab, padding),
        order,
        settings.get("boundary", "repeat"),
        settings.get("downsample", "mean"),
        focal=[index - first],
    )[0]
    return image


def _orders(
    figure: Any, volume: NDArray[np.uint8], index: int, orders: int, settings: dict[str, str], view: str = ""
) -> None:
    panels = figure.subplots(1, max(orders, 1), squeeze=False)[0]
    for panel, order in zip(panels, range(min(orders, 1), orders + 1), strict=True):
        title = f"order {order}: {2 * context_depth(order) + 1} slices"
        _show(panel, _encode_one(volume, index, order, settings), title)
    if view:
        down, across = DIRECTIONS[view]
        look = {"transform": panels[0].transAxes, "fontsize": 7, "color": "0.35"}
        panels[0].text(0.5, -0.03, f"{across} →", ha="center", va="top", **look)
        panels[0].text(-0.03, 0.5, f"← {down}", rotation=90, ha="right", va="center", **look)


def _decoded(figure: Any, image: NDArray[np.uint8], order: int) -> None:
    parts = decode(image, order)
    panels = figure.subplots(2, context_depth(order), squeeze=False)
    for row, sign, context in zip(panels, "−+", (parts.before, parts.after), strict=True):
        for distance, (panel, part) in enumerate(zip(row, context, strict=True), start=1):
            _show(panel, part, f"{sign}{distance}: {part.shape[0]}×{part.shape[1]}")


def _show(panel: Any, image: NDArray[np.uint8], title: str) -> None:
    panel.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    panel.set_title(title, fontsize=8)
    panel.set_axis_off()


def _colour(value: float) -> Any:
    from matplotlib import colormaps

    return colormaps["viridis"](value)


def blank_figure(columns: int, rows: int, height: float = PANEL + 0.25) -> Any:
    """An empty figure of ``columns`` by ``rows`` panels. Raises ReportError without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        msg = "figures need matplotlib: pip install 'fve-pipeline[report]'"
        raise ReportError(msg) from error
    figure = Figure(figsize=(columns * PANEL, rows * height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
