"""Tables and a plot of the Bio2Vol benchmark's runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from bio2vol_data import PROMPTS

__all__ = ["plot", "table"]


def table(name: str, rows: dict[str, list[dict[str, float]]]) -> str:
    """Markdown: mean ± spread over seeds."""
    columns = ["dsc", "nsd", "hd95", "found", *(f"dsc, {p}" for p in PROMPTS)]
    columns += ["s_a_step", "s_a_slice", "mib_a_sub_volume"]
    lines = [f"| {name} | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for label, seeds in rows.items():
        cells = [
            f"{np.mean([s[c] for s in seeds]):.3f} ± {np.std([s[c] for s in seeds]):.3f}" for c in columns
        ]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(path: Path, results: dict[str, dict[str, list[dict[str, float]]]]) -> None:
    """A panel a table: DSC of each variant with its spread; for the depths, time and memory a step as well."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(results), figsize=(5 * len(results), 4), squeeze=False)
    for panel, (name, rows) in zip(panels[0], results.items(), strict=True):
        values = [[seed["dsc"] for seed in seeds] for seeds in rows.values()]
        places = range(len(rows))
        panel.errorbar(
            places, [np.mean(v) for v in values], [np.std(v) for v in values], marker="o", capsize=3
        )
        panel.set_xticks(list(places), list(rows), rotation=20, ha="right")
        panel.set(title=name, ylabel="DSC")
        if name == "fig4":
            other = panel.twinx()
            memory = [seeds[0]["mib_a_sub_volume"] for seeds in rows.values()]
            other.plot(places, memory, color="tab:red", marker="s", linestyle="--")
            other.set_ylabel("MiB a sub-volume, training", color="tab:red")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
