"""Training runs: what their logs say, as curves and as a page."""
