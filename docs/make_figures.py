"""Draw the figures of docs/fve.md again: ``python docs/make_figures.py``. Needs the ``report`` extra."""

from __future__ import annotations

from pathlib import Path

from fve_pipeline.demo.cohort.torso import torso
from fve_pipeline.imaging.intensity import to_uint8
from fve_pipeline.look.figures import draw_allocation, draw_decoded, draw_orders, save_figure

FIGURES = Path(__file__).parent / "figures"


def main() -> None:
    hu, _ = torso((40, 128, 160), seed=7)
    volume, _ = to_uint8(hu, modality="CT", window="soft_tissue")
    save_figure(draw_orders(volume, 20, 4), FIGURES / "fve-orders.png")
    save_figure(draw_decoded(volume, 20, 3), FIGURES / "fve-decoded.png")
    save_figure(draw_allocation(6), FIGURES / "fve-allocation.png")


if __name__ == "__main__":
    main()
