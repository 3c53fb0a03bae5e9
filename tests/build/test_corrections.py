"""Errata: labels that are known to be wrong, corrected by a build and by an update alike, and on record."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny
from disturbed import SerialExecutor

from fve_pipeline.build.update import UpdateSummary, update_store
from fve_pipeline.catalog.errata import load_errata
from fve_pipeline.errors import BuildError, CatalogError
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.store.reader import Store, open_store
from fve_pipeline.store.verify import verify

RESOURCES = Resources(SerialExecutor())
SETTINGS = tiny.settings(views_rule="axial", size=16, shard_samples=4)
SIDES = ('name = "box"', 'name = "right ball"')  # so that the catalog has a left class and a right one


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tiny.write_cohort(tmp_path / "root", 5)
    catalog = root / "tiny.toml"
    catalog.write_text(catalog.read_text().replace(*SIDES))
    (root / "mended").mkdir()
    shutil.copy(root / "c04_seg.nii.gz", root / "mended/c01.nii.gz")  # of the same shape
    return root


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def written(root: Path) -> Path:
    """One erratum of each kind."""
    images = [sha(root / f"c{n:02d}_ct.nii.gz") for n in range(5)]
    path = root.parent / "errata.toml"
    path.write_text(
        f"""
[[errata]]
image = "{images[0]}"
relabel = {{ 1 = 2 }}
reason = "the box is a ball"
source = "a letter"
[[errata]]
image = "{images[1]}"
replace = "mended/c01.nii.gz"
reason = "slices were left out"
[[errata]]
image = "{images[2]}"
flip = true
reason = "left is right"
[[errata]]
image = "{images[3]}"
drop = true
reason = "a phantom"
[[errata]]
image = "{images[4]}"
labels = "{sha(root / "c04_seg.nii.gz")}"
ignore = ["left ball"]
reason = "balls were not looked for"
"""
    )
    return path


def build(root: Path, out: Path, errata: Path | None = None) -> Any:
    return tiny.build(tiny.datasets(root), out, RESOURCES.executor, settings=SETTINGS, errata=errata)


def update(root: Path, folder: Path, errata: Path | None) -> UpdateSummary:
    corrections = {} if errata is None else load_errata(errata)
    datasets = tiny.datasets(root)
    return update_store(str(folder / "s.zarr"), datasets, folder / "s.work", RESOURCES, errata=corrections)


def voxels(store: Store) -> dict[str, dict[int, int]]:
    rows = store.cases.select(["case", "class_ids", "class_voxels"]).to_pylist()
    return {row["case"][5:]: dict(zip(row["class_ids"], row["class_voxels"], strict=True)) for row in rows}


def truth(name: str, root: Path) -> dict[int, int]:
    import nibabel as nib

    ids, counts = np.unique(np.asarray(nib.load(root / name).dataobj), return_counts=True)
    return dict(zip(ids.tolist(), counts.tolist(), strict=True))


def test_each_kind_of_correction_in_a_build(root: Path, tmp_path: Path) -> None:
    done = build(root, tmp_path / "s.zarr", written(root))
    assert [(one.case, one.reason) for one in done.failures] == [("tiny/c03", "dropped by errata: a phantom")]
    store = open_store(tmp_path / "s.zarr")
    assert verify(store, deep=True) == []
    now, was = voxels(store), {n: truth(f"c{n:02d}_seg.nii.gz", root) for n in range(5)}
    assert now["c00"] == {2: was[0][1] + was[0][2], 9: was[0][1] + was[0][2]}
    assert now["c01"][1] == was[4][1]
    assert (now["c02"][1], now["c02"][2]) == (was[2][2], was[2][1])
    assert now["c04"] == {1: was[4][1], 9: was[4][1]}
    notes = dict(zip(store.cases["case"].to_pylist(), store.cases["notes"].to_pylist(), strict=True))
    assert "errata: ids 1 -> 2: the box is a ball (a letter)" in notes["tiny/c00"]
    assert "errata: labels from mended/c01.nii.gz: slices were left out" in notes["tiny/c01"]


def test_an_update_corrects_to_the_same_store(root: Path, tmp_path: Path) -> None:
    build(root, tmp_path / "s.zarr")
    errata = written(root)
    done = update(root, tmp_path, errata)
    assert done.cases == {
        "corrected": ["tiny/c00", "tiny/c01", "tiny/c02", "tiny/c04"],
        "dropped": ["tiny/c03"],
    }
    assert done.failures == ()
    build(root, tmp_path / "fresh.zarr", errata)
    one, other = open_store(tmp_path / "s.zarr"), open_store(tmp_path / "fresh.zarr")
    assert voxels(one) == voxels(other)
    assert sorted(map(repr, one.cases.to_pylist())) == sorted(map(repr, other.cases.to_pylist()))
    # Given again, nothing is left to do; an entry that is gone is taken back.
    assert update(root, tmp_path, errata).cases == {}
    text = errata.read_text()
    errata.write_text(text[text.index("[[errata]]", 20) :])
    assert update(root, tmp_path, errata).cases == {"no longer corrected": ["tiny/c00"]}


def test_a_mended_label_is_not_corrected_again(root: Path, tmp_path: Path) -> None:
    errata = written(root)
    tiny.write_nifti(root / "c04_seg.nii.gz", tiny.volume(99, (6, 24, 20))[1])
    build(root, tmp_path / "s.zarr", errata)
    assert 2 in voxels(open_store(tmp_path / "s.zarr"))["c04"]


@pytest.mark.slow
def test_without_errata_the_bytes_are_what_they_were(root: Path, tmp_path: Path) -> None:
    build(root, tmp_path / "s.zarr")
    (tmp_path / "none.toml").write_text('[[errata]]\nimage = "' + "0" * 64 + '"\ndrop = true\nreason = "x"\n')
    build(root, tmp_path / "t.zarr", tmp_path / "none.toml")
    assert tiny.bytes_of(tmp_path / "s.zarr") == tiny.bytes_of(tmp_path / "t.zarr")


def test_parquet_says_the_same(root: Path, tmp_path: Path) -> None:
    found = load_errata(written(root))
    rows = [
        {**one.model_dump(), "relabel": " ".join(f"{a}={b}" for a, b in one.relabel.items())}
        for one in found.values()
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "errata.parquet")
    assert load_errata(tmp_path / "errata.parquet") == found


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ('image = "0"\nflip = true\nreason = "x"', "entry 1: image: "),
        ('image = "{sha}"\nreason = "x"', "either drop = true"),
        ('image = "{sha}"\ndrop = true\nflip = true\nreason = "x"', "either drop = true"),
        ('image = "{sha}"\ndrop = true', "entry 1: reason: "),
        ('image = "{sha}"\nreplace = "../x.nii.gz"\nreason = "x"', "under the data set's root"),
        ('image = "{sha}"\ndrop = true\nreason = "x"\n[other]', "nothing else, found other"),
        ("image", "neither TOML"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, entry: str, said: str) -> None:
    (tmp_path / "e.toml").write_text("[[errata]]\n" + entry.replace("{sha}", "a" * 64))
    with pytest.raises(CatalogError, match=r"e\.toml: ") as caught:
        load_errata(tmp_path / "e.toml")
    assert said in str(caught.value)


def test_a_class_that_is_none_is_refused(root: Path, tmp_path: Path) -> None:
    errata = tmp_path / "e.toml"
    image = sha(root / "c00_ct.nii.gz")
    errata.write_text(f'[[errata]]\nimage = "{image}"\nignore = ["liver"]\nreason = "x"\n')
    with pytest.raises(BuildError, match="ignore the class 'liver', which catalog 'tiny' has not"):
        build(root, tmp_path / "s.zarr", errata)
