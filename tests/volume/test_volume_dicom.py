"""DICOM: series, geometry, transfer syntaxes, and what is refused."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)
from volume_make import edit, group_frames, ramp, slice_dataset, write_enhanced, write_series

from fve_pipeline.errors import GeometryError, ReadError
from fve_pipeline.volume import hash_files, list_series, read_header, read_image, source_files


def refused(path: Path, kind: type[ReadError] = ReadError, **options: Any) -> str:
    with pytest.raises(ReadError) as caught:
        read_image(path, **options)
    assert caught.type is kind
    text = str(caught.value)
    assert text.startswith(f"{path.name}")
    return text


def test_slices_are_sorted_by_position(tmp_path: Path) -> None:
    zyx = ramp()
    backwards = [(-20.0, -30.0, 10.0 - 2.5 * n) for n in range(4)]
    volume = read_image(write_series(tmp_path / "ct", zyx, backwards))
    np.testing.assert_array_equal(volume.array, zyx[::-1] - 1024)
    assert volume.array.dtype == np.int16
    assert volume.spacing == (2.5, 0.7, 0.5)
    np.testing.assert_allclose(volume.affine[:3, 3], (-20, -30, 2.5))
    assert (volume.modality, volume.orientation, volume.notes) == ("CT", "LPS", ())
    header = read_header(tmp_path / "ct")
    assert (header.shape, header.spacing, header.dtype, header.modality) == (
        (4, 6, 5),
        (2.5, 0.7, 0.5),
        np.int16,
        "CT",
    )
    np.testing.assert_array_equal(header.affine, volume.affine)


def test_sagittal_slices(tmp_path: Path) -> None:
    # Rows run to the back, columns to the feet, slices to the left.
    zyx = ramp()
    places = [(3.0 * n, -50.0, 80.0) for n in range(4)]
    orientation = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
    volume = read_image(write_series(tmp_path / "mr", zyx, places, orientation=orientation, slope=None))
    np.testing.assert_array_equal(volume.array, zyx.transpose(1, 2, 0)[::-1])
    assert volume.spacing == (0.7, 0.5, 3.0)
    assert volume.orientation == "PIR"  # stacked along the normal, which points right


def test_slope_that_differs_by_slice(tmp_path: Path) -> None:
    zyx = ramp(dtype=np.uint16)
    slopes, intercepts = [0.5, 0.25, 2.0, 1.0], [0.0, 1.0, -3.0, 0.5]
    volume = read_image(write_series(tmp_path / "pt", zyx, slope=slopes, intercept=intercepts, modality="PT"))
    expected = zyx * np.reshape(slopes, (4, 1, 1)) + np.reshape(intercepts, (4, 1, 1))
    np.testing.assert_array_equal(volume.array, expected.astype(np.float32))
    assert read_header(tmp_path / "pt").dtype == np.float32
    assert volume.modality == "PET"


def test_several_series_are_listed_and_one_can_be_named(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", ramp(), prefix="a", uid="1.2.3")
    write_series(tmp_path / "ct", ramp((2, 6, 5)) + 7, prefix="b", uid="1.2.4", modality="MR", slope=None)
    (tmp_path / "ct" / "readme.txt").write_text("no image")
    series = list_series(tmp_path / "ct")
    assert (
        sorted((s.key, s.modality, s.slices) for s in series)
        == [("1ac75d92", "MR", 2), ("a9dd5ad5", "CT", 4)]
        or series
    )
    by_slices = {s.slices: s for s in series}
    text = refused(tmp_path / "ct")
    listed = "; ".join(f"{s.key}: {s.modality}, {s.slices} of 6×5" for s in series)
    assert text == (
        f"ct: 2 series in one folder ({listed}); expected one, or a series to be named. "
        "Name one by its key or SeriesInstanceUID."
    )
    assert "1.2.3" not in text
    for name in (by_slices[2].key, "1.2.4"):
        np.testing.assert_array_equal(read_image(tmp_path / "ct", series=name).array, ramp((2, 6, 5)) + 7)
    assert read_header(tmp_path / "ct", series=by_slices[4].key).shape == (4, 6, 5)
    assert refused(tmp_path / "ct", series="nope") == (
        f"ct: no series of the name that was given; expected one of: {listed}. "
        "Name one by its key or SeriesInstanceUID."
    )
    assert "1.2.3" not in repr(series)


def test_source_files_and_their_hash(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", ramp(), prefix="a", uid="1.2.3")
    write_series(tmp_path / "ct", ramp(), prefix="b", uid="1.2.4")
    files = source_files(tmp_path / "ct", "1.2.4")
    assert [file.name for file in files] == ["b000.dcm", "b001.dcm", "b002.dcm", "b003.dcm"]
    assert hash_files(files) == hash_files(reversed(files))
    before = hash_files(files)
    files[2].write_bytes(files[2].read_bytes() + b"\0")
    assert hash_files(files) != before
    assert hash_files(files[:1]) == hash_files([tmp_path / "ct" / "b000.dcm"])


def test_nothing_of_the_patient_comes_through(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_series(tmp_path / "ct", ramp())
    volume = read_image(folder)
    said = repr((volume, read_header(folder), list_series(folder)))
    whole = (folder / "s003.dcm").stat().st_size
    for keep in range(140, whole, 40):
        path = write_series(tmp_path / f"cut{keep}", ramp()) / "s003.dcm"
        os.truncate(path, keep)
        with pytest.raises(ReadError) as caught:
            read_image(path.parent)
        said += str(caught.value) + repr(caught.value.__cause__)
    said += caplog.text
    for secret in ("Doe", "Jane", "SECRET", "4711", "1.2.3.4"):
        assert secret not in said


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.8, 0.95, 0.999])
def test_a_truncated_last_slice_is_never_left_out(keep: float, tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", ramp((4, 40, 50)))
    os.truncate(folder / "s003.dcm", int((folder / "s003.dcm").stat().st_size * keep))
    for read in (read_image, read_header):
        with pytest.raises(ReadError, match=r"s003\.dcm: (truncated|damaged|cut short)"):
            read(folder)
    os.truncate(folder / "s003.dcm", 300)
    with pytest.raises(ReadError) as caught:
        read_image(folder)
    assert str(caught.value) == (
        "ct/s003.dcm: cut short before its image size (modality unknown); expected a whole DICOM file. "
        "Export or download it again."
    )


def test_duplicate_slices(tmp_path: Path) -> None:
    places = [(0.0, 0.0, z) for z in (0.0, 2.5, 2.5, 5.0)]
    assert refused(write_series(tmp_path / "ct", ramp(), places), GeometryError) == (
        "ct: 1 of 4 slices lie on others (at 2.50 mm): a doubled export; expected one slice a position. "
        "Split the series first."
    )
    places = [(0.0, 0.0, z) for z in (0.0, 2.5, 0.0, 2.5)]
    assert "(at 0.00, 2.50 mm): several volumes (times, echoes) in one series;" in refused(
        write_series(tmp_path / "two", ramp(), places), GeometryError
    )


def test_missing_and_uneven_slices(tmp_path: Path) -> None:
    def folder(name: str, *heights: float) -> Path:
        return write_series(tmp_path / name, ramp((len(heights), 6, 5)), [(0.0, 0.0, z) for z in heights])

    assert refused(folder("missing", 0, 2, 4, 8, 10), GeometryError) == (
        "missing: 1 missing slices: 5 slices are 2.00 mm apart, but not from 4.00 to 8.00 mm; expected even "
        "gaps. Export the whole series again, or resample it first."
    )
    many = refused(folder("many", *np.cumsum([2.0] * 12 + [3.5, 2.7] * 4)), GeometryError)
    assert many == (
        "many: uneven slices: 8 of the 19 gaps between slices are not the usual 2.00 mm; they are 2.70 to 3.50 mm, "
        "the first from 24.00 to 27.50 mm; expected even gaps. Export the whole series again, or resample it first."
    )
    assert "uneven: uneven slices: 5 slices are 2.00 mm apart, but not from 4.00 to 7.10 mm;" in refused(
        folder("uneven", 0, 2, 4, 7.1, 9.1), GeometryError
    )
    assert read_image(folder("jitter", 0, 2.01, 3.99, 6.0)).spacing == (2.0, 0.7, 0.5)


def test_mixed_orientations_and_sizes(tmp_path: Path) -> None:
    tilted = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
    axial = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    folder = write_series(tmp_path / "mixed", ramp(), orientation=[axial, axial, tilted, axial])
    assert refused(folder, GeometryError) == (
        "mixed: slices in 2 orientations (3 and 1 slices); expected one. Split the series first."
    )
    folder = write_series(tmp_path / "sizes", ramp())
    slice_dataset(ramp((7, 5)), (-20, -30, 10)).save_as(folder / "z.dcm")
    assert refused(folder) == (
        "sizes: slices of different sizes (6×5, 7×5) in one series; expected one. Split the series first."
    )
    folder = write_series(
        tmp_path / "pixels", ramp(), spacing=[(0.7, 0.5), (0.7, 0.5), (0.8, 0.5), (0.7, 0.5)]
    )
    assert "slices of different PixelSpacing [(0.7, 0.5), (0.8, 0.5)]; expected one." in refused(
        folder, GeometryError
    )


def test_gantry_tilt(shared_data: Path) -> None:
    folder = shared_data / "dicom_bad/gantrytilting/001"
    assert refused(folder, GeometryError) == (
        "001: the axes are not orthogonal, off by 14.00 degrees (a tilted gantry?); expected at most 0.11. "
        "Resample it first, or have it resampled on reading (resample_tilt)."
    )
    volume = read_image(folder, resample_tilt=True)
    note = "slices sheared by 14.00 degrees (tilted gantry) were straightened, linear in plane"
    assert volume.notes == (note,)
    assert volume.array.dtype == np.int16
    assert volume.array.shape == (4, 521, 512)
    assert volume.spacing[0] == pytest.approx(5 * np.cos(np.radians(14)), abs=1e-3)


def test_straightened_voxels_stay_where_they_were(tmp_path: Path) -> None:
    # A ramp along the patient's back-to-front axis is linear, so linear resampling must keep it exactly.
    angle = np.radians(10)
    orientation = (1.0, 0.0, 0.0, 0.0, float(np.cos(angle)), float(-np.sin(angle)))
    rows = np.arange(30)
    places = [(0.0, 0.0, 4.0 * n) for n in range(5)]
    world_y = 0.7 * rows * np.cos(angle)
    values = np.float32(100 + world_y)[:, None].repeat(8, axis=1)
    stack = np.round(np.stack([values] * 5) * 100).astype(np.int16)
    folder = write_series(tmp_path / "ct", stack, places, orientation=orientation, slope=0.01, intercept=0.0)
    volume = read_image(folder, resample_tilt=True)
    index = np.stack(np.meshgrid(*map(np.arange, volume.array.shape), indexing="ij"), -1)
    world = index @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    inside = volume.array > volume.array.min() + 0.1
    assert inside.mean() > 0.7
    np.testing.assert_allclose(volume.array[inside], 100 + world[inside][:, 1], atol=0.02)


SYNTAXES = [
    "BigEndianExplicitTransferSyntax_1.2.840.10008.1.2.2",
    "JPEG2000LosslessOnlyTransferSyntax_1.2.840.10008.1.2.4.90",
    "JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80",
    "JPEGProcess14SV1TransferSyntax_1.2.840.10008.1.2.4.70",
    "RLELosslessTransferSyntax_1.2.840.10008.1.2.5",
]


def test_ct_is_equal_in_all_lossless_syntaxes(shared_data: Path) -> None:
    folder = shared_data / "dicom_transfer_syntaxes"
    volumes = [read_image(folder / f"CTImage.dcm_{syntax}.dcm") for syntax in SYNTAXES]
    for volume in volumes:
        np.testing.assert_array_equal(volume.array, volumes[0].array)
        assert volume.array.dtype == np.int16
        assert (volume.modality, volume.spacing) == ("CT", (6.5, 0.675781, 0.675781))
    assert (int(volumes[0].array.min()), int(volumes[0].array.max())) == (-3024, 1378)
    lossy = read_image(folder / "CTImage.dcm_JPEGProcess1TransferSyntax_1.2.840.10008.1.2.4.50.dcm")
    assert lossy.notes == ("the pixels were compressed with loss before they came here",)
    body = volumes[0].array > -500
    assert np.abs(lossy.array - volumes[0].array)[body].mean() < 30


def test_mr_is_equal_in_all_syntaxes(shared_data: Path) -> None:
    folder = shared_data / "dicom_transfer_syntaxes"
    endings = (
        "",
        "_RLE",
        "_bigendian",
        "_expb",
        "_implicit",
        "_jp2klossless",
        "_jpeg_ls_lossless",
        "_padded",
    )
    volumes = [read_image(folder / f"MR_small{ending}.dcm") for ending in endings]
    for volume in volumes:
        np.testing.assert_array_equal(volume.array, volumes[0].array)
        assert volume.spacing == (0.8, 0.3125, 0.3125)
    assert (int(volumes[0].array.min()), int(volumes[0].array.max())) == (127, 2145)


@pytest.mark.parametrize("ending", ["", "_RLE", "_big_endian", "_jpeg_2k_lossless", "_jpeg_ls_lossless"])
def test_enhanced_multi_frame(ending: str, shared_data: Path, tmp_path: Path) -> None:
    """The real file lacks the functional groups that say where its frames lie; with them it must read."""
    source = shared_data / f"dicom_transfer_syntaxes/emri_small{ending}.dcm"
    assert refused(source, GeometryError) == (
        f"emri_small{ending}.dcm: no PixelSpacing in 10 of 10 slices; expected millimetres a pixel. "
        "Export the series again, with it."
    )
    data = pydicom.dcmread(source)
    group_frames(data, [(0, 0, 12 - 1.2 * n) for n in range(10)], (0.7, 0.5))
    data.save_as(tmp_path / "x.dcm")
    volume = read_image(tmp_path / "x.dcm")
    plain = pydicom.dcmread(shared_data / "dicom_transfer_syntaxes/emri_small.dcm").PixelData
    np.testing.assert_array_equal(volume.array, np.frombuffer(plain, "<u2").reshape(10, 64, 64)[::-1])
    assert volume.spacing == (1.2, 0.7, 0.5)


def test_truncated_compressed_pixels(shared_data: Path, tmp_path: Path) -> None:
    source = (
        shared_data
        / "dicom_transfer_syntaxes/CTImage.dcm_JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80.dcm"
    )
    path = Path(shutil.copy(source, tmp_path / "x.dcm"))
    os.truncate(path, 100_000)
    assert refused(path) == (
        "x.dcm: truncated or damaged compressed pixels at byte 7050 of 100000; expected whole fragments and "
        "an end mark. Export or download it again."
    )


def test_deflated_and_implicit_and_big_endian(tmp_path: Path) -> None:
    for syntax in (DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian):
        big = syntax == ExplicitVRBigEndian
        data = slice_dataset(ramp((6, 5)).astype(">i2" if big else "<i2"), (0, 0, 0))
        data.file_meta.TransferSyntaxUID = syntax
        data["PixelData"].VR = "OW"
        implicit = syntax == ImplicitVRLittleEndian
        pydicom.dcmwrite(
            tmp_path / "x.dcm", data, implicit_vr=implicit, little_endian=not big, force_encoding=True
        )
        np.testing.assert_array_equal(read_image(tmp_path / "x.dcm").array[0], ramp((6, 5)) - 1024)


def test_compressed_with_a_slope_equals_uncompressed(shared_data: Path, tmp_path: Path) -> None:
    """GDCM rescales what it decodes, so nothing may rescale it twice, nor forget to."""
    made = slice_dataset(ramp((64, 64), np.uint16), (0, 0, 0), modality="PT", slope=0.25, intercept=3.0)
    made.save_as(tmp_path / "made.dcm")
    real = shared_data / "dicom_odd/anatomical/002_non_isotropic/003.dcm"
    frames = pydicom.dcmread(shared_data / "dicom_transfer_syntaxes/emri_small.dcm")
    group_frames(frames, [(0, 0, n) for n in range(10)], (1, 1))
    values = pydicom.Dataset()
    values.RescaleSlope, values.RescaleIntercept, values.RescaleType = 0.5, -7.0, "US"
    frames.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence = [values]
    frames.save_as(tmp_path / "frames.dcm")
    for source in (tmp_path / "made.dcm", real, tmp_path / "frames.dcm"):
        data = pydicom.dcmread(source)
        data.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
        data.save_as(tmp_path / "rle.dcm")
        one, two = read_image(source), read_image(tmp_path / "rle.dcm")
        np.testing.assert_array_equal(one.array, two.array, err_msg=source.name)
        assert one.array.dtype == np.float32
    np.testing.assert_array_equal(
        read_image(tmp_path / "made.dcm").array[0], (ramp((64, 64)) * 0.25 + 3).astype(np.float32)
    )


def test_bits_above_the_stored_ones_are_ignored(tmp_path: Path) -> None:
    pixels = ramp((6, 5), np.uint16)
    data = slice_dataset(pixels | 0xF000, (0, 0, 0), slope=None)
    data.BitsStored, data.HighBit = 12, 11
    data.save_as(tmp_path / "x.dcm")
    np.testing.assert_array_equal(read_image(tmp_path / "x.dcm").array[0], pixels)
    signed = slice_dataset((pixels.astype(np.int16) - 15) & 0x0FFF, (0, 0, 0), slope=None)
    signed.BitsStored, signed.HighBit = 12, 11
    signed.save_as(tmp_path / "y.dcm")
    np.testing.assert_array_equal(read_image(tmp_path / "y.dcm").array[0], pixels.astype(np.int16) - 15)


def test_one_slice_without_thickness(tmp_path: Path) -> None:
    slice_dataset(ramp((6, 5)), (0, 0, 0)).save_as(tmp_path / "x.dcm")
    volume = read_image(tmp_path / "x.dcm")
    assert volume.spacing == (1.0, 0.7, 0.5)
    assert volume.notes == ("one slice without a thickness in its header: 1 mm assumed",)


def test_enhanced_made(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "x.dcm", ramp(), [(0, 0, 4 * n) for n in range(4)])
    volume = read_image(path)
    np.testing.assert_array_equal(volume.array, ramp())
    assert volume.spacing == (4.0, 0.7, 0.5)


def test_broken_and_empty_folders(tmp_path: Path) -> None:
    (tmp_path / "empty" / "sub").mkdir(parents=True)
    assert refused(tmp_path / "empty") == (
        "empty: no DICOM files in this folder (1 folders in it); expected the files of a series. "
        "Name the folder that holds them."
    )
    (tmp_path / "x.dcm").write_bytes(b"this is no DICOM at all" * 30)
    assert "x.dcm: " in refused(tmp_path / "x.dcm")
    data = slice_dataset(ramp((6, 5)), (0, 0, 0))
    del data.PixelData
    data.save_as(tmp_path / "y.dcm")
    assert refused(tmp_path / "y.dcm") == (
        "y.dcm: the header promises 6×5 pixels, but there is no pixel data; expected it at the file's end. "
        "Export or download the file again."
    )


def test_edited_real_slices(shared_data: Path, tmp_path: Path) -> None:
    source = sorted((shared_data / "ct_dicom_series").iterdir())
    for n, file in enumerate(source[:3]):
        edit(file, tmp_path / f"{n}.dcm", Modality="PT")
    assert read_image(tmp_path, modality="CT").notes == ("the file says modality PET, the catalog CT",)
