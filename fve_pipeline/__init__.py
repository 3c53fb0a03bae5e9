"""fve_pipeline: from raw medical volumes to a fine-tuned, text-prompted 3D segmenter."""

from __future__ import annotations

__version__ = "0.1.0"
