"""Labels as RTSTRUCT, by pydicom: a structure a class, drawn on the slices that it was found on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from fve_pipeline import __version__
from fve_pipeline.files.atomic import replaced_whole
from fve_pipeline.volume.coded_terms import Coding, coded_term
from fve_pipeline.volume.dicom_source import MadeBy, SourceSeries, description, unquoted
from fve_pipeline.volume.outlines import outlines

__all__ = ["write_structures"]

_OF_THE_PATIENT = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID", "StudyDate", "StudyTime",
    "AccessionNumber", "ReferringPhysicianName", "FrameOfReferenceUID", "SpecificCharacterSet",
)  # fmt: skip
_COLOURS = ((230, 60, 60), (60, 180, 75), (255, 200, 25), (0, 130, 200), (245, 130, 48), (145, 30, 180))


def write_structures(
    out: Path,
    source: SourceSeries,
    names: Sequence[str],
    masks: Iterable[NDArray[np.bool_]],
    made_by: MadeBy | None,
) -> None:
    """Write structures called ``names`` as one RTSTRUCT; ``masks`` are theirs, (slice, row, column) in the source's order.

    Contours pass half-way between voxels inside and outside, in the planes of the source's slices, and may overlap. Patient
    and study are those of the source; the instance and its series are new. ``made_by`` None: drawn by people.

    Raises
    ------
    ReadError
        Where the masks are not of the source's shape.
    """
    data = _object(source, made_by)
    data.StructureSetROISequence, data.ROIContourSequence, data.RTROIObservationsSequence = [], [], []
    for number, (name, mask) in enumerate(zip(names, masks, strict=True), start=1):
        source.check(mask.shape)
        data.StructureSetROISequence.append(_roi(number, name, source, made_by))
        drawn = Dataset()
        drawn.ROIDisplayColor = list(_COLOURS[(number - 1) % len(_COLOURS)])
        drawn.ReferencedROINumber = number
        if contours := _contours(mask, source):
            drawn.ContourSequence = contours
        data.ROIContourSequence.append(drawn)
        data.RTROIObservationsSequence.append(_observed(number, name))
    with replaced_whole(out) as part, unquoted():
        data.save_as(part, enforce_file_format=True)


def _object(source: SourceSeries, made_by: MadeBy | None) -> FileDataset:
    first = source.headers[0]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = RTStructureSetStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    for keyword in _OF_THE_PATIENT:
        if keyword in first:
            data[keyword] = first[keyword]
    now = datetime.now()
    data.SOPClassUID, data.SOPInstanceUID = RTStructureSetStorage, meta.MediaStorageSOPInstanceUID
    data.Modality, data.SeriesInstanceUID = "RTSTRUCT", generate_uid()
    data.SeriesNumber, data.InstanceNumber, data.OperatorsName = None, 1, ""
    data.Manufacturer, data.ManufacturerModelName = (
        "fve_pipeline",
        (made_by.name if made_by is not None else "fve_pipeline")[:64],
    )
    data.SoftwareVersions = __version__
    data.StructureSetLabel = "SEGMENTATION"
    data.StructureSetDescription = description(made_by)
    data.InstanceCreationDate = data.StructureSetDate = now.strftime("%Y%m%d")
    data.InstanceCreationTime = data.StructureSetTime = now.strftime("%H%M%S")
    data.ApprovalStatus = "UNAPPROVED"
    data.ReferencedFrameOfReferenceSequence = [_references(source)]
    return data


def _references(source: SourceSeries) -> Dataset:
    first = source.headers[0]
    frame, study, series = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = first.SeriesInstanceUID
    series.ContourImageSequence = [_image(header) for header in source.headers]
    study.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"  # a study, as this sequence has always named it
    study.ReferencedSOPInstanceUID = first.StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID = first.FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    return frame


def _image(header: Any, frame: int | None = None) -> Dataset:
    image = Dataset()
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    if frame is not None:
        image.ReferencedFrameNumber = frame + 1
    return image


def _roi(number: int, name: str, source: SourceSeries, made_by: MadeBy | None) -> Dataset:
    roi = Dataset()
    roi.ROINumber, roi.ROIName = number, name[:64]
    roi.ReferencedFrameOfReferenceUID = source.headers[0].FrameOfReferenceUID
    roi.ROIGenerationAlgorithm = "MANUAL" if made_by is None else "AUTOMATIC"
    if made_by is not None:
        roi.ROIGenerationDescription = f"{made_by.name} {made_by.version}"[:64]
    return roi


def _observed(number: int, name: str) -> Dataset:
    term = coded_term(name)
    observed = Dataset()
    observed.ObservationNumber = observed.ReferencedROINumber = number
    observed.RTROIInterpretedType, observed.ROIInterpreter = "", ""
    code = _code(term.type)
    if term.side is not None:
        code.SegmentedPropertyTypeModifierCodeSequence = [_code(term.side)]
    observed.RTROIIdentificationCodeSequence = [code]
    return observed


def _code(coding: Coding) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = coding.code, coding.scheme, coding.meaning
    return code


def _contours(mask: NDArray[np.bool_], source: SourceSeries) -> list[Dataset]:
    found = []
    for place in np.flatnonzero(mask.any(axis=(1, 2))).tolist():
        of_slice = source.headers[place] if len(source.headers) > 1 else source.headers[0]
        frame = source.frames[place] if len(source.headers) == 1 and len(mask) > 1 else None
        for points in outlines(mask[place]):
            at = source.affine[:3, 0] * place + points @ source.affine[:3, 1:3].T + source.affine[:3, 3]
            contour = Dataset()
            contour.ContourImageSequence = [_image(of_slice, frame)]
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.NumberOfContourPoints = len(at)
            contour.ContourData = [f"{value:.4f}" for value in at.ravel()]
            found.append(contour)
    return found
