"""Many training runs that differ in named settings and seeds, and one table of what the settings do."""
