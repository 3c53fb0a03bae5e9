"""The second flat map: one task a shard."""
