"""Bio2Vol: adapting the segmenter to volumes without a new parameter (needs torch)."""
