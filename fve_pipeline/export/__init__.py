"""Stores in the formats that other people's programs read."""
