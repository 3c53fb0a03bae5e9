"""A planned run as a command of ``fve train`` with a configuration of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from fve_pipeline.ablation.plan import Plan, Trial, toml_of
from fve_pipeline.ablation.queue import TrialJob
from fve_pipeline.errors import TrainError
from fve_pipeline.files.atomic import write_whole

__all__ = ["job_of", "write_config"]


def job_of(plan: Plan, run: Trial, out: Path) -> TrialJob:
    """Return the job of a run below ``out``; begun before, it goes on."""
    folder = out / run.folder
    val = [word for store in run.val or plan.val for word in ("--val", store)]
    chosen = () if run.coreset is None else ("--coreset", run.coreset)
    data = (*(run.stores or plan.stores), *val, *chosen)
    command = (sys.executable, "-m", "fve_pipeline", "train", *data, "--out", str(folder))
    config = str(folder / "train.toml")
    return TrialJob(
        f"{run.variant}, seed {run.seed}", folder, (*command, "--config", config, "--resume", "--json")
    )


def write_config(job: TrialJob, run: Trial) -> None:
    """Write the run's ``train.toml``.

    Raises
    ------
    TrainError
        If the run is done, and was made with other settings.
    """
    own = [*run.stores, *run.val, *([run.coreset] if run.coreset else [])]
    file, text = job.folder / "train.toml", f"# data: {own}\n" * bool(own) + toml_of(run.settings)
    if job.result.exists() and file.read_text(encoding="utf-8") != text:
        msg = f"{file}: done, with other settings than the plan has now; give another --out, or remove {job.folder}"
        raise TrainError(msg)
    job.folder.mkdir(parents=True, exist_ok=True)
    with write_whole(file) as out:
        out.write(text.encode())
