"""BiomedParse-V, the text-prompted segmenter of FVE-encoded slices, in plain torch."""
