"""What a model makes of cases: a small segmentation probe that scores coresets, and backbone features."""
