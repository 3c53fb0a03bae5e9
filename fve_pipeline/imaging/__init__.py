"""Pure steps over arrays: intensity, views, resampling, the encoding, statistics."""
