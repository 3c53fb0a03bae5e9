"""From volumes and prompts to label maps (needs torch; the modules before the network do not)."""
