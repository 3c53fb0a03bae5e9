"""How fast are volumes read, beside SimpleITK, nibabel and numpy in the same run?

Every reader ends with a C-contiguous array in memory. Ours is also turned to LPS, checked against the file's
checksums and rescaled; the others give what the file holds. MB/s are of decoded voxels, the best of some
rounds in which the readers take turns; one thread each. Headers: how long 10,000 take, from a folder of files
of their own.

    python benchmarks/reading.py [--slices 100] [--rounds 3] [--headers 2000] [--json]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEG2000Lossless

from fve_pipeline.volume import read_header, read_image

Readers = dict[str, Callable[[Path], Any]]


def made_ct(slices: int, size: int = 512) -> np.ndarray:
    """(z,y,x) int16: a body with organs and noise in air; gzip makes about half of it, as of real CT."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    out = np.empty((slices, size, size), np.int16)
    for z, plane in enumerate(out):
        grow = 1 + 0.1 * np.sin(z / 20)
        body = (x / 0.8) ** 2 + (y / 0.55) ** 2 < grow
        liver = (x + 0.3) ** 2 + (y / 0.8) ** 2 < 0.08 * grow
        plane[...] = np.where(body, 20, -1000) + 70 * liver + rng.normal(0, 12, (size, size)) * (body + 0.3)
    return out


def write_dicom(folder: Path, volume: np.ndarray) -> Path:
    """One uncompressed CT slice a file."""
    folder.mkdir()
    for z, plane in enumerate(volume):
        meta = pydicom.dataset.FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, f"1.2.3.{z + 1}"
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = pydicom.dataset.FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, f"1.2.3.{z + 1}"
        data.Modality, data.SeriesInstanceUID, data.InstanceNumber = "CT", "1.2.3", z + 1
        data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, 1.5 * z], [1, 0, 0, 0, 1, 0]
        data.PixelSpacing, data.SliceThickness = [0.7, 0.7], 1.5
        data.Rows, data.Columns = plane.shape
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
        data.RescaleSlope, data.RescaleIntercept = 1, -1024
        data.PixelData = (plane.astype(np.int32) + 1024).clip(0).astype("<u2").tobytes()
        data.save_as(folder / f"{z:04d}.dcm")
    return folder


def compress_series(source: Path, folder: Path) -> Path | None:
    """The same in JPEG 2000; None without an encoder (pylibjpeg-openjpeg)."""
    folder.mkdir()
    for file in sorted(source.iterdir()):
        data = pydicom.dcmread(file)
        try:
            data.compress(JPEG2000Lossless, generate_instance_uid=False)
        except (RuntimeError, NotImplementedError, ValueError):
            return None
        data.save_as(folder / file.name)
    return folder


def write_all(root: Path, volume: np.ndarray, compressed_slices: int) -> dict[str, Path]:
    """The same volume in every format."""
    affine = np.diag([0.7, 0.7, 1.5, 1])  # RAS: x and y must be flipped
    nib.Nifti1Image(volume.transpose(), affine).to_filename(root / "ct.nii.gz")
    nib.Nifti1Image(volume.transpose(), affine).to_filename(root / "plain.nii")
    image = sitk.GetImageFromArray(volume)
    sitk.WriteImage(image, str(root / "ct.nrrd"), useCompression=True)
    sitk.WriteImage(image, str(root / "ct.mha"), useCompression=True)
    np.savez_compressed(root / "ct.npz", imgs=((volume + 160) / 400 * 255).clip(0, 255).astype(np.uint8))
    paths = {
        "NIfTI .nii.gz": root / "ct.nii.gz",
        "NIfTI .nii": root / "plain.nii",
        "NRRD gzip": root / "ct.nrrd",
        "MHA zlib": root / "ct.mha",
        "npz uint8": root / "ct.npz",
        "DICOM plain": write_dicom(root / "dicom", volume),
    }
    j2k = compress_series(write_dicom(root / "few", volume[:compressed_slices]), root / "j2k")
    return paths | ({"DICOM JPEG 2000": j2k} if j2k else {})


def by_sitk(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def series_by_sitk(folder: Path) -> np.ndarray:
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    return sitk.GetArrayFromImage(sitk.ReadImage(names))


def by_nibabel(path: Path) -> np.ndarray:
    # nibabel maps plain files into memory: the copy makes it read them.
    return np.array(np.asarray(nib.load(path).dataobj).transpose(), order="C")


def by_numpy(path: Path) -> np.ndarray:
    with np.load(path) as file:
        return file["imgs"]


def readers_of(name: str) -> Readers:
    readers: Readers = {"fve": lambda path: read_image(path).array}
    if name.startswith("DICOM"):
        return readers | {"SimpleITK": series_by_sitk}
    if name.startswith("npz"):
        return readers | {"numpy": by_numpy}
    readers["SimpleITK"] = by_sitk
    return readers | ({"nibabel": by_nibabel} if name.startswith("NIfTI") else {})


def rates(path: Path, readers: Readers, rounds: int) -> dict[str, float]:
    """MB/s a reader: the best of ``rounds``, taking turns."""
    best = dict.fromkeys(readers, float("inf"))
    size = 0
    for _ in range(rounds):
        for reader, read in readers.items():
            start = time.perf_counter()
            array = read(path)
            best[reader] = min(best[reader], time.perf_counter() - start)
            size = array.size * (1 if array.dtype == np.uint8 else 2)  # SimpleITK gives some int16 as int32
            del array
    return {reader: size / 1e6 / seconds for reader, seconds in best.items()}


def header_seconds(root: Path, count: int) -> dict[str, float]:
    """Seconds for 10,000 headers of .nii.gz files."""
    folder = root / "headers"
    folder.mkdir()
    nib.Nifti1Image(np.zeros((64, 64, 32), np.int16), np.eye(4)).to_filename(folder / "0.nii.gz")
    content = (folder / "0.nii.gz").read_bytes()
    files = [folder / f"{n}.nii.gz" for n in range(count)]
    for file in files:
        file.write_bytes(content)

    def information(path: Path) -> None:
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.ReadImageInformation()

    readers: Readers = {"fve": read_header, "SimpleITK": information, "nibabel": lambda p: nib.load(p).header}
    out = {}
    for reader, read in readers.items():
        start = time.perf_counter()
        for file in files:
            read(file)
        out[reader] = (time.perf_counter() - start) / count * 10_000
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--slices", type=int, default=100, help="512×512 slices in the volume")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--headers", type=int, default=2000, help="files whose headers are read")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        paths = write_all(root, made_ct(args.slices), compressed_slices=max(2, args.slices // 10))
        table = {name: rates(path, readers_of(name), args.rounds) for name, path in paths.items()}
        headers = header_seconds(root, args.headers)
    if args.json:
        print(json.dumps({"MB/s": table, "seconds for 10,000 headers": headers}, indent=1))
        return
    for name, row in table.items():
        peers = [
            f"{reader} {rate:.0f} ({row['fve'] / rate:.2f}×)"
            for reader, rate in row.items()
            if reader != "fve"
        ]
        print(f"{name:16} fve {row['fve']:5.0f} MB/s; {', '.join(peers)}")
    print("10,000 headers: " + ", ".join(f"{reader} {seconds:.1f} s" for reader, seconds in headers.items()))


if __name__ == "__main__":
    main()
