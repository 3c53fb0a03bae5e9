"""The on-disk contract: the only package that knows how a store lies on disk."""
