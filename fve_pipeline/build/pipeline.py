"""Build a store: check, prepare, plan, encode, commit. One builder at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fve_pipeline.build.cases import Dataset, expand_datasets, find_jobs
from fve_pipeline.build.encode.stage import EncodeStage
from fve_pipeline.build.prepare.facts import Failure
from fve_pipeline.build.prepare.job import prepare_settings
from fve_pipeline.build.prepare.journal import read_journal
from fve_pipeline.build.prepare.roster import read_roster
from fve_pipeline.build.prepare.stage import Prepared, prepare_cases
from fve_pipeline.errors import BuildError
from fve_pipeline.files.base import Files
from fve_pipeline.files.locks import BuildLock
from fve_pipeline.files.open import open_files
from fve_pipeline.files.owner import LOCK
from fve_pipeline.runtime.executor import Executor
from fve_pipeline.runtime.progress import Progress
from fve_pipeline.store.commit import next_generation, recover
from fve_pipeline.store.layout import MANIFEST
from fve_pipeline.store.reader import Store, open_store
from fve_pipeline.store.schema import StoreSettings

__all__ = ["BuildSummary", "build_store", "default_work", "encode_prepared", "mask_dtype", "prepare_datasets"]


@dataclass(frozen=True, slots=True)
class BuildSummary:
    """What a build did: cases and samples in the store now, those that are new, and the cases that failed."""

    out: str
    cases: int
    samples: int
    new_cases: int
    new_samples: int
    shards: int
    content_id: str
    failures: tuple[Failure, ...]


def default_work(out: str) -> Path:
    """The prepared store's folder beside a local store: ``a/slices.zarr`` → ``a/slices.work``.

    Raises BuildError for a store that is not local.
    """
    if "://" in out:
        msg = (
            f"{out} is not on this machine: say with --work DIR where the workers share their prepared cases"
        )
        raise BuildError(msg)
    path = Path(out)
    return path.with_name(f"{path.name.removesuffix('.zarr')}.work")


def mask_dtype(datasets: Sequence[Dataset]) -> str:
    """The masks' dtype: from what the catalogs declare, never from the data."""
    return "uint16" if any(dataset.catalog.mask_dtype == "uint16" for dataset in datasets) else "uint8"


def prepare_datasets(
    datasets: Sequence[Dataset],
    work: Path,
    settings: StoreSettings,
    executor: Executor,
    progress: Progress,
    *,
    only: frozenset[str] | None = None,
    salt: str | None = None,
    base: Store | None = None,
    device: str = "cpu",
) -> Prepared:
    """Stage 1 for all cases of ``datasets`` that ``base`` does not hold. Takes the work folder's lock.

    ``only`` and ``salt`` are those of :func:`find_jobs`.
    """
    work.mkdir(parents=True, exist_ok=True)
    with BuildLock(open_files(work)):
        found = expand_datasets(datasets)
        jobs = find_jobs(found, work, prepare_settings(settings), only=only, salt=salt, device=device)
        committed = {row["case"]: row for row in base.cases.to_pylist()} if base else {}
        return prepare_cases(found, jobs, work, settings, committed, executor, progress)


def build_store(
    datasets: Sequence[Dataset],
    out: str,
    work: Path,
    settings: StoreSettings,
    executor: Executor,
    progress: Progress,
    *,
    overwrite: bool = False,
    only: frozenset[str] | None = None,
    salt: str | None = None,
    device: str = "cpu",
) -> BuildSummary:
    """Both stages and the commit. What an earlier run finished is not done again.

    Raises BuildError when settings or sources differ from what the store was built with (unless
    ``overwrite``), when nothing can be built, or when the machine is at fault; StoreLockedError when another
    build is writing into ``out``.
    """
    store = _open_target(out)
    with BuildLock(store) as lock:
        base, generation = _base(store, out, settings, overwrite)
        prepared = prepare_datasets(
            datasets, work, settings, executor, progress, only=only, salt=salt, base=base, device=device
        )
        return _encode(
            store, out, work, settings, base, generation, prepared, executor, progress, lock, device
        )


def encode_prepared(
    out: str,
    work: Path,
    settings: StoreSettings,
    executor: Executor,
    progress: Progress,
    *,
    overwrite: bool,
) -> BuildSummary:
    """Stage 2 alone: what `fve prepare` left in ``work`` becomes the store ``out``."""
    store = _open_target(out)
    with BuildLock(store) as lock:
        base, generation = _base(store, out, settings, overwrite)
        roster = read_roster(work)
        if roster.settings != asdict(prepare_settings(settings)):
            msg = (
                f"{work} was prepared with {roster.settings}, and {asdict(prepare_settings(settings))} is asked for. "
                "Give the preset and options that it was prepared with, or prepare again."
            )
            raise BuildError(msg)
        journal = read_journal(work / "journal")
        held = set(base.cases.column("case").to_pylist()) if base else set()
        prepared = Prepared(roster, [case for case in roster.cases if case not in held], journal, 0)
        return _encode(
            store, out, work, settings, base, generation, prepared, executor, progress, lock, "cpu"
        )


def _open_target(out: str) -> Files:
    """Files of the store to be. Raises BuildError for a folder that holds something else."""
    folder = Path(out)
    if "://" not in out and folder.is_dir():
        names = {path.name for path in folder.iterdir()}
        if names and not names & {MANIFEST, LOCK.split("/")[0]}:
            msg = (
                f"--out {out} is a folder that is no store: it holds {', '.join(sorted(names)[:3])}. Name a new "
                "folder, such as slices.zarr"
            )
            raise BuildError(msg)
    return open_files(out)


def _base(store: Files, out: str, settings: StoreSettings, overwrite: bool) -> tuple[Store | None, int]:
    """The committed store to append to, if any, and the number of the generation to build."""
    recover(store)
    generation = next_generation(store)
    if overwrite or not store.exists(MANIFEST):
        return None, generation
    base = open_store(out)
    differences = [
        f"{name} is {getattr(base.settings, name)!r}, asked for {value!r}"
        for name, value in settings.model_dump().items()
        if getattr(base.settings, name) != value
    ]
    if differences:
        msg = (
            f"{out} was built with other settings: {'; '.join(differences)}. Build with the store's settings to "
            "append, elsewhere with --out, or anew with --overwrite."
        )
        raise BuildError(msg)
    return base, generation


def _encode(
    store: Files,
    out: str,
    work: Path,
    settings: StoreSettings,
    base: Store | None,
    generation: int,
    prepared: Prepared,
    executor: Executor,
    progress: Progress,
    lock: BuildLock,
    device: str,
) -> BuildSummary:
    if base is not None:
        _refuse_changed_catalogs(base, prepared)
        if not prepared.cases:
            return _summary(out, base, base, prepared)
    stage = EncodeStage(store, open_files(work / "prepared"), settings, base, generation, lock, device)
    stage.run(prepared, executor, progress)
    return _summary(out, open_store(out), base, prepared)


def _refuse_changed_catalogs(base: Store, prepared: Prepared) -> None:
    built_with = {source.dataset: source.catalog_sha256 for source in base.manifest.sources}
    changed = [
        dataset.name
        for dataset in prepared.roster.datasets
        if built_with.get(dataset.name, dataset.catalog_sha256) != dataset.catalog_sha256
    ]
    if changed:
        msg = (
            f"the catalog of {', '.join(changed)} is not the one that the store was built with: classes, prompts or "
            "layout differ. Build with the old catalog to append, or anew with --overwrite."
        )
        raise BuildError(msg)


def _summary(out: str, now: Store, base: Store | None, prepared: Prepared) -> BuildSummary:
    manifest = now.manifest
    return BuildSummary(
        out=out,
        cases=manifest.n_cases,
        samples=manifest.n_samples,
        new_cases=manifest.n_cases - (base.manifest.n_cases if base else 0),
        new_samples=manifest.n_samples - (base.manifest.n_samples if base else 0),
        shards=len(manifest.shards),
        content_id=manifest.content_id,
        failures=prepared.roster.failures,
    )
