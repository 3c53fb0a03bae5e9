"""NRRD, MetaImage, TIFF and npz."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from volume_make import ramp, ras, write_nifti

from fve_pipeline.errors import ReadError
from fve_pipeline.volume import read_header, read_image


def write_itk(path: Path, zyx: np.ndarray, *, compress: bool = True, vector: bool = False) -> Path:
    """With y and x running backwards (RAS), spacing (x,y,z) 1, 2, 3."""
    image = sitk.GetImageFromArray(zyx, isVector=vector)
    image.SetSpacing((1, 2, 3))
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    image.SetOrigin((10, -5, 7))
    sitk.WriteImage(image, str(path), useCompression=compress)
    return path


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mhd", ".nhdr"])
def test_itk_formats_equal_nifti(suffix: str, compress: bool, tmp_path: Path) -> None:
    zyx = ramp()
    volume = read_image(write_itk(tmp_path / f"x{suffix}", zyx, compress=compress))
    same = read_image(write_nifti(tmp_path / "x.nii", zyx, ras()))
    np.testing.assert_array_equal(volume.array, same.array)
    np.testing.assert_allclose(volume.affine, same.affine)
    assert (volume.orientation, volume.spacing, volume.array.dtype) == ("RAS", (3.0, 2.0, 1.0), np.int16)
    header = read_header(tmp_path / f"x{suffix}")
    assert (header.shape, header.dtype, header.nbytes) == ((4, 6, 5), np.int16, 240)


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mhd"])
@pytest.mark.parametrize("keep", [0.5, 0.999])
def test_truncated_itk_voxels_are_refused(suffix: str, compress: bool, keep: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = write_itk(tmp_path / f"x{suffix}", rng.integers(0, 9999, (9, 50, 40), np.int16), compress=compress)
    data = {".mhd": path.with_suffix(".zraw" if compress else ".raw")}.get(suffix, path)
    os.truncate(data, int(data.stat().st_size * keep))
    with pytest.raises(ReadError) as caught:
        read_image(path)
    text = str(caught.value)
    if suffix == ".mhd":  # SimpleITK's
        assert text.startswith("x.mhd: truncated or damaged voxels (")
        assert text.endswith("expected (9, 50, 40) (z,y,x) of int16. Download it again.")
    elif compress and suffix == ".nrrd":
        assert "x.nrrd: damaged or truncated gzip stream (" in text
    else:
        assert text.startswith(f"x{suffix}: truncated, ")
        assert text.endswith(" of 36000 bytes; expected all of them. Download it again.")
    assert str(tmp_path) not in text


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_damaged_itk_voxels_are_refused(suffix: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = write_itk(tmp_path / f"x{suffix}", rng.integers(0, 99, (9, 50, 40), np.int16))
    data = bytearray(path.read_bytes())
    data[-20] ^= 0x41
    path.write_bytes(bytes(data))
    with pytest.raises(ReadError, match=r"damaged|truncated"):
        read_image(path)


def test_big_endian_and_text_nrrd(tmp_path: Path) -> None:
    zyx = ramp()
    plain = write_itk(tmp_path / "x.nrrd", zyx, compress=False).read_bytes()
    head, body = plain.split(b"\n\n", 1)
    swapped = head.replace(b"endian: little", b"endian: big") + b"\n\n" + zyx.astype(">i2").tobytes()
    (tmp_path / "big.nrrd").write_bytes(swapped)
    text = (
        head.replace(b"encoding: raw", b"encoding: ascii") + b"\n\n" + b" ".join(b"%d" % v for v in zyx.flat)
    )
    (tmp_path / "text.nrrd").write_bytes(text)
    assert body == zyx.tobytes()
    for name in ("x.nrrd", "big.nrrd", "text.nrrd"):
        np.testing.assert_array_equal(read_image(tmp_path / name).array, zyx[:, ::-1, ::-1], err_msg=name)


def test_spaces_of_nrrd(tmp_path: Path) -> None:
    zyx = ramp()
    plain = write_itk(tmp_path / "x.nrrd", zyx, compress=False).read_bytes()
    lps = read_image(tmp_path / "x.nrrd")
    ras_space = plain.replace(b"left-posterior-superior", b"right-anterior-superior")
    (tmp_path / "ras.nrrd").write_bytes(ras_space)
    other = read_image(tmp_path / "ras.nrrd")
    np.testing.assert_array_equal(other.array, zyx)  # its axes run the other way now
    assert (lps.orientation, other.orientation) == ("RAS", "LPS")
    lines = [
        line for line in plain.split(b"\n\n")[0].split(b"\n") if not line.startswith((b"space", b"kinds"))
    ]
    bare = b"\n".join([*lines, b"spacings: 1 2 3", b"", zyx.tobytes()])
    (tmp_path / "bare.nrrd").write_bytes(bare)
    volume = read_image(tmp_path / "bare.nrrd")
    np.testing.assert_array_equal(volume.array, zyx)
    assert volume.spacing == (3.0, 2.0, 1.0)
    assert volume.notes == ("no space in the header: LPS axes assumed",)


def test_an_nrrd_that_promises_the_impossible_takes_no_memory(tmp_path: Path) -> None:
    plain = write_itk(tmp_path / "x.nrrd", ramp()).read_bytes()
    (tmp_path / "x.nrrd").write_bytes(plain.replace(b"sizes: 5 6 4", b"sizes: 50000 60000 40000"))
    with pytest.raises(ReadError, match=r"x\.nrrd: truncated, "):
        read_image(tmp_path / "x.nrrd")


def test_channels_of_an_nrrd(tmp_path: Path) -> None:
    zyx = ramp((4, 6, 5, 3))
    path = write_itk(tmp_path / "x.nrrd", zyx, vector=True)
    with pytest.raises(ReadError, match=r"3 volumes in one file \(3 dimensions, 3 values a voxel\)"):
        read_image(path)
    np.testing.assert_array_equal(read_image(path, channel=2).array, zyx[:, ::-1, ::-1, 2])
    with pytest.raises(ReadError) as caught:
        read_image(path, channel=3)
    assert str(caught.value) == (
        "x.nrrd: no channel 3 (3 dimensions, 3 values a voxel); expected a channel of 0..2. "
        "Correct the catalog."
    )


def test_real_mr(shared_data: Path) -> None:
    volume = read_image(shared_data / "mr_pyradiomics/brain1_image.nrrd", modality="MR")
    assert volume.array.shape == (25, 256, 256)
    assert volume.spacing == pytest.approx((6.5, 0.78125, 0.78125))
    assert (volume.orientation, volume.modality) == ("LAS", "MR")
    image = sitk.ReadImage(str(shared_data / "mr_pyradiomics/brain1_image.nrrd"))
    lps = sitk.GetArrayFromImage(sitk.DICOMOrient(image, "LPS"))
    np.testing.assert_array_equal(volume.array, lps)


def test_tiff_stack_without_spacing(shared_data: Path) -> None:
    volume = read_image(shared_data / "micro_nuclei/img3d.tif")
    assert volume.array.shape == (31, 61, 57)
    assert volume.array.dtype == np.uint16
    assert volume.spacing == (1.0, 1.0, 1.0)
    assert volume.notes == ("no voxel size in the file: 1 mm assumed",)
    assert (volume.orientation, volume.located) == ("unknown", False)
    np.testing.assert_array_equal(volume.array, tifffile.imread(shared_data / "micro_nuclei/img3d.tif"))


def test_imagej_and_ome_spacing_is_converted(tmp_path: Path) -> None:
    zyx = ramp(dtype=np.uint16)
    tifffile.imwrite(
        tmp_path / "ij.tif",
        zyx,
        imagej=True,
        resolution=(1 / 0.25, 1 / 0.5),
        metadata={"spacing": 2.0, "unit": "um", "axes": "ZYX"},
    )
    assert read_image(tmp_path / "ij.tif").spacing == (0.002, 0.0005, 0.00025)
    sizes = {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2000.0}
    units = {f"PhysicalSize{a}Unit": u for a, u in (("X", "µm"), ("Y", "µm"), ("Z", "nm"))}
    tifffile.imwrite(tmp_path / "x.ome.tif", zyx, metadata={"axes": "ZYX", **sizes, **units})
    volume = read_image(tmp_path / "x.ome.tif")
    assert volume.spacing == pytest.approx((0.002, 0.0005, 0.00025))
    np.testing.assert_array_equal(volume.array, zyx)


def test_tiff_channels_and_colours(tmp_path: Path) -> None:
    zcyx = ramp((4, 2, 6, 5), np.uint16)
    tifffile.imwrite(tmp_path / "c.tif", zcyx, imagej=True, metadata={"axes": "ZCYX"})
    with pytest.raises(ReadError, match=r"2 volumes in one file \(axes ZCYX of 4×2×6×5\)"):
        read_image(tmp_path / "c.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "c.tif", channel=1).array, zcyx[:, 1])
    assert read_header(tmp_path / "c.tif").channels == 2
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((4, 6, 5, 3), np.uint8), photometric="rgb")
    with pytest.raises(ReadError) as caught:
        read_image(tmp_path / "rgb.tif")
    assert str(caught.value).startswith("rgb.tif: a colour picture (axes ")
    assert str(caught.value).endswith("expected one grey value a voxel. Give the scan, not a rendering.")


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_truncated_tiff_is_refused(compression: str | None, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, rng.integers(0, 9999, (9, 50, 40), np.uint16), compression=compression)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(ReadError, match=r"x\.tif: truncated or damaged TIFF"):
        read_image(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(save: object, tmp_path: Path) -> None:
    imgs, gts = ramp(dtype=np.uint8), (ramp(dtype=np.uint8) > 50).astype(np.uint8)
    save(tmp_path / "x.npz", imgs=imgs, gts=gts, spacing=np.array([0.5, 0.6, 2.0]))  # type: ignore[operator]
    volume = read_image(tmp_path / "x.npz")
    np.testing.assert_array_equal(volume.array, imgs)
    assert volume.spacing == (2.0, 0.6, 0.5)  # the file holds (x,y,z)
    assert volume.array.flags.writeable
    np.testing.assert_array_equal(read_image(tmp_path / "x.npz", member="gts").array, gts)
    header = read_header(tmp_path / "x.npz")
    assert (header.shape, header.spacing, header.nbytes) == ((4, 6, 5), (2.0, 0.6, 0.5), 120)
    with pytest.raises(ReadError) as caught:
        read_image(tmp_path / "x.npz", member="segs")
    assert str(caught.value) == (
        "x.npz: no array 'segs' in the npz, which holds gts, imgs, spacing; expected one of them. "
        "Name one of those as the member."
    )


def test_npz_in_fortran_order_and_without_spacing(tmp_path: Path) -> None:
    imgs = np.asfortranarray(ramp(dtype=np.float64))
    np.savez(tmp_path / "x.npz", imgs=imgs)
    volume = read_image(tmp_path / "x.npz")
    np.testing.assert_array_equal(volume.array, imgs)
    assert volume.array.dtype == np.float32
    assert volume.notes == ("no spacing in the file: 1 mm assumed",)


def test_npz_is_never_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (os.mkdir, (str(tmp_path / "sprung"),))

    np.savez(tmp_path / "x.npz", imgs=np.array([Trap()], object), spacing=np.array(Trap(), object))
    with pytest.raises(ReadError, match="is a pickled object, which is never opened"):
        read_image(tmp_path / "x.npz")
    np.savez(tmp_path / "y.npz", imgs=ramp(), spacing=np.array(Trap(), object))
    with pytest.raises(ReadError, match="'spacing' is a pickled object, which is never opened"):
        read_image(tmp_path / "y.npz")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("keep", [0.3, 0.9, 0.999])
def test_truncated_npz_is_refused(keep: float, tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, imgs=np.random.default_rng(0).integers(0, 255, (9, 50, 40), np.uint8))
    os.truncate(path, int(path.stat().st_size * keep))
    with pytest.raises(ReadError, match=r"x\.npz: truncated or damaged npz"):
        read_image(path)


def test_a_flipped_byte_in_npz_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, imgs=np.zeros((9, 50, 40), np.uint8))
    data = bytearray(path.read_bytes())
    data[9000] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ReadError, match=r"npz member imgs\.npy fails its checksum"):
        read_image(path)


def test_unknown_files_are_refused(tmp_path: Path) -> None:
    for name, start in (("a.txt", b"hello"), ("b.par", b"# === DATA"), ("empty.nii.gz", b"")):
        (tmp_path / name).write_bytes(start)
    kinds = "NIfTI, NRRD, MHA/MHD, TIFF, npz, HDF5 or DICOM"
    for name, text in {
        "a.txt": f"an unknown kind of file (its first bytes are 68656c6c); expected {kinds}. "
        "Convert it to one of them.",
        "b.par": f"a Philips PAR/REC header; expected {kinds}. "
        "Convert the pair to NIfTI (dcm2niix or nibabel's parrec2nii).",
        "empty.nii.gz": f"an empty file (0 bytes); expected {kinds}. Download it again.",
        "none.nii": "no such file; expected a file or folder. Check the path, or the catalog's pattern.",
    }.items():
        with pytest.raises(ReadError) as caught:
            read_image(tmp_path / name)
        assert str(caught.value) == f"{name}: {text}"
