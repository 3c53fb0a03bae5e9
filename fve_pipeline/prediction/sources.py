"""Which volumes there are to predict, and how each becomes uint8."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.build.prepare.facts import CaseFacts
from fve_pipeline.build.prepare.journal import read_journal
from fve_pipeline.catalog import Catalog, find_volumes
from fve_pipeline.errors import PredictionError, ReadError
from fve_pipeline.files.open import open_files
from fve_pipeline.imaging.intensity import parse_window, to_uint8
from fve_pipeline.prediction.settings import SliceSettings
from fve_pipeline.store.array import ShardedArray
from fve_pipeline.volume import hash_files, list_series, read_image, source_affine, source_files
from fve_pipeline.volume.kinds import kind_of

__all__ = ["Intensity", "Picture", "VolumeSource", "find_sources", "open_source", "source_sha256", "together"]

_ENDINGS = {
    ".nii.gz": ".nii.gz",
    ".nii": ".nii.gz",
    ".nrrd": ".nrrd",
    ".nhdr": ".nrrd",
    ".mha": ".mha",
    ".mhd": ".mha",
    ".npz": ".npz",
    ".tif": ".nii.gz",
    ".tiff": ".nii.gz",
    ".h5": ".nii.gz",
    ".hdf5": ".nii.gz",
}


@dataclass(frozen=True)
class VolumeSource:
    """One volume: ``name`` is its output's path below the output folder, without ``ending``.

    ``facts`` are those of a case of a prepared store, whose folder is ``path``. ``images`` are files of renditions that
    have their own, beside ``path``, the main one.
    """

    name: str
    path: Path
    ending: str
    series: str | None = None
    facts: CaseFacts | None = None
    images: tuple[tuple[str, Path], ...] = ()


@dataclass(frozen=True)
class Intensity:
    """How grey values become 0..255 where the file doesn't say it all.

    ``channel`` is of a multi-channel file, ``member`` an array of an npz or HDF5 file, ``rendition`` of a prepared store
    with several. ``nonfinite`` replaces NaN and infinite voxels, tilted series are straightened if ``resample_tilt``, and
    ``percentiles_over`` is a catalog's; a checkpoint may say all three.
    """

    modality: str | None = None
    window: str | None = None
    channel: int | None = None
    scaled: bool = False
    rendition: str | None = None
    nonfinite: float | None = None
    resample_tilt: bool = False
    member: str | None = None
    percentiles_over: str | None = None


@dataclass(frozen=True, eq=False)
class Picture:
    """A volume ready to be sliced: ``image`` (z,y,x) uint8 in LPS, ``spacing`` (z,y,x) mm.

    ``affine`` is that of the voxels in the source's own order (index, slowest axis first, to LPS mm);
    ``decision`` says how the grey values were made, ``notes`` what else was assumed in reading.
    """

    image: NDArray[np.uint8]
    spacing: tuple[float, float, float]
    affine: NDArray[np.float64]
    decision: str
    notes: tuple[str, ...] = ()


def find_sources(
    paths: Iterable[Path],
    catalog: Catalog | None = None,
    note: Callable[[str], None] = lambda _: None,
    renditions: Sequence[str] = (),
) -> list[VolumeSource]:
    """The volumes in files, folders of files, DICOM folders and prepared stores, in a stable order.

    In a folder where ``catalog`` finds images, these are the volumes, and its other files are not; those of the only
    one of ``renditions``, where it has files of its own. With several, each volume knows its ``images``. Where the
    catalog finds none, every file is one, and ``note`` is told so.

    Raises
    ------
    PredictionError
        For a path that holds no volume, or two volumes of one name.
    """
    sources: dict[str, VolumeSource] = {}
    for path in dict.fromkeys(paths):
        found = list(_inside(path, catalog, note, renditions))
        if not found and (path / "manifest.json").is_file():
            msg = (
                f"{path}: a store of slices, which are no volumes; give its prepared store, beside it unless --work "
                f"said otherwise ({path.with_suffix('.work')})"
            )
            raise PredictionError(msg)
        if not found:
            msg = f"{path}: no volume here; expected NIfTI, NRRD, MHA, TIFF, npz, HDF5, DICOM or a prepared store"
            raise PredictionError(msg)
        for source in found:
            if source.name in sources:
                msg = f"{sources[source.name].path} and {source.path} are one by name ({source.name}); rename one"
                raise PredictionError(msg)
            sources[source.name] = source
    return list(sources.values())


def _inside(
    path: Path, catalog: Catalog | None, note: Callable[[str], None], renditions: Sequence[str]
) -> Iterator[VolumeSource]:
    if not path.is_dir():
        for one in () if catalog is None else catalog.renditions:
            if one.name in renditions and one.image:
                msg = f"{path}: rendition {one.name!r} has files of its own ({one.image}): give the data set's folder"
                raise PredictionError(msg)
        yield _file(path, path.parent)
        return
    if (path / "journal").is_dir() and (path / "prepared").is_dir():
        facts = read_journal(path / "journal")
        for case in sorted(facts):
            yield VolumeSource(case, path, ".nii.gz", facts=facts[case])
        return
    if catalog is not None:
        if volumes := find_volumes(catalog, path):
            for main, others in volumes:
                if len(renditions) == 1:
                    main, others = others.get(renditions[0], main), {}
                image = path / main
                images = tuple((name, path / file) for name, file in others.items() if name in renditions)
                for source in _files_of(image, path) if image.is_dir() else (_file(image, path),):
                    yield replace(source, images=images)
            return
        note(
            f"{path}: not laid out as catalog {catalog.name} says; every volume in it is predicted, labels too"
        )
    for folder in sorted({path, *(p for p in path.rglob("*") if p.is_dir() and not p.name.startswith("."))}):
        yield from _files_of(folder, path)


def _file(path: Path, root: Path) -> VolumeSource:
    ending = _ending(path)
    if ending is None:  # a name that says nothing: a DICOM file, or an error that names the first bytes
        kind_of(path, path.name)
    stem = path.name.removesuffix(ending or path.suffix)
    name = (path.parent.relative_to(root) / stem).as_posix()
    return VolumeSource(name, path, _ENDINGS.get((ending or "").lower(), ".nii.gz"))


def _files_of(folder: Path, root: Path) -> Iterator[VolumeSource]:
    below = folder.relative_to(root)
    files = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    for file in files:
        if _ending(file) is not None:
            yield _file(file, root)
    rest = [file for file in files if _ending(file) is None]
    if not any(_is_dicom(file) for file in rest):
        return
    name = below.as_posix() if below.parts else folder.resolve().name
    try:
        series = list_series(folder)
    except ReadError:  # it will say so when it is read, and the other volumes are predicted
        yield VolumeSource(name, folder, ".nii.gz")
        return
    for one in series:
        own = name if len(series) == 1 else f"{name}-{one.key}"
        yield VolumeSource(own, folder, ".nii.gz", series=one.key)


def _ending(path: Path) -> str | None:
    name = path.name.lower()
    found = next((ending for ending in _ENDINGS if name.endswith(ending)), None)
    return None if found is None else path.name[len(name) - len(found) :]


def _is_dicom(file: Path) -> bool:
    try:
        return kind_of(file, file.name) == "dicom"
    except ReadError:
        return False


def source_sha256(source: VolumeSource) -> str:
    """sha256 of the source's bytes; of a prepared case, of its pixels."""
    if source.facts is not None:
        return source.facts.pixels_sha256
    files = source_files(source.path, source.series)
    return hash_files([*files, *(file for _, path in source.images for file in source_files(path))])


def open_source(source: VolumeSource, intensity: Intensity, settings: SliceSettings) -> Picture:
    """Read a volume and make it uint8, as a build with the same settings would.

    Raises
    ------
    PredictionError
        If neither file nor user says the modality, or a CT's window.
    ReadError
        For a file that cannot be read right.
    """
    if source.facts is not None:
        return _prepared(source.path, source.facts, intensity.rendition)
    volume = read_image(
        dict(source.images).get(intensity.rendition or "", source.path),
        series=source.series,
        channel=intensity.channel,
        modality=intensity.modality,
        member=intensity.member,
        nonfinite=settings.nonfinite if intensity.nonfinite is None else intensity.nonfinite,
        resample_tilt=settings.resample_tilt or intensity.resample_tilt,
    )
    # The challenge's files hold 0..255 already.
    scaled = intensity.scaled or (source.ending == ".npz" and volume.array.dtype == np.uint8)
    modality = volume.modality
    if modality is None and scaled:
        modality = "unknown"
    if modality is None:
        msg = f"{source.path}: does not say its modality; give --modality CT, MR, PET, US or Microscopy, or --catalog"
        raise PredictionError(msg)
    if modality == "CT" and intensity.window is None and not scaled:
        msg = (
            f"{source.path}: a CT needs a window; give --window (such as soft_tissue, or 400/40) or --catalog"
        )
        raise PredictionError(msg)
    image, decision = to_uint8(
        volume.array,
        modality=modality,
        rule=settings.intensity_rule,
        window=parse_window(intensity.window) if intensity.window is not None else None,
        percentiles_over=intensity.percentiles_over or settings.percentiles_over,
        scaled=scaled,
    )
    affine = source_affine(source.path, source.series, intensity.member)
    return Picture(image, volume.spacing, affine, f"{modality}: {decision}", volume.notes)


def together(pictures: Sequence[Picture], names: Sequence[str], path: Path) -> Picture:
    """Return what is common to a volume's renditions: the first of them, with the decisions and notes of all.

    Raises PredictionError where they differ in shape.
    """
    first = pictures[0]
    if len(pictures) == 1:
        return first
    shapes = {name: picture.image.shape for name, picture in zip(names, pictures, strict=True)}
    if len(set(shapes.values())) > 1:
        said = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        msg = (
            f"{path}: its renditions differ in shape (z,y,x): {said}; expected one grid. Register them first"
        )
        raise PredictionError(msg)
    decisions = "; ".join(
        f"{name}: {picture.decision}" for name, picture in zip(names, pictures, strict=True)
    )
    notes = dict.fromkeys(note for picture in pictures for note in picture.notes)
    return replace(first, decision=decisions, notes=tuple(notes))


def _prepared(work: Path, facts: CaseFacts, rendition: str | None) -> Picture:
    """A case of a prepared store: uint8 and LPS already."""
    chosen = rendition or facts.renditions[0]
    if chosen not in facts.renditions or (rendition is None and len(facts.renditions) > 1):
        msg = f"{facts.case}: prepared as {', '.join(facts.renditions)}; give --rendition with one of them"
        raise PredictionError(msg)
    image = ShardedArray(open_files(work / "prepared"), f"{facts.group}/{chosen}").read()
    return Picture(image, facts.spacing, np.array(facts.affine), f"prepared: {facts.decision}")
