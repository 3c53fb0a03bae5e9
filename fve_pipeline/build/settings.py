"""The settings of a store to be: a preset's choices, with some of them changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fve_pipeline.build.cases import Dataset, expand_datasets
from fve_pipeline.build.prepare.roster import RosterDataset, read_roster
from fve_pipeline.catalog import Catalog
from fve_pipeline.errors import SettingsError
from fve_pipeline.store.schema import StoreSettings

__all__ = ["PRESETS", "SHARD_BYTES", "settings_for", "settings_of_prepared", "store_settings"]

# `paper`: as BiomedParse-V is written (§3.2, §5.2). `released`: as the released weights' data were made, which
# a store must be for fine-tuning or judging those weights. Both feed order 1 and 512² slices by default.
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"boundary": "repeat", "views_rule": "paper", "intensity_rule": "window", "resize": "opencv"},
    "released": {
        "boundary": "mirror",
        "views_rule": "released",
        "intensity_rule": "medsam",
        "resize": "released",
    },
}
# Of images, before compression.
SHARD_BYTES = 64_000_000


def store_settings(preset: str = "paper", *, shard_bytes: int = SHARD_BYTES, **changes: Any) -> StoreSettings:
    """Return the preset's settings with ``changes`` in their place: names and values of :class:`StoreSettings`.

    A change to None is none. ``shard_samples`` are as many as ``shard_bytes`` of uncompressed images hold, unless
    they are among the changes; every size of slice and form of storage then has files of about one length.
    Training views, more views of training cases that are nearly isotropic, are on.

    Raises SettingsError, which names the setting, for an unknown preset or a value that cannot be.
    """
    if preset not in PRESETS:
        raise SettingsError("preset", f"{preset!r} is none of {', '.join(PRESETS)}")
    given: Mapping[str, Any] = {name: value for name, value in changes.items() if value is not None}
    values: dict[str, Any] = {"preset": preset, **PRESETS[preset], "training_views": True, **given}
    try:
        # The length of a shard follows from settings that are known to be good.
        settings = StoreSettings.model_validate({"shard_samples": 1, **values})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        found = f" (found {first['input']!r})" if name else ""
        raise SettingsError(name, f"{first['msg']}{found}") from error
    if "shard_samples" in values:
        return settings
    channels = 3 if settings.storage == "encoded" else 1
    samples = max(1, shard_bytes // (settings.size**2 * channels))
    return settings.model_copy(update={"shard_samples": samples})


def settings_for(
    datasets: Sequence[Dataset], preset: str = "paper", *, shard_bytes: int = SHARD_BYTES, **changes: Any
) -> StoreSettings:
    """Return :func:`store_settings` for a store of these datasets.

    The masks' dtype follows from what the catalogs declare, never from the data.
    """
    found = [dataset.catalog for dataset in expand_datasets(datasets)]
    given = _masks(found) | changes
    return store_settings(preset, shard_bytes=shard_bytes, **given)


def settings_of_prepared(
    work: Path, preset: str = "paper", *, shard_bytes: int = SHARD_BYTES, **changes: Any
) -> StoreSettings:
    """Return :func:`store_settings` for a store of the cases that are prepared in ``work``."""
    roster = read_roster(work)
    prepared = {name: roster.settings[name] for name in ("percentiles_over", "nonfinite", "resample_tilt")}
    given: dict[str, Any] = _masks(roster.datasets) | changes | prepared
    return store_settings(preset, shard_bytes=shard_bytes, **given, subject_salt=roster.subject_salt)


def _masks(datasets: Sequence[Catalog] | Sequence[RosterDataset]) -> dict[str, Any]:
    """The settings of masks that hold the labels of all of the datasets."""
    wide = any(dataset.mask_dtype == "uint16" for dataset in datasets)
    overlaps = any(dataset.overlaps for dataset in datasets)
    return {"mask_dtype": "uint16" if wide else "uint8", "overlaps": overlaps}
