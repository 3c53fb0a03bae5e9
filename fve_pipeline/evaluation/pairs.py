"""Which prediction belongs to which truth, and to which dataset and modality."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from fve_pipeline.errors import EvaluationError
from fve_pipeline.evaluation.apart import APART

__all__ = ["Missing", "Pair", "images_beside", "match_folders", "read_case_table", "stem"]

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".npz")
_MODALITIES = ("CT", "MR", "US", "PET", "Microscopy")

_TRUTHS = re.compile(r"(.+)_gts?(?:_.*)?")

CaseTable = dict[str, tuple[str, str]]
"""Dataset and modality by case."""


@dataclass(frozen=True)
class Pair:
    """One case to score. ``case`` is the files' path below their folders, without the ending.

    ``predicted_as`` is the prediction's whole name, which differs from ``case`` where a pattern took a part of it.
    ``image`` is the challenge's npz of the case, whose prompts and spacing say how it is scored.
    """

    case: str
    dataset: str
    modality: str
    truth: Path
    pred: Path
    predicted_as: str = ""
    image: Path | None = None


@dataclass(frozen=True)
class Missing:
    """A case that one of the two folders lacks: ``what`` says which."""

    case: str
    what: str


def match_folders(
    pred: Path,
    truth: Path,
    table: CaseTable | None = None,
    *,
    images: Path | None = None,
    pred_pattern: str = "{case}",
    truth_pattern: str = "{case}",
    apart: bool = False,
) -> tuple[list[Pair], list[Missing]]:
    """Match label maps of two folders (searched all the way down), or two files, by name without ending.

    A pattern says which part of a name, folders included, is the case: ``{case}/labels`` takes ``ct/01`` from
    ``ct/01/labels.nii.gz``, and leaves out what it does not fit.

    Dataset and modality come from ``table`` if given; else the dataset is the folder that a file lies in, or
    the first two words of a name that begins with a modality, as in the challenge (``CT_AMOS_0018``).

    ``images`` holds the challenge's npz images, named as the truths (a file, where truth and prediction are
    files); None looks for it beside the truths (:func:`images_beside`).

    With ``apart`` a case's ``CASE_classes``, a folder of a file a class or a file of a layer a class, is taken where
    there is one; without, it is passed over.

    Raises
    ------
    EvaluationError
        If a folder does not exist or holds two label maps of one name, or no name is in both.
    """
    if pred.is_file() and truth.is_file():
        case = stem(truth)
        image = images if images is not None and images.is_file() else None
        if image is None:
            image = _images(images, truth.parent).get(case)
        return [Pair(case, *_origin(case, table), truth, pred, stem(pred), image)], []
    preds, truths = _label_maps(pred, pred_pattern, apart), _label_maps(truth, truth_pattern, apart)
    both = sorted(preds.keys() & truths.keys())
    if not both:
        msg = (
            f"no label map in {pred} has the name of one in {truth} "
            f"({_some(preds)} against {_some(truths)}); name each prediction as its truth, or say with "
            "--pred-pattern and --truth-pattern which part of a name is the case."
        )
        raise EvaluationError(msg)
    missing = [Missing(case, f"no prediction in {pred}") for case in truths.keys() - preds.keys()]
    missing += [Missing(case, f"no truth in {truth}") for case in preds.keys() - truths.keys()]
    pairs, pictures = [], _images(images, truth)
    for case in both:
        try:
            origin = _origin(case, table)
        except EvaluationError as error:  # a case that a build left out, say, costs itself alone
            missing.append(Missing(case, str(error)))
            continue
        pairs.append(
            Pair(case, *origin, truths[case], preds[case], _below(preds[case], pred), pictures.get(case))
        )
    return pairs, sorted(missing, key=lambda one: one.case)


def images_beside(truth: Path) -> Path | None:
    """Return the folder of images that the challenge keeps beside a folder of truths; None if there is none.

    ``gts`` has ``imgs`` beside it, and ``3D_val_gt`` has ``3D_val_npz``; a folder in ``3D_val_gt`` has it one
    level up.
    """
    for folder in (truth.absolute(), truth.absolute().parent):
        names = ["imgs"] if folder.name == "gts" else []
        if (found := _TRUTHS.fullmatch(folder.name)) is not None:
            names.append(f"{found[1]}_npz")
        for name in names:
            if (folder.parent / name).is_dir():
                return folder.parent / name
    return None


def read_case_table(path: Path) -> CaseTable:
    """Dataset and modality by case, from a Parquet (a store's ``cases.parquet``) or CSV file.

    Raises
    ------
    EvaluationError
        If it is neither, or lacks one of the columns case, dataset and modality.
    """
    columns = ["case", "dataset", "modality"]
    try:
        reader = pyarrow.parquet.read_table if path.suffix == ".parquet" else pyarrow.csv.read_csv
        found = reader(path)
    except (OSError, pa.ArrowInvalid) as error:
        msg = f"{path}: cannot be read as {'Parquet' if path.suffix == '.parquet' else 'CSV'} ({error})."
        raise EvaluationError(msg) from error
    if lacking := [name for name in columns if name not in found.column_names]:
        msg = f"{path}: has no column {', '.join(lacking)} (found {', '.join(found.column_names)})."
        raise EvaluationError(msg)
    rows = zip(*(found.column(name).to_pylist() for name in columns), strict=True)
    return {str(case): (str(dataset), str(modality)) for case, dataset, modality in rows}


def _images(images: Path | None, truth: Path) -> dict[str, Path]:
    """Npz images by case."""
    folder = images if images is not None else images_beside(truth)
    if folder is None:
        return {}
    if not folder.is_dir():
        msg = f"{folder}: no such folder; expected the npz images of the truths in {truth}. Correct --images."
        raise EvaluationError(msg)
    return {case: path for case, path in _label_maps(folder, "{case}").items() if path.suffix == ".npz"}


def _label_maps(folder: Path, pattern: str, apart: bool = False) -> dict[str, Path]:
    if not folder.is_dir():
        msg = f"{folder}: no such folder; expected predictions and truths as two folders, or as two files."
        raise EvaluationError(msg)
    if pattern.count("{case}") != 1:
        msg = f"pattern {pattern!r}: expected {{case}} in it once, as in '{{case}}/labels'"
        raise EvaluationError(msg)
    fits = re.compile(re.escape(pattern).replace(re.escape("{case}"), "(.+)"))
    found: dict[str, Path] = {}
    kept_apart: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        own = path.is_dir() and path.name.endswith(APART)
        if not own and (not path.name.lower().endswith(SUFFIXES) or path.name.startswith(".")):
            continue
        if any(above.name.endswith(APART) for above in path.relative_to(folder).parents):
            continue  # one class of a case
        name = _below(path, folder)
        if name.endswith(APART) and (fit := fits.fullmatch(name.removesuffix(APART))) is not None:
            kept_apart[fit[1]] = path
            continue
        fit = fits.fullmatch(name)
        if fit is None:
            continue
        case = fit[1]
        if case in found:
            msg = f"{found[case]} and {path} are one case by name; keep one of them."
            raise EvaluationError(msg)
        found[case] = path
    return {**found, **kept_apart} if apart else found


def _below(path: Path, folder: Path) -> str:
    """A file's path below the folder, without the ending."""
    return (path.parent.relative_to(folder) / stem(path)).as_posix()


def stem(path: Path) -> str:
    """Return a label map's name without its ending."""
    suffix = next((s for s in SUFFIXES if path.name.lower().endswith(s)), path.suffix)
    return path.name[: len(path.name) - len(suffix)]


def _origin(case: str, table: CaseTable | None) -> tuple[str, str]:
    if table is not None:
        name = case.rsplit("/", 1)[-1]
        same = [key for key in (case, name) if key in table] or [
            k for k in table if k.rsplit("/", 1)[-1] == name
        ]
        if len(same) != 1 and case not in table:
            msg = f"case {case}: {'several rows' if same else 'no row'} of that name in the case table."
            raise EvaluationError(msg)
        return table[same[0]]
    folder, _, name = case.rpartition("/")
    words = name.split("_")
    modality = words[0] if words[0] in _MODALITIES else ""
    return folder or ("_".join(words[:2]) if modality else ""), modality


def _some(maps: dict[str, Path]) -> str:
    return f"{len(maps)} files, as {min(maps)}" if maps else "none"
