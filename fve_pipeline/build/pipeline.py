"""The road from raw files to a store: asked, prepared, planned, encoded, committed, said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa

from fve_pipeline.build.cases import expand_datasets, find_jobs
from fve_pipeline.build.corrections import correct
from fve_pipeline.build.digests import keep_grown
from fve_pipeline.build.encode.stage import plan_store
from fve_pipeline.build.prepare.job import prepare_settings
from fve_pipeline.build.prepare.journal import read_journal
from fve_pipeline.build.prepare.roster import read_roster
from fve_pipeline.build.prepare.stage import Prepared, prepare_cases
from fve_pipeline.build.request import BuildRequest, BuildSummary, PrepareRequest
from fve_pipeline.build.transaction import Transaction, transaction, working_in
from fve_pipeline.errors import BuildError
from fve_pipeline.files.open import open_files
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.store.layout import JOURNAL, MANIFEST
from fve_pipeline.store.migrations import read_manifest
from fve_pipeline.store.reader import Store, split_generation
from fve_pipeline.store.receipt import Receipt
from fve_pipeline.store.schema import Manifest, StoreSettings
from fve_pipeline.store.verify import require_sound_base

__all__ = ["build", "default_work", "encode_prepared", "prepare", "require_settings", "require_store"]


def build(request: BuildRequest, resources: Resources) -> BuildSummary:
    """Build a store, or append to it. What an earlier run finished is not done again.

    Raises BuildError when settings or sources differ from what the store was built with (unless it is to be
    overwritten), when nothing can be built, or when the machine is at fault; StoreLockedError when another build
    is writing into the store or the folder of prepared cases.
    """
    with transaction(request.out, resources, overwrite=request.overwrite) as store, working_in(request.work):
        settings = _settings_beside(_manifest(store.base), request.out, request.settings)
        prepared = _prepare(request, store.base, resources)
        return _encode(store, prepared, request.work, settings, request.out)


def prepare(request: PrepareRequest, resources: Resources) -> Prepared:
    """Prepare every case: the first half of a build. Raises as :func:`build` does."""
    with working_in(request.work):
        return _prepare(request, None, resources)


def encode_prepared(
    work: Path, settings: StoreSettings, out: str, resources: Resources, *, overwrite: bool = False
) -> BuildSummary:
    """Build a store of the cases that are prepared in ``work``: the second half of a build.

    Raises as :func:`build` does, and BuildError when they were prepared with other settings.
    """
    with transaction(out, resources, overwrite=overwrite) as store, working_in(work):
        settings = _settings_beside(_manifest(store.base), out, settings)
        return _encode(store, _prepared_before(work, settings, store.base), work, settings, out)


def default_work(out: str) -> Path:
    """Return the prepared store's folder beside a local store: ``a/slices.zarr`` → ``a/slices.work``.

    Raises BuildError for a store that is not local.
    """
    if "://" in out:
        msg = (
            f"{out} is not on this machine: say with --work DIR where the workers share their prepared cases"
        )
        raise BuildError(msg)
    path = Path(out)
    return path.with_name(f"{path.name.removesuffix('.zarr')}.work")


def _prepare(request: PrepareRequest, base: Store | None, resources: Resources) -> Prepared:
    found = expand_datasets(request.datasets)
    jobs = find_jobs(
        found,
        request.work,
        prepare_settings(request.settings),
        only=request.only,
        salt=request.salt,
        device=resources.device,
    )
    committed = {row["case"]: row for row in base.cases.to_pylist()} if base else {}
    corrected = correct(jobs, request.errata, found, request.work, resources)
    return prepare_cases(
        found, corrected.jobs, request.work, request.settings, committed, resources, corrected.dropped
    )


def _prepared_before(work: Path, settings: StoreSettings, base: Store | None) -> Prepared:
    roster = read_roster(work)
    asked = asdict(prepare_settings(settings))
    if roster.settings != asked:
        msg = (
            f"{work} was prepared with {roster.settings}, and {asked} is asked for. Give the preset and options that "
            "it was prepared with, or prepare again."
        )
        raise BuildError(msg)
    held = set(base.cases.column("case").to_pylist()) if base else set()
    cases = [case for case in roster.cases if case not in held]
    return Prepared(roster, cases, read_journal(work / "journal"), 0)


def _encode(
    store: Transaction, prepared: Prepared, work: Path, settings: StoreSettings, out: str
) -> BuildSummary:
    base = store.base
    if base is not None:
        _refuse_changed_catalogs(base, prepared)
        if not prepared.cases:
            return _summary(out, base.manifest, base, prepared)
        require_sound_base(base)
    plan = plan_store(prepared, settings, base)
    shards = plan.work(open_files(work / "prepared"), store.resources.device)

    def index(receipts: Sequence[Receipt]) -> pa.Table:
        keep_grown(work, base, receipts)
        return plan.index(receipts)

    manifest = store.publish(plan.content(), shards, index)
    return _summary(out, manifest, base, prepared)


def require_settings(out: str, settings: StoreSettings) -> None:
    """Raise BuildError where the store at ``out`` has other settings than a build that would add to it.

    A build looks again under the store's lock; this is for before its workers start. Nothing there is no fault.
    """
    files = open_files(out)
    if files.exists(MANIFEST):
        _settings_beside(read_manifest(files), files.url, settings)


def require_store(location: str) -> None:
    """Raise StoreError where there is neither a store nor one that was killed while it committed."""
    files = open_files(split_generation(location)[0])
    if not files.exists(JOURNAL):
        read_manifest(files)


def _manifest(store: Store | None) -> Manifest | None:
    return store.manifest if store else None


def _settings_beside(base: Manifest | None, place: str, settings: StoreSettings) -> StoreSettings:
    """Return the settings to build with. Raises BuildError when the store that is to grow has others.

    One of before labels could overlap keeps its masks' type: combinations find their values in it, or are refused.
    """
    if base is None:
        return settings
    if base.format_version == 1 and settings.overlaps:
        own = {name: getattr(base.settings, name) for name in ("mask_dtype", "overlaps")}
        settings = settings.model_copy(update=own)
    differences = [
        f"{name} is {getattr(base.settings, name)!r}, asked for {value!r}"
        for name, value in settings.model_dump().items()
        if getattr(base.settings, name) != value
    ]
    if differences:
        msg = (
            f"{place} was built with other settings: {'; '.join(differences)}. Build with the store's "
            "settings to append, elsewhere with --out, or anew with --overwrite."
        )
        raise BuildError(msg)
    return settings


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


def _summary(out: str, manifest: Manifest, base: Store | None, prepared: Prepared) -> BuildSummary:
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
