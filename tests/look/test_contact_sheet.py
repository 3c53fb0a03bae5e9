"""Contact sheets: what is drawn, and where."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from fve_pipeline.look.contact_sheet import class_colour, draw_sheet, write_png


def sample() -> tuple[np.ndarray, np.ndarray]:
    image = np.zeros((64, 64, 3), np.uint8)
    image[..., 0], image[..., 1], image[..., 2] = 100, 150, 200
    mask = np.zeros((64, 64), np.uint16)
    mask[10:30, 10:30] = 3
    mask[40:50, 40:50] = 300
    return image, mask


def test_panels_show_focal_before_and_after() -> None:
    image, mask = sample()
    sheet = draw_sheet([image], [mask], panel=64)
    assert sheet.shape == (72, 200, 3)
    for panel, value in enumerate((100, 150, 200)):
        assert sheet[4, 4 + 64 * panel].tolist() == [value] * 3


def test_each_id_is_outlined_in_its_own_colour() -> None:
    image, mask = sample()
    sheet = draw_sheet([image], [mask], panel=64)
    assert tuple(sheet[4 + 10, 4 + 15].tolist()) == class_colour(3)
    assert tuple(sheet[4 + 40, 4 + 45].tolist()) == class_colour(300)
    assert sheet[4 + 20, 4 + 20].tolist() == [100] * 3  # inside, nothing is covered


def test_colours_of_neighbouring_ids_differ() -> None:
    colours = [class_colour(i) for i in range(1, 40)]
    assert len(set(colours)) == len(colours)
    assert all(np.abs(np.subtract(a, b)).max() > 60 for a, b in itertools.pairwise(colours))


def test_samples_fill_rows() -> None:
    image, mask = sample()
    sheet = draw_sheet([image] * 5, [mask] * 5, ["a"] * 5, columns=2, panel=32)
    assert sheet.shape == (3 * (18 + 32 + 4) + 4, 2 * (96 + 8), 3)
    assert (sheet[-10, -50] == 24).all()  # the sixth place is empty


def test_single_slices_take_one_panel() -> None:
    image, mask = sample()
    assert draw_sheet([image[..., 0]], [mask], panel=64).shape == (72, 72, 3)


def test_unequal_numbers_are_refused() -> None:
    image, mask = sample()
    with pytest.raises(ValueError, match="1 images, 2 masks"):
        draw_sheet([image], [mask, mask])
    with pytest.raises(ValueError, match="0 images"):
        draw_sheet([], [])


def test_png_keeps_the_colours(tmp_path: Path) -> None:
    sheet = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    write_png(tmp_path / "sheet.png", sheet)
    read = cv2.imread(str(tmp_path / "sheet.png"))
    assert np.array_equal(read[..., ::-1], sheet)
    with pytest.raises(FileNotFoundError):
        write_png(tmp_path / "absent" / "sheet.png", sheet)
