"""Labels onto their image's grid, in world space."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from volume_make import ramp, ras, write_nifti, write_series

from fve_pipeline.errors import GeometryError, ReadError
from fve_pipeline.volume import read_image, read_labels
from fve_pipeline.volume.geometry import boxes_overlap, resample_nearest
from fve_pipeline.volume.label_file import LabelFile
from fve_pipeline.volume.labels import view_labels
from fve_pipeline.volume.orientation import flat_affine


def labels_of(path: Path, image: Path, **options: object):
    return read_labels([LabelFile(path.name, **options)], path.parent, read_image(image))  # type: ignore[arg-type]


def test_real_ct_with_its_41_classes(shared_data: Path) -> None:
    volume = read_image(shared_data / "ct_totalseg/example_ct_sm.nii.gz")
    labels = read_labels([LabelFile("ct_totalseg/example_seg.nii.gz")], shared_data, volume.header)
    assert labels.array.dtype == np.uint16
    assert labels.array.shape == volume.array.shape
    assert len(np.unique(labels.array)) == 42
    assert (labels.resampled, labels.notes) == (False, ())


def test_dicom_series_with_its_flipped_labels(shared_data: Path) -> None:
    volume = read_image(shared_data / "ct_dicom_series")
    labels = read_labels([LabelFile("ct_dicom_series_labels/example_seg_dicom.nii.gz")], shared_data, volume)
    assert labels.resampled is False
    assert len(np.unique(labels.array)) == 32
    liver = volume.array[labels.array == 5]
    assert float(liver.mean()) == pytest.approx(89, abs=1)


def test_mr_and_microscopy(shared_data: Path) -> None:
    for image, label, count in (
        ("mr_pyradiomics/brain1_image.nrrd", "mr_pyradiomics/brain1_label.nrrd", 2),
        (
            "mr_pyradiomics/prostate_phantom_subvolume.nrrd",
            "mr_pyradiomics/prostate_phantom_subvolume-label.nrrd",
            5,
        ),
        ("micro_nuclei/img3d.tif", "micro_nuclei/mask3d.tif", None),
        ("micro_cells/rgb_3D_0.tiff", "micro_cells/rgb_3D_0_segm.tiff", None),
    ):
        volume = read_image(shared_data / image)
        labels = read_labels([LabelFile(label)], shared_data, volume)
        assert labels.array.shape == volume.array.shape
        assert labels.resampled is False
        assert labels.notes == ()
        if count:
            assert len(np.unique(labels.array)) == count
    assert int(labels.array.max()) == 498


def test_ultrasound_with_a_layer_a_structure(shared_data: Path) -> None:
    root = shared_data / "us_mr_prostate/train"
    volume = read_image(root / "fixed_images/case000000.nii.gz", modality="US")
    path = "fixed_labels/case000000.nii.gz"
    with pytest.raises(ReadError) as caught:
        read_labels([LabelFile(path)], root, volume)
    assert str(caught.value) == (
        f"{path}: 3 volumes in one file (44×59×41×3, x first); expected one volume, or one of them to be "
        "named. Name a channel (0..2)."
    )
    layers = [LabelFile(path, value=n + 1, channel=n) for n in range(3)]
    labels = read_labels(layers, root, volume)
    assert np.unique(labels.array).tolist() == [0, 1, 2, 3]
    one = read_labels(layers[:1], root, volume)
    stored = np.asarray(nib.load(root / path).dataobj)[..., 0]
    np.testing.assert_array_equal(one.array, stored.transpose()[:, ::-1, ::-1])


def test_gapped_and_overlapping_layers_on_a_dicom_series(shared_data: Path) -> None:
    root = shared_data / "dicom_gapped_seg"
    volume = read_image(root / "ct-3slice")
    gapped = read_labels([LabelFile("liver_spine_gapped_seg.nrrd")], root, volume)
    assert np.unique(gapped.array).tolist() == [0, 1, 5]
    assert gapped.resampled is False
    one, two = (read_labels([LabelFile(f"partial_overlaps-{n}.nrrd")], root, volume) for n in (1, 2))
    both = read_labels(
        [LabelFile("partial_overlaps-1.nrrd"), LabelFile("partial_overlaps-2.nrrd")], root, volume
    )
    expected = np.where(two.array != 0, two.array, one.array)
    np.testing.assert_array_equal(both.array, expected)
    taken = int(((one.array != 0) & (two.array != 0) & (one.array != two.array)).sum())
    assert taken > 0
    assert both.notes == (
        f"partial_overlaps-2.nrrd: {taken} voxels that an earlier file had labelled were relabelled",
    )


def test_one_file_a_class(tmp_path: Path) -> None:
    image = write_nifti(tmp_path / "i.nii", ramp())
    first, second = np.zeros((4, 6, 5), np.uint8), np.zeros((4, 6, 5), np.uint8)
    first[:, 2:4, 1:3] = 1
    second[1, 3:, 2:] = 255
    write_nifti(tmp_path / "liver.nii.gz", first)
    write_nifti(tmp_path / "spleen.nii.gz", second)
    files = [LabelFile("liver.nii.gz", value=300), LabelFile("spleen.nii.gz", value=7)]
    labels = read_labels(files, tmp_path, read_image(image))
    expected = np.where(second, 7, np.where(first, 300, 0)).astype(np.uint16)[:, ::-1, ::-1]
    np.testing.assert_array_equal(labels.array, expected)
    assert labels.notes == ("spleen.nii.gz: 1 voxels that an earlier file had labelled were relabelled",)
    second[0, 0, 0] = 3
    write_nifti(tmp_path / "spleen.nii.gz", second)
    labels = read_labels(files[1:], tmp_path, read_image(image))
    assert labels.notes == ("spleen.nii.gz: holds several ids; all of them became 7",)


def test_values(tmp_path: Path) -> None:
    image = write_nifti(tmp_path / "i.nii", ramp())

    def text(zyx: np.ndarray) -> str:
        path = write_nifti(tmp_path / "l.nii", zyx)
        with pytest.raises(ReadError) as caught:
            labels_of(path, image)
        return str(caught.value)

    whole = np.zeros((4, 6, 5), np.float32)
    whole[1, 1, 1] = 3
    labels = labels_of(write_nifti(tmp_path / "f.nii", whole), image)
    assert labels.array.dtype == np.uint16
    assert np.unique(labels.array).tolist() == [0, 3]
    wide = ramp(dtype=np.int32) * 546  # up to 64,974
    np.testing.assert_array_equal(
        labels_of(write_nifti(tmp_path / "w.nii", wide), image).array, wide[:, ::-1, ::-1].astype(np.uint16)
    )
    assert text(whole + 0.25) == (
        "l.nii: 120 labels are fractions (the first is 0.25); expected whole numbers. "
        "Give the label map, not probabilities; resample labels nearest."
    )
    assert text(whole * np.nan) == (
        "l.nii: 120 labels of 120 are NaN or infinite; expected whole numbers. Repair the file."
    )
    assert text(whole.astype(np.int16) - 1) == (
        "l.nii: 119 labels are negative (down to -1); expected 0..65535. Give the class ids themselves."
    )
    assert text(whole.astype(np.int32) * 30000) == (
        "l.nii: labels go up to 90000; expected at most 65535. Renumber them first."
    )


def test_another_grid_is_resampled_nearest(tmp_path: Path) -> None:
    image = write_nifti(tmp_path / "i.nii", ramp((8, 12, 10)), ras((1, 1, 1)))
    coarse = np.arange(1, 4 * 6 * 5 + 1, dtype=np.uint8).reshape(4, 6, 5)
    # Twice the spacing; voxel centres half a fine voxel inwards, so that boxes coincide.
    path = write_nifti(tmp_path / "l.nii", coarse, ras((2, 2, 2), (-9.5, 5.5, 7.5)))
    labels = labels_of(path, image)
    expected = coarse.repeat(2, 0).repeat(2, 1).repeat(2, 2)[:, ::-1, ::-1]
    np.testing.assert_array_equal(labels.array, expected)
    assert labels.resampled is True
    assert labels.notes == (
        "l.nii: on another grid than the image (4×6×5); resampled, nearest, 100% of the "
        "labelled volume is left",
    )


def test_a_crop_of_the_grid_is_put_in_its_place(tmp_path: Path) -> None:
    full = ramp((8, 9, 10), np.uint16) + 1
    image = write_nifti(tmp_path / "i.nii", full, ras((1, 2, 3), (0, 0, 0)))
    path = write_nifti(tmp_path / "l.nii", full[2:5, 3:8, 1:7], ras((1, 2, 3), (1, 6, 6)))
    expected = np.zeros_like(full)
    expected[2:5, 3:8, 1:7] = full[2:5, 3:8, 1:7]
    np.testing.assert_array_equal(labels_of(path, image).array, expected[:, ::-1, ::-1])


def test_less_than_half_a_voxel_off_is_the_same_grid(tmp_path: Path) -> None:
    image = write_nifti(tmp_path / "i.nii", ramp(), ras(origin=(0, 0, 0)))
    ids = ramp(dtype=np.uint8)
    labels = labels_of(write_nifti(tmp_path / "l.nii", ids, ras(origin=(0.3, 0, 0))), image)
    np.testing.assert_array_equal(labels.array, ids[:, ::-1, ::-1])
    assert labels.resampled is False
    assert labels.notes == (
        "l.nii: its grid lies 0.30 voxels off the image's; the nearest voxels are the same",
    )
    assert labels_of(write_nifti(tmp_path / "l.nii", ids, ras(origin=(1e-3, 0, 0))), image).notes == ()


def test_labels_elsewhere_are_refused(tmp_path: Path) -> None:
    image = write_nifti(tmp_path / "i.nii", ramp(), ras(origin=(0, 0, 0)))
    ids = np.ones((4, 6, 5), np.uint8)
    mirrored = np.diag([-1.0, 2, 3, 1])
    mirrored[0, 3] = -50
    with pytest.raises(GeometryError) as caught:
        labels_of(write_nifti(tmp_path / "l.nii", ids, mirrored), image)
    assert str(caught.value) == (
        "l.nii: the label map lies at 50..54, -10..0, 0..9, outside the image at -4..0, -10..0, 0..9; "
        "expected them to overlap (LPS x, y, z in mm). Check that it belongs to this image."
    )
    ids[:, :, :3] = 0
    with pytest.raises(GeometryError) as caught:
        labels_of(write_nifti(tmp_path / "l.nii", ids, ras(origin=(3, 0, 0))), image)
    assert str(caught.value) == (
        "l.nii: no labelled voxel falls inside the image at -4..0, -10..0, 0..9; expected some (LPS "
        "x, y, z in mm). Check that it belongs to this image and isn't mirrored."
    )
    # An empty label map has nothing to lose.
    empty = labels_of(write_nifti(tmp_path / "l.nii", ids * 0, ras(origin=(3, 0, 0))), image)
    assert not empty.array.any()


def test_a_turned_and_sheared_label_grid(tmp_path: Path) -> None:
    """Nearest resampling follows the whole affine; shear is only refused for images."""
    image = write_nifti(tmp_path / "i.nii", ramp((10, 10, 10)), np.diag([1.0, 1, 1, 1]))
    angle = np.radians(30)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turn[0, 2] = 0.3
    turn[:3, 3] = (-3, -4, 0)
    ids = ramp((12, 20, 20), np.uint16)
    labels = labels_of(write_nifti(tmp_path / "l.nii", ids, turn), image)
    for z, y, x in ((0, 0, 0), (9, 9, 9), (4, 7, 2), (1, 3, 8)):
        i, j, k = np.floor(np.linalg.inv(turn) @ [9 - x, 9 - y, z, 1] + 0.5).astype(int)[:3]
        inside = 0 <= i < 20 and 0 <= j < 20 and 0 <= k < 12
        assert labels.array[z, y, x] == (ids[k, j, i] if inside else 0)


def test_files_without_a_position_match_by_index_only(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "i.tif", ramp(dtype=np.uint16), photometric="minisblack")
    tifffile.imwrite(tmp_path / "l.tif", ramp(dtype=np.uint16), photometric="minisblack")
    np.testing.assert_array_equal(labels_of(tmp_path / "l.tif", tmp_path / "i.tif").array, ramp())
    tifffile.imwrite(tmp_path / "small.tif", ramp((4, 6, 4), np.uint16), photometric="minisblack")
    with pytest.raises(GeometryError) as caught:
        labels_of(tmp_path / "small.tif", tmp_path / "i.tif")
    assert str(caught.value) == (
        "small.tif: the label map is 4×6×4 and the image 4×6×5 (z,y,x); expected equal sizes, since neither "
        "says where it lies. Check that they belong together."
    )
    image = write_nifti(tmp_path / "i.nii", ramp())
    with pytest.raises(GeometryError) as caught:
        labels_of(tmp_path / "l.tif", image)
    assert str(caught.value) == (
        "l.tif: the image has a position in the body and the label map has none; expected both or neither. "
        "Save both in one format."
    )


def test_npz_labels_and_oblique_dicom(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", imgs=ramp(dtype=np.uint8), gts=ramp(dtype=np.uint8) % 3, spacing=(1, 2, 3))
    labels = labels_of(tmp_path / "x.npz", tmp_path / "x.npz")
    np.testing.assert_array_equal(labels.array, ramp() % 3)
    angle = np.radians(25)
    orientation = (
        float(np.cos(angle)),
        float(np.sin(angle)),
        0.0,
        float(-np.sin(angle)),
        float(np.cos(angle)),
        0.0,
    )
    folder = write_series(tmp_path / "mr", ramp(), orientation=orientation)
    volume = read_image(folder)
    lps = volume.affine[:, [2, 1, 0, 3]]
    write_nifti(tmp_path / "l.nii", ramp(dtype=np.uint8), np.diag([-1, -1, 1, 1]) @ lps)
    same = read_labels([LabelFile("l.nii")], tmp_path, volume)
    np.testing.assert_array_equal(same.array, ramp())
    assert (same.resampled, same.notes) == (False, ())


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 6)] * 3),
    other=st.tuples(*[st.integers(1, 6)] * 3),
    spacing=st.tuples(*[st.sampled_from([0.5, 1.0, 1.7, 3.0])] * 3),
    shift=st.tuples(*[st.floats(-4, 4)] * 3),
)
def test_resampling_picks_the_nearest_voxel(
    shape: tuple[int, int, int],
    other: tuple[int, int, int],
    spacing: tuple[float, float, float],
    shift: tuple[float, float, float],
) -> None:
    ids = np.arange(1, np.prod(shape) + 1).reshape(shape)
    source, target = flat_affine((1.0, 1.0, 1.0)), flat_affine(spacing)
    target[:3, 3] = shift
    out = resample_nearest(ids, source, target, other)
    for index in np.ndindex(other):
        at = np.array(index) * spacing + np.array(shift)[::-1]
        near = np.floor(np.round(at, 6) + 0.5).astype(int)
        inside = ((near >= 0) & (near < shape)).all()
        assert out[index] == (ids[tuple(near)] if inside else 0)
    if out.any():
        assert boxes_overlap(source, shape, target, other)


def test_boxes_that_cross_without_a_corner_inside() -> None:
    long, tall = flat_affine((1, 1, 1)), flat_affine((1, 1, 1))
    tall[:3, 3] = (10, -10, 0)
    assert boxes_overlap(long, (2, 2, 30), tall, (2, 30, 2))
    turned = np.eye(4)
    turned[:2, :2] = [[0.7071, -0.7071], [0.7071, 0.7071]]
    turned[:3, 3] = (0, 16.5, 0)
    assert not boxes_overlap(long, (2, 2, 2), turned @ long, (2, 2, 2))


def test_a_view_of_labels_is_the_labels(tmp_path: Path) -> None:
    image = read_image(write_nifti(tmp_path / "i.nii", ramp()))
    for dtype in (np.uint8, np.int16, np.uint16, np.float32):
        write_nifti(tmp_path / "l.nii", ramp(dtype=dtype))
        for file in (LabelFile("l.nii"), LabelFile("l.nii", value=3)):
            seen, read = (f([file], tmp_path, image) for f in (view_labels, read_labels))
            np.testing.assert_array_equal(seen.array, read.array)
            assert (read.array.dtype, read.array.flags.c_contiguous) == (np.uint16, True)
    assert view_labels([LabelFile("l.nii")], tmp_path, image).array.strides[1] < 0  # as the file lies
