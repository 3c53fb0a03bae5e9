"""What kind of file a path is: by its first bytes, then by its name."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Literal

from fve_pipeline.volume.refusal import refusal

__all__ = ["Kind", "kind_of", "shown"]

Kind = Literal["nifti", "itk", "tiff", "npz", "hdf5", "dicom"]

#: Files that people have beside their images and that can't be read here: what it is, what to do.
_REFUSED = {
    ".par": ("a Philips PAR/REC header", "Convert the pair to NIfTI (dcm2niix or nibabel's parrec2nii)"),
    ".rec": ("Philips PAR/REC voxels", "Convert the pair to NIfTI (dcm2niix or nibabel's parrec2nii)"),
    ".v": ("an ECAT 7 PET file", "Convert it to NIfTI (nibabel reads ECAT)"),
    ".hdr": (
        "an Analyze or NIfTI header with its voxels in another file",
        "Convert the pair to one .nii file",
    ),
    ".img": ("the voxels of an Analyze or NIfTI pair", "Convert the pair to one .nii file"),
    ".mgz": ("a FreeSurfer volume", "Convert it to NIfTI (mri_convert)"),
    ".mgh": ("a FreeSurfer volume", "Convert it to NIfTI (mri_convert)"),
    ".png": ("a single picture", "Give the volume that it was exported from"),
    ".jpg": ("a single picture", "Give the volume that it was exported from"),
    ".mat": ("a MATLAB file", "Save the volume as NIfTI, or as an npz with imgs and spacing (x,y,z)"),
    ".mnc": ("a MINC volume", "Convert it to NIfTI (mnc2nii)"),
    ".ims": ("an Imaris file, whose arrays are padded", "Export the volume as TIFF or HDF5"),
    ".npy": ("a bare array without spacing", "Save it as npz with imgs and spacing (x,y,z)"),
}

_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
EXPECTED = "NIfTI, NRRD, MHA/MHD, TIFF, npz, HDF5 or DICOM"


def shown(path: Path) -> str:
    """How a path is named in messages and stores: as given when relative, else without its folders."""
    return path.name if path.is_absolute() else path.as_posix()


def kind_of(path: Path, name: str) -> Kind:
    """Return the format of a file or folder; raises ReadError for anything that isn't read here.

    The name decides only where the content doesn't: ``x.nii`` that is gzipped is still NIfTI, and the file
    that was named is the one that is read, whatever lies beside it.
    """
    if path.is_dir():
        return "dicom"
    try:
        with path.open("rb") as file:
            head = file.read(348)
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise
        advice = "Check the path, or the catalog's pattern"
        raise refusal(name, "no such file", "a file or folder", advice) from None
    if not head:
        raise refusal(name, "an empty file (0 bytes)", EXPECTED, "Download it again")
    suffix = path.suffix.lower()
    if head[128:132] == b"DICM" or suffix in (".dcm", ".ima", ".dicom"):
        return "dicom"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    if head[:4] == b"PK\3\4":
        return "npz"
    if head[:8] == b"\x89HDF\r\n\x1a\n" and suffix not in _REFUSED:
        return "hdf5"
    if head[:4] == b"NRRD" or suffix in (".mha", ".mhd", ".nhdr"):
        return "itk"
    if path.name.lower().endswith((".nii", ".nii.gz")) or head[344:347] == b"n+1" or head[4:7] == b"n+2":
        return "nifti"
    if suffix in _REFUSED:
        what, advice = _REFUSED[suffix]
        raise refusal(name, what, EXPECTED, advice)
    found = f"an unknown kind of file (its first bytes are {head[:4].hex()})"
    raise refusal(name, found, EXPECTED, "Convert it to one of them")
