"""``python -m fve_pipeline`` is ``fve``."""

from fve_pipeline.cli.main import main

main()
