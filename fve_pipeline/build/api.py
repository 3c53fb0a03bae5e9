"""Building from Python: one call."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fve_pipeline.build.cases import datasets_of
from fve_pipeline.build.pipeline import build, default_work
from fve_pipeline.build.prepare.veil import salt_mark
from fve_pipeline.build.request import BuildRequest, BuildSummary
from fve_pipeline.build.settings import settings_for
from fve_pipeline.catalog import Catalog, load_catalog
from fve_pipeline.catalog.errata import load_errata
from fve_pipeline.errors import SettingsError
from fve_pipeline.runtime.device import choose_device, gpu_count
from fve_pipeline.runtime.executor import Executor, cluster
from fve_pipeline.runtime.progress import Progress, Silent
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.store.schema import StoreSettings

__all__ = ["build_store"]


def build_store(
    catalogs: str | Path | Catalog | Sequence[str | Path | Catalog],
    root: str | Path | Mapping[str, str | Path],
    out: str | Path,
    *,
    settings: StoreSettings | None = None,
    preset: str = "paper",
    work: str | Path | None = None,
    only: Iterable[str] | None = None,
    salt: str | None = None,
    errata: str | Path | None = None,
    overwrite: bool = False,
    executor: Executor | None = None,
    workers: int | None = None,
    memory: int | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
    **changes: Any,
) -> BuildSummary:
    """Build a store of encoded slices from medical volumes, or append new cases to it.

    It does what ``fve build`` does, with the same result: interrupt it and call it again, and it does what is
    missing. Worker processes are started for the call, and they import the calling script: call it below
    ``if __name__ == "__main__":`` there.

    Parameters
    ----------
    catalogs
        Which files belong together and what they show: names of shipped catalogs, TOML files, or loaded ones.
    root
        The folder that the catalogs' patterns start from, or a folder for each catalog by name.
    out
        The store: a folder such as ``slices.zarr``, or a URL such as ``s3://bucket/slices.zarr``.
    settings
        All settings of the store. Without them they are those of ``preset``, with ``changes`` in their place: names
        and values of :class:`StoreSettings`, such as ``order=2, size=256``.
    preset
        ``paper`` or ``released``.
    work
        Folder of the prepared cases, by default beside the store.
    only
        Ids of the cases to take; all of them by default.
    salt
        Hide names: subjects, cases and paths are recorded as salted hashes.
    errata
        A TOML or Parquet file of corrections of labels, by the sha256 of the image.
    overwrite
        Replace the store. The old one can be read until the new one is whole.
    executor
        Workers that run already, from :func:`fve_pipeline.runtime.executor.cluster`. Without it ``workers``
        processes (one a core) are started, which may use ``memory`` bytes together (80 % of the machine's).
    device
        ``cpu``, ``cuda`` or ``auto``: where the workers window and encode.
    progress
        Told how far the build is.

    Returns
    -------
    BuildSummary
        Cases and samples of the store, those that are new, and the cases that failed, with reasons.

    Raises
    ------
    CatalogError, SettingsError
        When a catalog or a setting cannot be used.
    BuildError
        When settings or sources differ from what the store was built with, nothing can be built, or the machine is
        at fault (MachineError).
    StoreLockedError
        When another build is writing into the store.
    """
    datasets = datasets_of(_loaded(catalogs), root)
    if settings is None:
        settings = settings_for(datasets, preset, subject_salt=salt_mark(salt), **changes)
    elif changes or preset != "paper":
        msg = f"given beside {', '.join(sorted(changes)) or 'a preset'}; give whole settings, or changes to a preset"
        raise SettingsError("settings", msg)
    elif salt is not None:
        settings = settings.model_copy(update={"subject_salt": salt_mark(salt)})
    folder = Path(work) if work is not None else default_work(str(out))
    request = BuildRequest(
        datasets=datasets,
        work=folder.absolute(),
        settings=settings,
        only=None if only is None else frozenset(only),
        salt=salt,
        errata={} if errata is None else load_errata(Path(errata)),
        out=str(out),
        overwrite=overwrite,
    )
    chosen = choose_device(device)
    gpus = gpu_count() if chosen == "cuda" else 0
    with contextlib.ExitStack() as stack:
        running = executor or stack.enter_context(cluster(workers, memory, gpus=gpus))
        return build(request, Resources(running, progress or Silent(), chosen))


def _loaded(catalogs: str | Path | Catalog | Sequence[str | Path | Catalog]) -> list[Catalog]:
    several = [catalogs] if isinstance(catalogs, str | Path | Catalog) else catalogs
    return [one if isinstance(one, Catalog) else load_catalog(str(one)) for one in several]
