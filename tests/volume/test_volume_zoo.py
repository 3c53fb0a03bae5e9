"""Every real file beside the checkout is read right, or refused with exactly these words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fve_pipeline.errors import ReadError
from fve_pipeline.volume import read_header, read_image

KINDS = "NIfTI, NRRD, MHA/MHD, TIFF, npz, HDF5 or DICOM"
COLOUR = "expected one grey value a pixel. Give the scan, not a rendering."
NO_SPACING = (
    "no PixelSpacing in 10 of 10 slices; expected millimetres a pixel. Export the series again, with it."
)
NO_IMAGE = "which is no image; expected image slices. Name the folder (or file) of the images."
PAIR = "Convert the pair to NIfTI (dcm2niix or nibabel's parrec2nii)."
UNKNOWN = "expected " + KINDS + ". Convert it to one of them."
ONE_OF = "expected one volume, or one of them to be named."

REFUSED = {
    "README.md": f"an unknown kind of file (its first bytes are 23205265); {UNKNOWN}",
    "challenge/CVPR25_TextSegFMData_with_class.json": f"an unknown kind of file (its first bytes are 7b0a2020); "
    f"{UNKNOWN}",
    "challenge/random10_cases.csv": f"an unknown kind of file (its first bytes are 63617365); {UNKNOWN}",
    **{
        f"dicom_odd/rgb/001/IM-0001-000{n}-0001.dcm": f"a colour picture (RGB, 3 samples a pixel); {COLOUR}"
        for n in (1, 2, 3, 4)
    },
    "dicom_transfer_syntaxes/MR_truncated.dcm": "truncated, 9630 of 9692 bytes; expected all of them. "
    "Download it again.",
    "dicom_transfer_syntaxes/SC_rgb.dcm": f"a colour picture (RGB, 3 samples a pixel); {COLOUR}",
    "dicom_transfer_syntaxes/badVR.dcm": f"a DICOM object of modality RTDOSE, {NO_IMAGE}",
    **{
        f"dicom_transfer_syntaxes/emri_small{kind}.dcm": NO_SPACING
        for kind in ("", "_RLE", "_big_endian", "_jpeg_2k_lossless", "_jpeg_ls_lossless")
    },
    "dicom_transfer_syntaxes/emri_small_jpeg_2k_lossless_too_short.dcm": "truncated or damaged compressed pixels at "
    "byte 40316 of 40316; expected whole fragments and an end mark. Export or download it again.",
    "dicom_transfer_syntaxes/no-pixel-data.dcm": f"a DICOM object of modality SR, {NO_IMAGE}",
    "dicom_transfer_syntaxes/no-pixel-spacing.dcm": "no PixelSpacing in 1 of 1 slices; expected millimetres a pixel. "
    "Export the series again, with it.",
    "dicom_transfer_syntaxes/rtplan_truncated.dcm": f"a DICOM object of modality RTPLAN, {NO_IMAGE}",
    "nifti_odd/complex.nii.gz": "complex voxels (complex64); expected real ones. "
    "Save the magnitude (or phase) as its own file.",
    "nifti_odd/ct_perfusion.nii.gz": "colour voxels (RGB); expected one grey value a voxel. "
    "Give the scan, not a rendering.",
    "nifti_odd/example4d.nii.gz": f"2 volumes in one file (128×96×24×2, x first); {ONE_OF} Name a channel (0..1).",
    "nifti_odd/example_nifti2.nii.gz": f"2 volumes in one file (32×20×12×2, x first); {ONE_OF} "
    "Name a channel (0..1).",
    "nifti_odd/pcasl.nii.gz": f"10 volumes in one file (52×68×20×10, x first); {ONE_OF} Name a channel (0..9).",
    "nifti_odd/phantom_truncated.PAR": f"a Philips PAR/REC header; expected {KINDS}. {PAIR}",
    "nifti_odd/phantom_truncated.REC": f"Philips PAR/REC voxels; expected {KINDS}. {PAIR}",
    "nifti_odd/phantom_varscale.PAR": f"a Philips PAR/REC header; expected {KINDS}. {PAIR}",
    "nifti_odd/tinypet.v": f"an ECAT 7 PET file; expected {KINDS}. Convert it to NIfTI (nibabel reads ECAT).",
}

#: Folders of DICOM slices: what reading them as one series gives.
READ_SERIES = {
    "ct_dicom_series": ((20, 512, 512), (2.0, 0.9765625, 0.9765625), "CT", np.int16),
    "dicom_gapped_seg/ct-3slice": ((3, 512, 512), (1.0, 0.810547, 0.810547), "CT", np.int16),
    "dicom_odd/anatomical/002_non_isotropic": ((4, 28, 64), (0.5, 4.0, 6.3999586), "MR", np.float32),
    "dicom_odd/compressed/001": ((256, 256, 4), (1.0, 1.0, 1.0), "MR", np.uint16),
}
REFUSED_SERIES = {
    "dicom_odd/rgb/001": "dicom_odd/rgb/001/IM-0001-0001-0001.dcm: a colour picture (RGB, 3 samples a pixel); "
    + COLOUR,
    "dicom_bad/gantrytilting/001": "dicom_bad/gantrytilting/001: the axes are not orthogonal, off by 14.00 degrees "
    "(a tilted gantry?); expected at most 0.11. Resample it first, or have it resampled on reading (resample_tilt).",
    "dicom_bad/sliceincrement/001": "dicom_bad/sliceincrement/001: 1 missing slices: 4 slices are 5.00 mm apart, but "
    "not from 28.11 to 38.11 mm; expected even gaps. Export the whole series again, or resample it first.",
    "dicom_bad/sliceorientation/001": "dicom_bad/sliceorientation/001: slices in 2 orientations (2 and 2 slices); "
    "expected one. Split the series first.",
    "dicom_transfer_syntaxes": "dicom_transfer_syntaxes/MR_truncated.dcm: truncated, 9630 of 9692 bytes; expected all "
    "of them. Download it again.",
    "dicom_odd": "dicom_odd: no DICOM files in this folder (3 folders in it); expected the files of a series. "
    "Name the folder that holds them.",
}


def layers(channels: int) -> str:
    sizes = {"moving": "64×64×60", "fixed": "44×59×41"}
    return "|".join(
        f"{channels} volumes in one file ({size}×{channels}, x first); {ONE_OF} Name a channel (0..{channels - 1})."
        for size in sizes.values()
    )


def test_every_file(shared_data: Path) -> None:
    wrong, seen = [], set()
    for path in sorted(p for p in shared_data.rglob("*") if p.is_file()):
        name = path.relative_to(shared_data).as_posix()
        try:
            volume = read_image(path, name=name)
        except ReadError as error:
            said = str(error).removeprefix(f"{name}: ")
            if "_labels/case" in name:  # three or two layers a file
                if not any(said in layers(n).split("|") for n in (2, 3)):
                    wrong.append((name, said))
            elif REFUSED.get(name) != said:
                wrong.append((name, said))
            seen.add(name)
            continue
        header = read_header(path, name=name)
        same = header.shape == volume.array.shape and np.allclose(header.affine, volume.affine)
        fits = header.nbytes >= volume.array.nbytes and header.modality == volume.modality
        if name in REFUSED or not same or not fits or not volume.array.flags.c_contiguous:
            wrong.append((name, "read"))
    assert wrong == []
    assert set(REFUSED) <= seen


@pytest.mark.parametrize("folder", READ_SERIES)
def test_series_that_are_read(folder: str, shared_data: Path) -> None:
    shape, spacing, modality, dtype = READ_SERIES[folder]
    volume = read_image(shared_data / folder, name=folder)
    assert (volume.array.shape, volume.spacing, volume.modality) == (shape, spacing, modality)
    assert volume.array.dtype == dtype
    assert volume.notes == ()


@pytest.mark.parametrize("folder", REFUSED_SERIES)
def test_series_that_are_refused(folder: str, shared_data: Path) -> None:
    with pytest.raises(ReadError) as caught:
        read_image(shared_data / folder, name=folder)
    assert str(caught.value) == REFUSED_SERIES[folder]
