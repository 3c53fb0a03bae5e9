"""NIfTI: every axis order, values, and files that are refused."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from volume_make import ramp, ras, write_nifti

from fve_pipeline.errors import GeometryError, ReadError
from fve_pipeline.volume import read_header, read_image

CODES = [
    "".join(code) for axes in itertools.permutations(("RL", "AP", "SI")) for code in itertools.product(*axes)
]


@pytest.mark.parametrize("codes", CODES)
def test_every_axis_order_comes_out_the_same(codes: str, tmp_path: Path) -> None:
    zyx = ramp()
    first = nib.Nifti1Image(zyx.transpose(), ras())
    turn = ornt_transform(io_orientation(first.affine), axcodes2ornt(codes))
    turned = first.as_reoriented(turn)
    assert "".join(nib.aff2axcodes(turned.affine)) == codes
    turned.to_filename(tmp_path / "x.nii.gz")
    volume = read_image(tmp_path / "x.nii.gz")
    assert volume.orientation == codes
    # RAS to LPS: x and y run the other way.
    np.testing.assert_array_equal(volume.array, zyx[:, ::-1, ::-1])
    assert volume.array.dtype == np.int16
    assert volume.array.flags.c_contiguous
    assert volume.array.flags.writeable
    assert volume.spacing == (3.0, 2.0, 1.0)
    expected = np.zeros((4, 4))
    expected[[2, 1, 0, 3], [0, 1, 2, 3]] = [3, 2, 1, 1]
    # The last RAS index along x is the first in LPS: -( -10 + 4·1 ) = 6, and so on.
    expected[:3, 3] = [6.0, -15.0, 7.0]
    np.testing.assert_allclose(volume.affine, expected, atol=1e-6)
    header = read_header(tmp_path / "x.nii.gz")
    assert (header.shape, header.orientation, header.spacing) == ((4, 6, 5), codes, (3.0, 2.0, 1.0))
    assert header.nbytes == volume.array.nbytes
    np.testing.assert_array_equal(header.affine, volume.affine)


def test_orientations_of_one_scan_are_equal(shared_data: Path) -> None:
    volumes = [
        read_image(shared_data / f"nifti_orientations/{o}.nii.gz") for o in ("RAS", "LPI", "PIR", "ASL")
    ]
    assert [v.orientation for v in volumes] == ["RAS", "LPI", "PIR", "ASL"]
    for volume in volumes[1:]:
        np.testing.assert_array_equal(volume.array, volumes[0].array)
        np.testing.assert_allclose(volume.affine, volumes[0].affine, atol=1e-4)
    assert volumes[0].array.dtype == np.float32
    assert float(volumes[0].array.max()) == pytest.approx(92.55388641357422)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "f4"])
def test_types_and_byte_orders(order: str, version: int, dtype: str, tmp_path: Path) -> None:
    zyx = ramp(dtype=np.dtype(dtype))
    header = (nib.Nifti1Header if version == 1 else nib.Nifti2Header)(endianness=order)
    header.set_data_dtype(np.dtype(dtype).newbyteorder(order))
    kind = nib.Nifti1Image if version == 1 else nib.Nifti2Image
    kind(zyx.transpose(), np.diag([-1, -1, 1, 1]), header).to_filename(tmp_path / "x.nii")
    volume = read_image(tmp_path / "x.nii")
    np.testing.assert_array_equal(volume.array, zyx)
    assert volume.array.dtype == np.dtype(dtype)
    assert volume.array.dtype.isnative


def test_wide_types_are_narrowed(tmp_path: Path) -> None:
    zyx = ramp(dtype=np.int32) - 50
    assert read_image(write_nifti(tmp_path / "a.nii", zyx)).array.dtype == np.int16
    assert read_image(write_nifti(tmp_path / "b.nii", zyx * 1000)).array.dtype == np.int32
    assert read_image(write_nifti(tmp_path / "c.nii", zyx.astype(np.float64) / 3)).array.dtype == np.float32
    big = read_image(write_nifti(tmp_path / "d.nii", zyx.astype(np.uint32) + 4_000_000_000))
    assert big.array.dtype == np.float32


@pytest.mark.parametrize(
    ("slope", "intercept", "dtype"),
    [(1, -1024, np.int16), (2, 1, np.int16), (1000, 0, np.int32), (0.5, 3, np.float32)],
)
def test_slope_and_intercept(slope: float, intercept: float, dtype: type, tmp_path: Path) -> None:
    zyx = ramp()
    image = nib.Nifti1Image(zyx.transpose(), np.diag([-1, -1, 1, 1]))
    image.header.set_slope_inter(slope, intercept)
    image.to_filename(tmp_path / "x.nii.gz")  # nibabel divides on writing: write the stored values back
    plain = bytearray(gzip.decompress((tmp_path / "x.nii.gz").read_bytes()))
    plain[352:] = zyx.tobytes()
    plain[112:120] = np.array([slope, intercept], "<f4").tobytes()
    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(bytes(plain)))
    volume = read_image(tmp_path / "x.nii.gz")
    np.testing.assert_array_equal(volume.array, (zyx.astype(np.float64) * slope + intercept).astype(dtype))
    assert volume.array.dtype == dtype
    assert read_header(tmp_path / "x.nii.gz").dtype.kind == np.dtype(dtype).kind


def test_real_ct_stays_integer(shared_data: Path) -> None:
    volume = read_image(shared_data / "ct_totalseg/example_ct.nii.gz")
    assert volume.array.shape == (112, 101, 122)
    assert volume.array.dtype == np.int16
    assert (int(volume.array.min()), int(volume.array.max())) == (-1207, 3382)
    assert volume.spacing == (3.0, 3.0, 3.0)
    assert volume.notes == ()


def test_the_named_file_is_read_whatever_lies_beside_it(tmp_path: Path) -> None:
    one, two = np.full((2, 3, 4), 1, np.uint8), np.full((2, 3, 4), 2, np.uint8)
    write_nifti(tmp_path / "ct.nii.gz", one)
    write_nifti(tmp_path / "ct.nii", two)
    assert read_image(tmp_path / "ct.nii.gz").array.max() == 1
    assert read_image(tmp_path / "ct.nii").array.max() == 2


def test_content_decides_over_the_suffix(tmp_path: Path) -> None:
    zyx = ramp()
    write_nifti(tmp_path / "x.nii.gz", zyx)
    (tmp_path / "plain.nii").write_bytes((tmp_path / "x.nii.gz").read_bytes())
    (tmp_path / "zipped.nii.gz").write_bytes(gzip.decompress((tmp_path / "x.nii.gz").read_bytes()))
    for name in ("plain.nii", "zipped.nii.gz"):
        np.testing.assert_array_equal(read_image(tmp_path / name).array, zyx[:, ::-1, ::-1])


def test_channel_of_a_4d_file(shared_data: Path) -> None:
    path = shared_data / "nifti_odd/pcasl.nii.gz"
    stored = np.asarray(nib.load(path).dataobj)
    for channel in (0, 3, 9):
        volume = read_image(path, channel=channel)
        np.testing.assert_array_equal(volume.array, stored[::-1, ::-1, :, channel].transpose())
    assert read_header(path).channels == 10
    assert read_header(path).shape == (20, 68, 52)


def test_nifti2_channel(shared_data: Path) -> None:
    path = shared_data / "nifti_odd/example_nifti2.nii.gz"
    stored = np.asarray(nib.load(path).dataobj)
    volume = read_image(path, channel=1)
    # LAS: y is turned, x is not.
    np.testing.assert_array_equal(volume.array, stored[:, ::-1, :, 1].transpose())
    assert volume.spacing == pytest.approx((2.2, 2.0, 2.0), abs=1e-3)


def test_one_slice_and_many_slices(tmp_path: Path) -> None:
    assert read_image(write_nifti(tmp_path / "one.nii", ramp((1, 4, 5)))).array.shape == (1, 4, 5)
    flat = nib.Nifti1Image(ramp((4, 5)), ras())
    flat.to_filename(tmp_path / "flat.nii")
    assert read_image(tmp_path / "flat.nii").array.shape == (1, 5, 4)
    many = ramp((3000, 3, 2))
    volume = read_image(write_nifti(tmp_path / "many.nii.gz", many))
    np.testing.assert_array_equal(volume.array, many[:, ::-1, ::-1])


def test_micrometres_and_missing_orientation_are_noted(tmp_path: Path) -> None:
    image = nib.Nifti1Image(ramp().transpose(), ras())
    image.header.set_xyzt_units(xyz="micron")
    image.to_filename(tmp_path / "micro.nii")
    volume = read_image(tmp_path / "micro.nii")
    assert volume.spacing == (0.003, 0.002, 0.001)
    assert volume.notes == ("lengths are in µm in the header and were converted to mm",)
    blank = nib.Nifti1Image(ramp().transpose(), None)
    blank.header.set_zooms((1, 2, 3))
    blank.to_filename(tmp_path / "blank.nii")
    volume = read_image(tmp_path / "blank.nii")
    assert volume.spacing == (3.0, 2.0, 1.0)
    note = "no position or orientation in the header (sform and qform codes 0): LAS axes assumed"
    assert volume.notes == (note,)


def test_sform_wins_over_a_different_qform(tmp_path: Path) -> None:
    image = nib.Nifti1Image(ramp().transpose(), ras())
    image.set_sform(ras(), code=1)
    image.set_qform(ras(origin=(0, 0, 0)), code=1)
    image.to_filename(tmp_path / "x.nii")
    volume = read_image(tmp_path / "x.nii")
    assert volume.notes == ("sform and qform differ; the sform was used",)
    np.testing.assert_allclose(volume.affine[:3, 3], [6.0, -15.0, 7.0])


@pytest.mark.parametrize("keep", [0.02, 0.5, 0.98])
def test_truncated_gzip_is_refused(keep: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = write_nifti(tmp_path / "x.nii.gz", rng.integers(0, 999, (20, 64, 64), np.int16))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(ReadError, match=r"x\.nii\.gz: (damaged or )?truncated.* Download it again\."):
        read_image(path)


@pytest.mark.parametrize("cut", [1, 4, 8])
def test_a_gzip_that_lacks_only_its_checksum_is_refused(cut: int, tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "x.nii.gz", ramp())
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(ReadError, match="truncated gzip stream"):
        read_image(path)


def test_a_flipped_byte_in_gzip_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = write_nifti(tmp_path / "x.nii.gz", rng.integers(0, 999, (20, 64, 64), np.int16))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(bytes(data))
    with pytest.raises(ReadError, match="damaged or truncated gzip stream"):
        read_image(path)


def test_a_whole_gzip_of_half_a_volume_is_refused(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "x.nii.gz", ramp())
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-100]))
    with pytest.raises(ReadError) as caught:
        read_image(path)
    assert (
        str(caught.value) == "x.nii.gz: truncated, 492 of 592 bytes; expected all of them. Download it again."
    )


def test_truncated_voxels_are_refused_by_the_header_too(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "x.nii", ramp())
    path.write_bytes(path.read_bytes()[:-1])
    for read in (read_image, read_header):
        with pytest.raises(ReadError) as caught:
            read(path)
        assert (
            str(caught.value)
            == "x.nii: truncated, 591 of 592 bytes; expected all of them. Download it again."
        )


def test_non_finite_voxels(tmp_path: Path) -> None:
    zyx = ramp(dtype=np.float32)
    zyx[1, 2, 3], zyx[2, 0, 0], zyx[3, 5, 4] = np.nan, np.inf, -np.inf
    path = write_nifti(tmp_path / "x.nii", zyx)
    with pytest.raises(ReadError) as caught:
        read_image(path)
    assert str(caught.value) == (
        "x.nii: 1 NaN and 2 infinite voxels of 120; expected finite values. "
        "Repair the file, or name a value to replace them with."
    )
    volume = read_image(path, nonfinite=-5)
    assert volume.notes == ("1 NaN and 2 infinite voxels of 120 were replaced by -5",)
    assert np.isfinite(volume.array).all()
    assert (volume.array == -5).sum() == 3


def test_shear_is_refused_and_rotation_is_kept(tmp_path: Path) -> None:
    sheared = ras()
    sheared[0, 2] = 0.1
    with pytest.raises(GeometryError) as caught:
        read_image(write_nifti(tmp_path / "shear.nii", ramp(), sheared))
    assert str(caught.value) == (
        "shear.nii: the axes are not orthogonal, off by 1.91 degrees (a tilted gantry?); expected at most "
        "0.11. Resample it first, or have it resampled on reading (resample_tilt)."
    )
    angle = np.radians(20)
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    volume = read_image(write_nifti(tmp_path / "turned.nii", ramp(), turned @ ras()))
    np.testing.assert_array_equal(volume.array, ramp()[:, ::-1, ::-1])
    assert volume.spacing == pytest.approx((3, 2, 1), abs=1e-6)
    # The corner voxel (0,0,0) of the file lies where its affine says, in LPS.
    world = volume.affine @ [0, 5, 4, 1]
    np.testing.assert_allclose(world[:3], (turned @ ras() @ [0, 0, 0, 1])[:3] * [-1, -1, 1], atol=1e-5)


def test_zero_spacing_is_refused(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "x.nii", ramp())
    data = bytearray(path.read_bytes())
    data[296:312] = bytes(16)  # srow_y
    path.write_bytes(bytes(data))
    with pytest.raises(GeometryError, match="a spacing of 0 mm along an axis"):
        read_image(path)


def test_what_is_no_nifti_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(b"hello" * 200))
    with pytest.raises(ReadError) as caught:
        read_image(tmp_path / "x.nii.gz")
    assert str(caught.value) == (
        "x.nii.gz: no NIfTI header in its first 540 bytes; expected 348 (NIfTI-1) or 540 (NIfTI-2) bytes "
        "that say so. Download or convert it again."
    )


def test_gzip_of_several_members(tmp_path: Path) -> None:
    """As bgzip writes; the first member here ends inside the header."""
    path = write_nifti(tmp_path / "x.nii", ramp())
    data = path.read_bytes()
    parts = (data[:100], data[100:400], data[400:])
    (tmp_path / "x.nii.gz").write_bytes(b"".join(map(gzip.compress, parts)))
    np.testing.assert_array_equal(read_image(tmp_path / "x.nii.gz").array, read_image(path).array)
    assert read_header(tmp_path / "x.nii.gz").shape == (4, 6, 5)


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_a_header_that_promises_the_impossible_takes_no_memory(name: str, tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "x.nii", ramp())
    data = bytearray(path.read_bytes())
    data[42:48] = np.array([32000] * 3, "<i2").tobytes()
    (tmp_path / name).write_bytes(gzip.compress(bytes(data)) if name.endswith("gz") else bytes(data))
    for read in (read_image, read_header):
        with pytest.raises(ReadError, match=rf"{name}: truncated, \d+ of \d{{10,}} bytes"):
            read(tmp_path / name)


def test_a_broken_quaternion_and_a_flat_affine(tmp_path: Path) -> None:
    image = nib.Nifti1Image(ramp().transpose(), None)
    image.set_qform(ras(), code=1)
    image.to_filename(tmp_path / "x.nii")
    assert read_image(tmp_path / "x.nii").spacing == (3.0, 2.0, 1.0)
    data = bytearray((tmp_path / "x.nii").read_bytes())
    data[256:268] = np.array([1, 1, 1], "<f4").tobytes()
    (tmp_path / "x.nii").write_bytes(bytes(data))
    with pytest.raises(GeometryError) as caught:
        read_header(tmp_path / "x.nii")
    assert str(caught.value) == (
        "x.nii: the quaternion in its header is none; expected a rotation. Repair the header before building."
    )
    flat = ras()
    flat[:3, 1] = flat[:3, 0]
    with pytest.raises(GeometryError, match="the axes that the header gives lie in one plane"):
        read_header(write_nifti(tmp_path / "flat.nii", ramp(), flat))
