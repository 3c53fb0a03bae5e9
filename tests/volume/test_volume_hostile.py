"""Headers are claims: nothing outside of the folder is read, and no memory is asked for on their word."""

from __future__ import annotations

import gzip
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import MediaStorageDirectoryStorage
from volume_make import write_nifti

from fve_pipeline.build.cases import Dataset, find_jobs
from fve_pipeline.build.prepare.case import prepare_case
from fve_pipeline.build.prepare.facts import Failure
from fve_pipeline.build.prepare.job import PrepareSettings
from fve_pipeline.catalog import load_catalog
from fve_pipeline.demo.cohort.make import make_dicom_case
from fve_pipeline.errors import ReadError
from fve_pipeline.volume import hash_files, read_header, read_image, source_files

NRRD = "NRRD0004\ntype: short\ndimension: 3\nsizes: 4 3 2\nencoding: raw\nendian: little\n"
META = (
    "ObjectType = Image\nNDims = 3\nDimSize = 4 3 2\nElementType = MET_SHORT\nElementSpacing = 1 1 1\n"
    "BinaryData = True\nBinaryDataByteOrderMSB = False\n"
)
VOXELS = np.arange(24, dtype="<i2").reshape(2, 3, 4)


def write_header(folder: Path, kind: str, data: str) -> Path:
    """A header whose voxels lie in the file, or files, that ``data`` names."""
    path = folder / f"scan.{kind}"
    line = "data file: " if kind == "nhdr" else "ElementDataFile = "
    path.write_text((NRRD if kind == "nhdr" else META) + line + data + "\n")
    return path


@pytest.mark.parametrize("kind", ["nhdr", "mhd"])
@pytest.mark.parametrize(
    "data",
    [
        "../secret.raw",
        "/secret.raw",
        "sub/../../secret.raw",
        "LIST\n../secret.raw",
        "../s%d.raw 1 2 1",
        "..\\secret.raw",
    ],
)
def test_voxels_outside_of_the_folder_are_refused(tmp_path: Path, kind: str, data: str) -> None:
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "secret.raw").write_bytes(VOXELS.tobytes())
    path = write_header(folder, kind, data)
    for read in (read_image, read_header, source_files):
        with pytest.raises(
            ReadError, match=r"outside of the header's folder; expected a file beside the header"
        ):
            read(path)


@pytest.mark.parametrize("kind", ["nhdr", "mhd"])
def test_voxels_beside_the_header_are_read_and_hashed(tmp_path: Path, kind: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "voxels.raw").write_bytes(VOXELS.tobytes())
    path = write_header(tmp_path, kind, "sub/voxels.raw")
    assert np.array_equal(read_image(path).array, VOXELS)
    files = source_files(path)
    assert [file.name for file in files] == [path.name, "voxels.raw"]
    before = hash_files(files)
    (tmp_path / "sub" / "voxels.raw").write_bytes(VOXELS[::-1].tobytes())
    assert hash_files(source_files(path)) != before


def test_a_link_inside_the_folder_is_followed(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "elsewhere.raw").write_bytes(VOXELS.tobytes())
    (folder / "voxels.raw").symlink_to(tmp_path / "elsewhere.raw")
    assert np.array_equal(read_image(write_header(folder, "mhd", "voxels.raw")).array, VOXELS)


@pytest.mark.parametrize("kind", ["nii.gz", "nrrd"])
def test_a_stream_that_goes_on_is_left(tmp_path: Path, kind: str) -> None:
    """Without the limit this inflates 64 MB for a volume of 48 bytes, and a real bomb a thousand times its size."""
    path = tmp_path / f"bomb.{kind}"
    more = b"\0" * (64 << 20)
    if kind == "nii.gz":
        write_nifti(tmp_path / "plain.nii", VOXELS)
        path.write_bytes(gzip.compress((tmp_path / "plain.nii").read_bytes() + more, 1))
    else:
        header = NRRD.replace("encoding: raw", "encoding: gzip").encode() + b"\n"
        path.write_bytes(header + gzip.compress(VOXELS.tobytes() + more, 1))
    with pytest.raises(ReadError, match=r"go on after the .* bytes that its header promises"):
        read_image(path)


def test_a_few_bytes_after_the_voxels_and_channels_are_no_bomb(tmp_path: Path) -> None:
    write_nifti(tmp_path / "plain.nii", VOXELS)
    (tmp_path / "padded.nii.gz").write_bytes(
        gzip.compress((tmp_path / "plain.nii").read_bytes() + b"\0" * 512)
    )
    assert np.array_equal(read_image(tmp_path / "padded.nii.gz").array.ravel(), VOXELS[:, ::-1, ::-1].ravel())
    many = np.zeros((8, 256, 256, 12), np.int16)
    write_nifti(tmp_path / "many.nii.gz", many)
    assert read_image(tmp_path / "many.nii.gz", channel=0).shape == (8, 256, 256)


def test_an_image_that_is_not_its_labels_size_is_not_inflated(tmp_path: Path) -> None:
    """A gigabyte of zeros in a few kilobytes beside labels of 24 voxels: refused by the two headers."""
    for name, shape in (("bomb", (64, 4096, 4096)), ("good", VOXELS.shape)):
        image = np.broadcast_to(np.uint8(0), shape) if name == "bomb" else VOXELS.astype(np.uint8)
        np.savez_compressed(
            tmp_path / f"{name}.npz", imgs=image, gts=VOXELS.astype(np.uint8) % 2, spacing=np.ones(3)
        )
    catalog = (
        'name = "npz"\nmodality = "MR"\nlicence = "x"\ncitation = "x"\nscaled = true\n'
        'classes = [{ id = 1, name = "a" }]\n[layout]\nimages = "{case}.npz"\nlabels = "{image}"\n'
    )
    (tmp_path / "npz.toml").write_text(catalog)
    (bomb, good) = find_jobs(
        [Dataset(load_catalog(tmp_path / "npz.toml"), tmp_path)], tmp_path / "w", PrepareSettings()
    )
    tracemalloc.start()
    failure = prepare_case(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(failure, Failure)
    assert "the label map is 2×3×4 and the image 64×4096×4096 (z,y,x)" in failure.reason
    assert peak < 64 << 20
    assert not isinstance(prepare_case(good), Failure)


def test_more_frames_than_bytes_are_refused_in_little_memory(tmp_path: Path) -> None:
    make_dicom_case(tmp_path, 0, size=40)
    path = sorted((tmp_path / "series").iterdir())[0]
    data = pydicom.dcmread(path)
    data.NumberOfFrames = 2_000_000_000
    bomb = tmp_path / "bomb.dcm"
    data.save_as(bomb)
    code = (
        "import resource, sys\n"
        "from fve_pipeline.errors import ReadError\n"
        "from fve_pipeline.volume import read_image\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    read_image(sys.argv[1])\n"
        "except ReadError as error:\n    assert '2,000,000,000 frames in a file of' in str(error), error\n"
        "else:\n    raise SystemExit('it was read')\n"
        "assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(bomb)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_media_directories_and_scouts_are_passed_over_with_a_note(tmp_path: Path) -> None:
    make_dicom_case(tmp_path, 0, size=40)
    folder = tmp_path / "series"
    expected = read_image(folder).array
    first = sorted(folder.iterdir())[0]
    scout = pydicom.dcmread(first)
    scout.SeriesInstanceUID, scout.SOPInstanceUID = pydicom.uid.generate_uid(), pydicom.uid.generate_uid()
    scout.save_as(folder / "scout.dcm")
    directory = pydicom.dcmread(first)
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    for word in ("SOPClassUID", "Modality", "PixelData"):
        delattr(directory, word)
    directory.save_as(folder / "DIRFILE")
    found = read_image(folder)
    assert np.array_equal(found.array, expected)
    assert any("DIRFILE was passed over" in note for note in found.notes)
    assert any("1 series of a single slice passed over" in note for note in found.notes)


def test_a_data_file_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"scan\.mhd: "):
        read_image(write_header(tmp_path, "mhd", "gone.raw"))


@pytest.mark.parametrize("promised", [True, False])
def test_an_array_longer_than_its_header_is_not_inflated(tmp_path: Path, promised: bool) -> None:
    path = tmp_path / "bomb.npz"
    np.savez(tmp_path / "whole.npz", imgs=np.zeros((64, 64, 64), np.uint8))
    with zipfile.ZipFile(tmp_path / "whole.npz") as whole:
        member = whole.read("imgs.npy")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("imgs.npy", "w") as out:
        out.write(member)
        for _ in range(400):
            out.write(bytes(1 << 20))
    if not promised:  # the archive says what the array's header says, and the stream is longer
        claim = (len(member) + (400 << 20)).to_bytes(4, "little")
        path.write_bytes(path.read_bytes().replace(claim, len(member).to_bytes(4, "little")))
    code = (
        "import resource, sys\n"
        "from fve_pipeline.errors import ReadError\n"
        "from fve_pipeline.volume import read_image\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    read_image(sys.argv[1])\n"
        "except ReadError as error:\n    assert 'bomb.npz: npz member imgs.npy' in str(error), error\n"
        "else:\n    raise SystemExit('it was read')\n"
        "assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
