"""Which volumes there are to predict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fve_pipeline.build.prepare.facts import CaseFacts
from fve_pipeline.build.prepare.journal import read_journal
from fve_pipeline.catalog import Catalog, find_volumes
from fve_pipeline.errors import PredictionError, ReadError
from fve_pipeline.runtime.suggest import beside
from fve_pipeline.volume import hash_files, list_series, source_files
from fve_pipeline.volume.kinds import kind_of

__all__ = ["DICOM_ENDINGS", "VolumeSource", "find_sources", "is_dicom", "source_sha256"]

#: What label maps that go back to an archive are called, by what ``fve predict --to`` asks for.
DICOM_ENDINGS = {"seg": ".seg.dcm", "rtstruct": ".rtstruct.dcm"}

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
    if not path.exists():
        msg = f"{path}: no such file or folder. {beside(path)}".rstrip()
        raise PredictionError(msg)
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


def is_dicom(source: VolumeSource) -> bool:
    """Whether a volume is a DICOM series, to which an object of an archive can refer."""
    return source.facts is None and (source.path.is_dir() or _is_dicom(source.path))


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
