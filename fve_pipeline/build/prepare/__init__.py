"""The first flat map: one task a case."""
