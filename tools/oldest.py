"""Prints the oldest version that pyproject.toml allows of each package, as constraints for pip: ``make min-deps``."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = (
    "report",
    "s3",
    "coreset",
    "dashboard",
)  # train brings torch, which is large: it is tested as pinned


def oldest() -> list[str]:
    """Return lines such as ``numpy==2.0.*``: the last repair of the oldest series allowed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [
        *project["dependencies"],
        *(one for extra in EXTRAS for one in project["optional-dependencies"][extra]),
    ]
    return [re.sub(r"^([\w-]+)(?:\[.*\])?>=([\d.]+)$", r"\1==\2.*", text) for text in texts]


if __name__ == "__main__":
    print("\n".join(oldest()))
