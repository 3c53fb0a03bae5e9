"""A build, from files to a committed store: what it holds, and what makes no difference to its bytes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import tiny
import zarr

import fve_pipeline
from fve_pipeline.build.cases import Dataset
from fve_pipeline.build.convert import convert_store
from fve_pipeline.build.pipeline import encode_prepared, prepare
from fve_pipeline.build.prepare.veil import salted
from fve_pipeline.build.request import BuildSummary, PrepareRequest
from fve_pipeline.catalog import load_catalog
from fve_pipeline.demo.cohort.make import make_dicom_case
from fve_pipeline.errors import BuildError, StoreLockedError
from fve_pipeline.files.local import LocalFiles
from fve_pipeline.files.locks import BuildLock
from fve_pipeline.imaging.encoding import encode
from fve_pipeline.runtime.executor import Executor, cluster
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.store.reader import open_store
from fve_pipeline.store.verify import verify

Run = Executor


def build(root: Path, out: Path, executor: Run, **options: Any) -> BuildSummary:
    changes = options.pop("changes", {})
    return tiny.build(tiny.datasets(root), out, executor, settings=tiny.settings(**changes), **options)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_cohort(tmp_path_factory.mktemp("cohort"), 5)


@pytest.fixture(scope="module")
def built(cohort: Path, tmp_path_factory: pytest.TempPathFactory, executor: Run) -> Path:
    out = tmp_path_factory.mktemp("built") / "slices.zarr"
    summary = build(cohort, out, executor)
    assert summary.cases == 5
    assert not summary.failures
    return out


def test_public_names_open_what_was_built(built: Path) -> None:
    store = fve_pipeline.open_store(built)
    assert store.images.shape == (store.index.num_rows, tiny.SIZE, tiny.SIZE, 3)
    assert store.masks.shape == store.images.shape[:3]
    assert store.cases.num_rows == 5
    assert store.classes.column("name").to_pylist() == ["box", "left ball", "both"]
    assert verify(store, deep=True) == []


def test_every_image_is_the_encoding_of_its_own_run(built: Path) -> None:
    store = open_store(built)
    rows = store.index.select(["case", "rendition", "view"]).to_pylist()
    images, start = store.images[:], 0
    while start < len(rows):
        stop = start
        while stop < len(rows) and rows[stop] == rows[start]:
            stop += 1
        focal = np.ascontiguousarray(images[start:stop, ..., 0])
        assert np.array_equal(encode(focal, 1), images[start:stop]), rows[start]
        start = stop


def test_index_counts_what_the_masks_hold(built: Path) -> None:
    store = open_store(built)
    masks = store.masks[:]
    for row, mask in zip(store.index.to_pylist(), masks, strict=True):
        counted = {
            1: int((mask == 1).sum()),
            2: int((mask == 2).sum()),
            9: int((mask > 0).sum()),
        }
        if row["rendition"] == "lung":  # meant for class 2 alone
            assert counted[1] == 0
            counted = {2: counted[2]}
        found = dict(zip(row["class_ids"], row["class_pixels"], strict=True))
        assert found == {key: value for key, value in counted.items() if value}


def test_positions_in_mm_follow_the_slices(built: Path) -> None:
    for row in open_store(built).index.to_pylist():
        axis = ("axial", "coronal", "sagittal").index(row["view"])
        assert row["z_mm"] == pytest.approx(row["slice"] * row["spacing"][axis])


def test_a_subject_has_one_split(built: Path) -> None:
    splits: dict[str, set[str]] = {}
    for row in open_store(built).index.select(["subject", "split"]).to_pylist():
        splits.setdefault(row["subject"], set()).add(row["split"])
    assert all(len(found) == 1 for found in splits.values())


def test_workers_make_no_difference(cohort: Path, built: Path, tmp_path: Path) -> None:
    with cluster(workers=1, memory=1 << 30) as alone:
        build(cohort, tmp_path / "slices.zarr", alone)
    assert tiny.bytes_of(tmp_path / "slices.zarr") == tiny.bytes_of(built)


def test_two_halves_make_the_same_store(cohort: Path, built: Path, tmp_path: Path, executor: Run) -> None:
    work, out = tmp_path / "w", tmp_path / "slices.zarr"
    resources = Resources(executor)
    prepare(PrepareRequest(datasets=tiny.datasets(cohort), work=work, settings=tiny.settings()), resources)
    encode_prepared(work, tiny.settings(), str(out), resources)
    assert tiny.bytes_of(out) == tiny.bytes_of(built)


def test_building_again_changes_nothing(cohort: Path, built: Path, executor: Run) -> None:
    before = tiny.bytes_of(built)
    assert build(cohort, built, executor).new_samples == 0
    assert tiny.bytes_of(built) == before


def test_appending_adds_rows_and_keeps_the_others(tmp_path: Path, executor: Run) -> None:
    root, out = tiny.write_cohort(tmp_path / "c", 3), tmp_path / "slices.zarr"
    build(root, out, executor)
    old = open_store(out)
    images, index = old.images[:], old.index
    tiny.write_case(root, "z99", 99)
    shutil.rmtree(tmp_path / "slices.work")  # the prepared store may be deleted after a build
    summary = build(root, out, executor)
    now = open_store(out)
    assert summary.new_cases == 1
    assert np.array_equal(now.images[: len(old)], images)
    assert now.index.slice(0, len(old)).to_pylist() == index.to_pylist()
    assert verify(now, deep=True) == []

    # The content id is of the rows alone, however many builds made them.
    at_once = tmp_path / "at_once.zarr"
    build(root, at_once, executor)
    assert open_store(at_once).manifest.content_id == now.manifest.content_id


def test_a_changed_source_is_refused_by_name(tmp_path: Path, executor: Run) -> None:
    root, out = tiny.write_cohort(tmp_path / "c", 2), tmp_path / "slices.zarr"
    build(root, out, executor)
    tiny.write_case(root, "c01", 77)
    with pytest.raises(BuildError, match=r"not what they were.*tiny/c01.*--overwrite"):
        build(root, out, executor)
    build(root, out, executor, overwrite=True)
    assert open_store(out).manifest.generation == 2


def test_a_vanished_source_is_refused_by_name(tmp_path: Path, executor: Run) -> None:
    root, out = tiny.write_cohort(tmp_path / "c", 2), tmp_path / "slices.zarr"
    build(root, out, executor)
    (root / "c00_ct.nii.gz").unlink()
    with pytest.raises(BuildError, match=r"no longer found: tiny/c00"):
        build(root, out, executor)


def test_other_settings_are_refused_with_the_difference(cohort: Path, built: Path, executor: Run) -> None:
    with pytest.raises(BuildError, match="order is 1, asked for 2"):
        build(cohort, built, executor, changes={"order": 2})


def test_an_overwritten_store_is_that_of_a_fresh_build(cohort: Path, tmp_path: Path, executor: Run) -> None:
    out, fresh = tmp_path / "slices.zarr", tmp_path / "fresh.zarr"
    build(cohort, out, executor, changes={"order": 0})
    build(cohort, out, executor, overwrite=True, changes={"order": 2})
    build(cohort, fresh, executor, changes={"order": 2})
    assert open_store(out).manifest.content_id == open_store(fresh).manifest.content_id
    assert np.array_equal(open_store(out).images[:], open_store(fresh).images[:])
    assert set(tiny.bytes_of(out)) == set(tiny.bytes_of(fresh))


def test_a_second_build_is_refused(cohort: Path, built: Path, executor: Run) -> None:
    with BuildLock(LocalFiles(built)), pytest.raises(StoreLockedError, match="is being built by"):
        build(cohort, built, executor)


def test_bad_cases_fail_alone_and_are_on_record(tmp_path: Path, executor: Run) -> None:
    root, out = tiny.write_cohort(tmp_path / "c", 4), tmp_path / "slices.zarr"
    whole = (root / "c00_ct.nii.gz").read_bytes()
    (root / "c00_ct.nii.gz").write_bytes(whole[: len(whole) // 2])
    (root / "c01_seg.nii.gz").unlink()
    image, labels = tiny.volume(2)
    labels[0, 0, 0] = 7
    tiny.write_nifti(root / "c02_seg.nii.gz", labels)
    tiny.write_nifti(root / "c02_ct.nii.gz", image)
    summary = build(root, out, executor)
    reasons = {failure.case: failure.reason for failure in summary.failures}
    assert set(reasons) == {"tiny/c00", "tiny/c01", "tiny/c02"}
    assert "c00_ct.nii.gz" in reasons["tiny/c00"]
    assert "c01_seg.nii.gz" in reasons["tiny/c01"]
    assert (
        "label id 7 (1 voxels) is named by no class of catalog 'tiny', which declares 1-2"
        in reasons["tiny/c02"]
    )
    assert str(tmp_path) not in "".join(reasons.values())

    store = open_store(out)
    assert [failure.case for failure in store.manifest.failures] == sorted(reasons)
    assert store.cases.column("case").to_pylist() == ["tiny/c03"]
    assert verify(store, deep=True) == []

    # Mended files are taken up by the next build, and leave the record.
    tiny.write_case(root, "c01", 1)
    assert build(root, out, executor).new_cases == 1
    assert len(open_store(out).manifest.failures) == 2


def test_a_folder_that_is_no_store_is_left_alone(cohort: Path, tmp_path: Path, executor: Run) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter1.tex").write_text("precious")
    with pytest.raises(BuildError, match=r"is a folder that is no store: it holds chapter1\.tex"):
        build(cohort, tmp_path / "thesis", executor)
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter1.tex"]


def test_groups_of_replaced_settings_are_swept(tmp_path: Path, executor: Run) -> None:
    root, out = tiny.write_cohort(tmp_path / "c", 2), tmp_path / "slices.zarr"
    build(root, out, executor)
    build(root, out, executor, overwrite=True, changes={"intensity_rule": "medsam"})
    assert len(list((tmp_path / "slices.work/prepared/tiny").iterdir())) == 2


def test_nothing_to_build_is_an_error(tmp_path: Path, executor: Run) -> None:
    root = tiny.write_cohort(tmp_path / "c", 1)
    (root / "c00_ct.nii.gz").write_bytes(b"not gzip")
    with pytest.raises(BuildError, match=r"all 1 cases failed, the first tiny/c00"):
        build(root, tmp_path / "slices.zarr", executor)
    assert not (tmp_path / "slices.zarr/manifest.json").exists()


def test_only_the_selected_cases(cohort: Path, tmp_path: Path, executor: Run) -> None:
    out = tmp_path / "slices.zarr"
    build(cohort, out, executor, only=frozenset({"tiny/c01", "tiny/c03"}))
    assert open_store(out).cases.column("case").to_pylist() == ["tiny/c01", "tiny/c03"]
    with pytest.raises(BuildError, match="'tiny/c77'"):
        build(cohort, tmp_path / "other.zarr", executor, only=frozenset({"tiny/c77"}))


def test_slices_storage_holds_the_focal_slices(
    cohort: Path, built: Path, tmp_path: Path, executor: Run
) -> None:
    out = tmp_path / "lazy.zarr"
    build(cohort, out, executor, changes={"storage": "slices"})
    lazy, encoded = open_store(out), open_store(built)
    assert np.array_equal(lazy.slices[:], encoded.images[..., 0])
    assert np.array_equal(lazy.masks[:], encoded.masks[:])
    assert lazy.manifest.content_id == encoded.manifest.content_id
    assert lazy.index.equals(encoded.index)


def test_wide_masks_keep_the_content_checkable(cohort: Path, tmp_path: Path, executor: Run) -> None:
    out = tmp_path / "slices.zarr"
    build(cohort, out, executor, changes={"mask_dtype": "uint16"})  # as beside an instance dataset
    assert open_store(out).masks.dtype == np.uint16
    assert verify(open_store(out), deep=True) == []


def test_subjects_are_hashed_with_a_salt_on_request(tmp_path: Path, executor: Run) -> None:
    root, out = tiny.write_cohort(tmp_path / "c", 2), tmp_path / "slices.zarr"
    build(root, out, executor, salt="pepper")
    subjects = set(open_store(out).index.column("subject").to_pylist())
    assert subjects == {salted("tiny/c00", "pepper"), salted("tiny/c01", "pepper")}
    assert b"pepper" not in b"".join(tiny.bytes_of(out).values())


def test_nothing_of_a_dicom_header_but_the_schema_reaches_store_or_work(
    tmp_path: Path, executor: Run
) -> None:
    make_dicom_case(tmp_path / "root/ct_dicom/one", 0, size=48)
    secrets = set()
    for path in (tmp_path / "root/ct_dicom/one/series").iterdir():
        header = pydicom.dcmread(path, stop_before_pixels=True)
        for element in header:
            personal = element.keyword.startswith(("Patient", "Referring", "Institution", "Accession"))
            if (
                (personal or element.VR == "UI")
                and element.keyword != "PatientPosition"
                and len(str(element.value)) > 3
            ):
                secrets.add(str(element.value).encode())
    secrets -= {b"1.2.840.10008.5.1.4.1.1.2"}  # CT Image Storage: a kind of file, nobody's name
    assert any(b"^" in secret for secret in secrets), "the made series should name a patient"
    out = tmp_path / "slices.zarr"
    dataset = Dataset(load_catalog("demo_ct_dicom"), tmp_path / "root")
    tiny.build([dataset], out, executor, work=tmp_path / "w")
    tables = [open_store(out).index, open_store(out).cases, open_store(out).classes]
    plain = b"".join(str(table.to_pylist()).encode() for table in tables)
    written = b"".join([*tiny.bytes_of(out).values(), *tiny.bytes_of(tmp_path / "w").values(), plain])
    assert not [secret for secret in secrets if secret in written]


def test_nan_is_refused_or_replaced_on_request(tmp_path: Path, executor: Run) -> None:
    root = tiny.write_cohort(tmp_path / "c", 2)
    image, _ = tiny.volume(0)
    broken = image.astype(np.float32)
    broken[2, 3, 4] = np.nan
    tiny.write_nifti(root / "c00_ct.nii.gz", broken)
    summary = build(root, tmp_path / "a.zarr", executor)
    assert [failure.case for failure in summary.failures] == ["tiny/c00"]
    assert not build(root, tmp_path / "b.zarr", executor, changes={"nonfinite": -1000.0}).failures
    notes = open_store(tmp_path / "b.zarr").cases.column("notes").to_pylist()[0]
    assert any("1 " in note for note in notes), notes


def test_a_lazy_store_is_encoded_without_the_sources(cohort: Path, tmp_path: Path, executor: Run) -> None:
    lazy, direct, made = (tmp_path / f"{name}.zarr" for name in ("lazy", "direct", "made"))
    build(cohort, lazy, executor, changes={"storage": "slices", "shard_samples": 11})
    build(cohort, direct, executor, changes={"order": 2})
    convert_store(open_store(lazy), str(made), tiny.settings(order=2), Resources(executor))
    assert tiny.bytes_of(made) == tiny.bytes_of(direct)
    with pytest.raises(BuildError, match="is encoded already"):
        convert_store(open_store(made), str(tmp_path / "x.zarr"), tiny.settings(), Resources(executor))
    with pytest.raises(BuildError, match="size is 32, asked for 64"):
        convert_store(open_store(lazy), str(tmp_path / "x.zarr"), tiny.settings(size=64), Resources(executor))


def test_zarr_alone_reads_it(built: Path) -> None:
    group = zarr.open_group(built, mode="r")
    assert group["images"].shards[1:] == (tiny.SIZE, tiny.SIZE, 3)
    assert np.array_equal(group["images"][3], open_store(built).sample(3)[0])
