"""The documentation site: ``make docs``."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), *(str(HERE.parent / folder) for folder in ("", "kernels", "catalogs"))]

import cli_reference  # noqa: E402 - it is found through the line above

from fve_pipeline import __version__  # noqa: E402

project = "fve_pipeline"
author = "the fve_pipeline authors"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"fve_pipeline {version}"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_copy_source = False
html_last_updated_fmt = None  # the same sources give the same pages

myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]
napoleon_google_docstring = False
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
# The two kinds of block that hold commands: `sh` is run by the tests, `console` needs a cluster or a download.
highlight_language = "none"
suppress_warnings = [
    "misc.highlighting_failure",  # globs and prompts in blocks that are no program
]


def setup(_app: object) -> None:
    """Write the reference of the command line before the pages are read."""
    cli_reference.write(HERE / "reference" / "cli.md")
