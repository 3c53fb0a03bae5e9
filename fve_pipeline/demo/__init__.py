"""The demo, and the cohort that it makes."""
