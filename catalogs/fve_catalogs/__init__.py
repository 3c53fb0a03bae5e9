"""Dataset descriptors (TOML) that ship with fve_pipeline. Data, no code."""
