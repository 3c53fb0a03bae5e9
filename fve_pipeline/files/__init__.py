"""Where bytes lie: local folders and object stores, written whole or not at all."""
