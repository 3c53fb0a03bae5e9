"""Figures of the encoding: what they are drawn from, and that they come out the same each time."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from fve_pipeline.look.figures import (
    allocation,
    draw_allocation,
    draw_decoded,
    draw_explanation,
    draw_orders,
    save_figure,
)

pytest.importorskip("matplotlib")


def test_allocation_of_order_3_as_the_paper_draws_it() -> None:
    unit, shares = allocation(3)
    assert unit.tolist() == [[1, 2, 1, 2], [3, 4, 3, 5], [1, 2, 1, 2], [3, 6, 3, 7]]
    assert shares == {1: Fraction(1, 4), 2: Fraction(1, 4), 3: Fraction(1, 4)} | dict.fromkeys(
        range(4, 8), Fraction(1, 16)
    )


@pytest.mark.parametrize("order", range(1, 7))
def test_near_slices_keep_their_share(order: int) -> None:
    unit, shares = allocation(order)
    assert unit.shape == (2 ** (order - 1),) * 2
    assert sum(shares.values()) == 1
    assert shares[1] == (1 if order == 1 else Fraction(1, 4))


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_same_figure_is_the_same_file(tmp_path: Path, suffix: str) -> None:
    volume = np.random.default_rng(0).integers(0, 256, (5, 21, 30), np.uint8)  # padded to 24×32
    for name in ("a", "b"):
        figure = draw_explanation(volume, 0, 3, boundary="mirror", downsample="stride")
        save_figure(figure, tmp_path / "made" / f"{name}{suffix}")
    first, second = ((tmp_path / "made" / f"{name}{suffix}").read_bytes() for name in ("a", "b"))
    assert first == second
    if suffix == ".png":
        assert cv2.imdecode(np.frombuffer(first, np.uint8), cv2.IMREAD_COLOR).std() > 10


def test_how_many_panels() -> None:
    volume = np.zeros((3, 16, 16), np.uint8)
    assert len(draw_orders(volume, 1, 4).axes) == 4
    assert len(draw_decoded(volume, 1, 2).axes) == 2 * 4
    assert len(draw_explanation(volume, 1, 2).axes) == 2 + 2 * 4
    assert len(draw_explanation(volume, 1, 0).axes) == 1
    assert len(draw_allocation(3).axes) == 2 * 3


def test_without_matplotlib_the_message_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['matplotlib.figure'] = None\n"
        "from fve_pipeline.look.figures import draw_allocation\n"
        "draw_allocation(1)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "ReportError: figures need matplotlib: pip install 'fve-pipeline[report]'" in done.stderr
