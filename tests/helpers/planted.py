"""Names planted in every element of a DICOM header that can hold text, and a search for them in all that is left."""

from __future__ import annotations

import functools
import gzip
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pydicom
from pydicom.datadict import DicomDictionary
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

__all__ = ["found_in", "plant", "plant_below"]

NAME = "Qzplantname"
ROOT = "1.2.826.0.1.3680043.8888"  # of every UID
BORN = "18761105"
_MARKS = (NAME.encode(), ROOT.encode(), BORN.encode(), b"1876-11-05", b"41.789")
_TEXT = {"PN", "LO", "SH", "LT", "ST", "UT", "UC", "AE", "UR"}
#: Without these a file is no longer what it is.
_KEPT = {"SegmentLabel", "ROIName", "CodeMeaning", "CodeValue", "CodingSchemeDesignator", "SOPClassUID"}
# Those of series, acquisition and injection make SUV.
_DATES = ("PatientBirthDate", "StudyDate", "ContentDate", "InstanceCreationDate")


def plant(data: Dataset) -> None:
    """Write a name, an address, a number or a date into every element that can hold one, in sequences and privately."""
    for element in _every_text():
        if element.VR != "UI" or element.keyword not in data:
            data[element.tag] = element
    for keyword in _DATES:
        setattr(data, keyword, BORN)
    data.PatientSize = "41.789"
    data.PatientComments = f"{NAME}, Hauptstrasse 17, 79098 {NAME}stadt"
    other = Dataset()
    other.PatientID, other.IssuerOfPatientID = f"{NAME}-4711", NAME
    data.OtherPatientIDsSequence = [other]
    asked = Dataset()
    asked.RequestingPhysician, asked.ReasonForTheRequestedProcedure = f"{NAME}^Dr", f"as {NAME} wished"
    data.RequestAttributesSequence = [asked]
    data.private_block(0x0011, f"{NAME} MAKER", create=True).add_new(0x01, "LO", NAME)
    data.private_block(0x0013, f"{NAME} MAKER", create=True).add_new(0x02, "UN", NAME.encode() + b" ")
    for element in list(data):
        if element.VR == "SQ" and element.keyword not in (
            "OtherPatientIDsSequence",
            "RequestAttributesSequence",
        ):
            for item in element.value:
                _inside(item)


@functools.cache
def _every_text() -> tuple[DataElement, ...]:
    """Each element of the standard's dictionary that holds text or a UID, filled."""
    return tuple(
        DataElement(
            tag, vr, f"{ROOT}.{tag}" if vr == "UI" else f"{NAME}{tag & 0xFFFF:04x}"
        )  # SH and AE hold 16
        for tag, (vr, _, _, retired, keyword) in DicomDictionary.items()
        if keyword
        and not retired
        and 4 < tag >> 16 < 0x7FE0
        and keyword not in _KEPT
        and (vr in _TEXT or vr == "UI")
    )


def _inside(item: Dataset) -> None:
    """Plant text beside what a sequence's item says."""
    for keyword in ("TextValue", "PersonName", "ROIDescription", "SegmentDescription", "ContentDescription"):
        if keyword not in item:
            setattr(item, keyword, NAME)
    for element in list(item):
        for inner in element.value if element.VR == "SQ" else ():
            _inside(inner)


def plant_below(folder: Path) -> int:
    """Plant in every DICOM file below a folder, its UIDs replaced consistently; return how many there are."""
    files = sorted(folder.rglob("*.dcm"))
    for file in files:
        data = pydicom.dcmread(file)
        data.walk(_replace_uid)
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        plant(data)
        data.save_as(file)
        assert all(mark in file.read_bytes() for mark in (_MARKS[0], _MARKS[1], _MARKS[2], _MARKS[4]))
    return len(files)


def _replace_uid(_: Dataset, element: Any) -> None:
    if element.VR == "UI" and not element.keyword.endswith("ClassUID"):
        element.value = f"{ROOT}.{zlib.crc32(element.value.encode())}"


def found_in(folder: Path, said: str) -> list[str]:
    """Return where planted text is in what a command said and in the files below a folder, unpacked."""
    return ["output"] * _holds(said.encode()) + [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if _holds(str(path.relative_to(folder)).encode())
        or (path.is_file() and any(map(_holds, _contents(path))))
    ]


def _holds(data: bytes) -> bool:
    low = data.lower()
    return any(mark.lower() in low for mark in _MARKS)


def _contents(path: Path) -> list[bytes]:
    parts = [path.read_bytes()]
    if path.suffix == ".parquet":
        parts.append(str(pq.read_table(path).to_pylist()).encode())
        parts.append(str(pq.read_schema(path).metadata).encode())
    elif path.suffix == ".gz":
        parts.append(gzip.decompress(parts[0]))
    elif path.suffix == ".npz":
        with zipfile.ZipFile(path) as archive:
            parts += [archive.read(name) for name in archive.namelist()]
    return parts
