"""Small SVG charts in the page's own colours, with text where colour alone would tell."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from fve_pipeline.look.report.html import number

__all__ = ["bubbles", "histogram", "intervals", "violin"]


def _svg(width: int, height: int, label: str, content: str) -> str:
    return (
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}"><title>{escape(label)}</title>{content}</svg>'
    )


def histogram(
    counts: Sequence[float], ends: tuple[str, str], label: str, *, width: int = 260, height: int = 90
) -> str:
    """Bars of ``counts``; the axis shows only its two ends. Heights are by square root, so that a background
    peak does not flatten the rest."""
    values = np.sqrt(np.asarray(counts, float))
    top = float(values.max(initial=0)) or 1.0
    step = width / len(values)
    bars = "".join(
        f'<rect x="{i * step:.1f}" y="{height - 16 - v / top * (height - 18):.1f}" '
        f'width="{max(step - 0.6, 0.6):.1f}" height="{v / top * (height - 18):.1f}"/>'
        for i, v in enumerate(values.tolist())
        if v
    )
    axis = (
        f'<line x1="0" x2="{width}" y1="{height - 16}" y2="{height - 16}"/><text x="0" y="{height - 3}">'
        f'{escape(ends[0])}</text><text x="{width}" y="{height - 3}" text-anchor="end">{escape(ends[1])}</text>'
    )
    return _svg(width, height, label, f'<g class="ink">{bars}</g>{axis}')


def bubbles(
    points: Sequence[tuple[float, float]], names: tuple[str, str], label: str, *, size: int = 320
) -> str:
    """Pairs on two logarithmic axes, equal or near pairs as one circle whose area is their number."""
    if not points:
        return ""
    logs = np.log10(np.maximum(np.asarray(points, float), 1e-6))
    low, high = logs.min(0) - 0.1, logs.max(0) + 0.1
    cells = np.floor((logs - low) / (high - low) * 24).astype(int)
    groups: dict[tuple[int, int], list[int]] = {}
    for i, (a, b) in enumerate(cells.tolist()):
        groups.setdefault((a, b), []).append(i)
    pad, span = 62, size - 84
    most = max(len(rows) for rows in groups.values())
    circles = []
    for rows in sorted(groups.values(), key=len, reverse=True):
        x, y = ((logs[rows] - low) / (high - low)).mean(0)
        radius = 2.5 + 12 * np.sqrt(len(rows) / most)
        first = " x ".join(number(float(v)) for v in np.median(np.asarray(points)[rows], axis=0))
        circles.append(
            f'<circle cx="{pad + x * span:.1f}" cy="{10 + (1 - y) * span:.1f}" r="{radius:.1f}">'
            f"<title>{len(rows):,} cases near {first}</title></circle>"
        )
    ticks = [
        f'<text x="{pad + f * span:.0f}" y="{span + 26}" text-anchor="middle">'
        f"{number(float(10 ** (low[0] + f * (high[0] - low[0]))))}</text>"
        f'<text x="{pad - 6}" y="{14 + (1 - f) * span:.0f}" text-anchor="end">'
        f"{number(float(10 ** (low[1] + f * (high[1] - low[1]))))}</text>"
        for f in (0.0, 0.5, 1.0)
    ]
    axes = (
        f'<path d="M{pad} 10V{10 + span}H{pad + span}" fill="none" class="axis"/>'
        f'<text x="{pad + span / 2}" y="{span + 46}" text-anchor="middle">{escape(names[0])} (log)</text>'
        f'<text x="12" y="{10 + span / 2}" text-anchor="middle" transform="rotate(-90 12 {10 + span / 2})">'
        f"{escape(names[1])} (log)</text>"
    )
    return _svg(size, size, label, f'{axes}{"".join(ticks)}<g class="ink soft">{"".join(circles)}</g>')


def violin(values: Sequence[float], low: float, high: float, label: str, *, width: int = 220) -> str:
    """One lying violin of ``values`` between ``low`` and ``high``: outline, quartiles, median, every value."""
    height = 34
    data = np.clip(np.asarray(values, float), low, high)
    grid = np.linspace(low, high, 64)
    scale = max(float(data.std()), (high - low) * 0.02) * max(len(data), 2) ** -0.2
    density = np.exp(-0.5 * ((grid[:, None] - data[None]) / scale) ** 2).sum(1)
    half = density / density.max() * (height / 2 - 3)
    x = (grid - low) / (high - low) * width
    middle = height / 2
    upper = " ".join(f"{a:.1f},{middle - h:.1f}" for a, h in zip(x, half, strict=True))
    lower = " ".join(f"{a:.1f},{middle + h:.1f}" for a, h in zip(x[::-1], half[::-1], strict=True))
    q1, median, q3 = ((q - low) / (high - low) * width for q in np.percentile(data, [25, 50, 75]))
    dots = "".join(
        f'<circle cx="{(v - low) / (high - low) * width:.1f}" cy="{middle}" r="1.6"/>'
        for v in data[:200].tolist()
    )
    return _svg(
        width,
        height,
        label,
        f'<polygon class="soft ink" points="{upper} {lower}"/><g class="dots">{dots}</g>'
        f'<line class="thick" x1="{q1:.1f}" x2="{q3:.1f}" y1="{middle}" y2="{middle}"/>'
        f'<line class="thick" x1="{median:.1f}" x2="{median:.1f}" y1="5" y2="{height - 5}"/>',
    )


def intervals(
    rows: Sequence[tuple[str, float, float, float]], high: float, label: str, *, width: int = 420
) -> str:
    """A bar a row: (name, mean, interval's low and high ends, NaN for none), from 0 to ``high``."""
    line, left = 26, 130
    span = width - left - 110
    out = []
    for i, (name, mean, start, end) in enumerate(rows):
        y = i * line
        a, b, m = (left + min(max(v, 0.0) / high, 1.0) * span for v in (start, end, mean))
        whisker = f"M{a:.1f} {y + 13}H{b:.1f}M{a:.1f} {y + 9}v8M{b:.1f} {y + 9}v8" if start == start else ""
        told = f" ({start:.3f} to {end:.3f})" if start == start else ""
        out.append(
            f'<text x="{left - 6}" y="{y + 17}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="ink soft" x="{left}" y="{y + 5}" width="{m - left:.1f}" height="16"/>'
            f'<path class="axis" fill="none" d="{whisker}"/>'
            f'<text x="{width - 104}" y="{y + 17}">{mean:.3f}{told}</text>'
        )
    return _svg(width + 30, len(rows) * line + 4, label, "".join(out))
