"""Writing a CT series as a scanner does: one file a slice, out of order, with a patient's name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

__all__ = ["write_ct_series"]


def write_ct_series(
    folder: Path,
    hu: NDArray[np.int16],
    spacing: tuple[float, float, float],
    origin: tuple[float, float, float],
    patient: str,
) -> None:
    """Write an LPS volume (z, y, x) in HU as a DICOM CT series, one uncompressed file a slice.

    ``spacing`` is (z, y, x) in mm, ``origin`` the first voxel's LPS position (x, y, z) in mm. Stored values
    are HU + 1024. File names come from UIDs, so their order is not that of the slices; and ``patient``
    stands in the name, the id and the birth date, for whoever must keep such things out of what they make.
    """
    study, series, frame = (_uid(patient, what) for what in ("study", "series", "frame of reference"))
    for number, plane in enumerate(hu, start=1):
        uid = _uid(patient, f"instance {number}")
        dataset = FileDataset(None, {}, file_meta=_meta(uid), preamble=b"\0" * 128)
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, uid
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = (
            study,
            series,
            frame,
        )
        dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = "CT", 2, number
        dataset.SeriesDescription, dataset.Manufacturer = "Abdomen 5.0 B30f", "fve_pipeline"
        dataset.PatientName, dataset.PatientID = f"Demo^{patient}", f"ID-{patient}"
        dataset.PatientBirthDate, dataset.PatientSex = "19700101", "O"
        dataset.StudyDate, dataset.StudyTime, dataset.AccessionNumber = "20200101", "120000", ""
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        _place(dataset, number, spacing, origin)
        _pixels(dataset, plane)
        dataset.save_as(folder / f"{uid.rsplit('.', 1)[-1]}.dcm", enforce_file_format=True)


def _uid(patient: str, what: str) -> str:
    return str(generate_uid(entropy_srcs=["fve_pipeline demo cohort", patient, what]))


def _meta(uid: str) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return meta


def _place(
    dataset: Dataset, number: int, spacing: tuple[float, float, float], origin: tuple[float, float, float]
) -> None:
    x, y, z = origin
    z = round(z + (number - 1) * spacing[0], 4)
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [x, y, z]
    dataset.PixelSpacing = [spacing[1], spacing[2]]
    dataset.SliceThickness, dataset.SliceLocation, dataset.PatientPosition = spacing[0], z, "HFS"


def _pixels(dataset: Dataset, plane: NDArray[np.int16]) -> None:
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = plane.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = -1024, 1, "HU"
    dataset.WindowCenter, dataset.WindowWidth = 40, 400
    dataset.PixelData = np.clip(plane + 1024, 0, 4095).astype("<u2").tobytes()
