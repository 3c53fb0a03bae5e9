"""Sentences of a case: in the store, in its content id, in copies and repairs; their masks bit for bit."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny
import zarr
from inline import InlineExecutor
from reports import CATALOG, SETTINGS, SHAPE, Truth, build, write_cohort

from fve_pipeline.build.cases import Dataset
from fve_pipeline.build.convert import convert_store
from fve_pipeline.build.copy import copy_cases
from fve_pipeline.build.repair import repair_store
from fve_pipeline.catalog.discover import discover
from fve_pipeline.catalog.load import parse_catalog
from fve_pipeline.catalog.personal import personal
from fve_pipeline.catalog.problems import file_problems
from fve_pipeline.errors import BuildError, CatalogError
from fve_pipeline.imaging.resample import Fit
from fve_pipeline.runtime.progress import Silent
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.store.documents import store_documents
from fve_pipeline.store.reader import open_store
from fve_pipeline.store.tables import FINDINGS_SCHEMA, table_bytes
from fve_pipeline.store.verify import verify


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    root = tmp_path_factory.mktemp("reports") / "data"
    return root, write_cohort(root, range(5))


@pytest.fixture(scope="module")
def built(cohort: tuple[Path, Truth], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(cohort[0], tmp_path_factory.mktemp("built") / "lazy.zarr")


def check_masks(store: Path, truth: Truth) -> None:
    """With zarr, Parquet and numpy alone, but for the resizing of what is expected."""
    masks = zarr.open_array(str(store), path="masks", mode="r")[:]
    index = pq.read_table(store / "index.parquet", columns=["case", "rendition", "slice"]).to_pylist()
    classes = {row["class_id"]: row["ids"] for row in pq.read_table(store / "classes.parquet").to_pylist()}
    findings: dict[str, list[list[int]]] = {}
    for row in pq.read_table(store / "findings.parquet").to_pylist():
        assert row["finding"] == len(findings.setdefault(row["case"], []))
        assert row["voxels"] == truth[row["case"]][2 + row["finding"]].sum()
        findings[row["case"]].append(row["mask_ids"])
    for mask, row in zip(masks, index, strict=True):
        shown = [classes[1]] if row["rendition"] == "lung" else [classes[1], classes[2]]
        parts = truth[row["case"]]
        wanted = [*parts[: len(shown)], *parts[2:]]
        for ids, whole in zip([*shown, *findings.get(row["case"], [])], wanted, strict=True):
            expected = Fit(SHAPE[1:], 16, "opencv").masks(whole[row["slice"]][None].astype(np.uint8))[0] != 0
            assert np.array_equal(np.isin(mask, ids), expected), row


def test_findings_have_their_voxels_and_classes_keep_theirs(cohort: tuple[Path, Truth], built: Path) -> None:
    store = open_store(built)
    assert verify(store, deep=True) == []
    assert store.manifest.sources[0].findings == "complete"
    assert store.findings["texts"].to_pylist()[0] == ["Nodule 0 of the left lung, 5 mm"]
    check_masks(built, cohort[1])


def test_other_forms_hold_them(cohort: tuple[Path, Truth], built: Path, tmp_path: Path) -> None:
    resources = Resources(InlineExecutor())
    encoded = open_store(build(cohort[0], tmp_path / "encoded.zarr", storage="encoded"))
    assert encoded.manifest.content_id == open_store(built).manifest.content_id
    convert_store(open_store(built), str(tmp_path / "converted.zarr"), encoded.settings, resources)
    assert tiny.bytes_of(tmp_path / "converted.zarr") == tiny.bytes_of(tmp_path / "encoded.zarr")
    copy_cases([encoded], ["reports/c2", "reports/c3"], str(tmp_path / "copy.zarr"), resources)
    assert verify(open_store(tmp_path / "copy.zarr"), deep=True) == []
    assert set(open_store(tmp_path / "copy.zarr").findings["case"].to_pylist()) == {"reports/c2"}
    check_masks(tmp_path / "converted.zarr", cohort[1])
    copy_cases([encoded], ["reports/c3"], str(tmp_path / "none.zarr"), resources)
    assert not (tmp_path / "none.zarr" / "findings.parquet").exists()
    assert len(open_store(tmp_path / "none.zarr").findings) == 0


def test_a_store_that_grows_gives_what_one_build_gives(
    cohort: tuple[Path, Truth], built: Path, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    shutil.copytree(cohort[0], root)
    for path in root.glob("c[34]_*"):
        path.unlink()
    grown = build(root, tmp_path / "grown.zarr")
    before = open_store(grown).findings
    shutil.copytree(cohort[0], root, dirs_exist_ok=True)
    build(root, grown)
    assert open_store(grown).manifest.content_id == open_store(built).manifest.content_id
    assert open_store(grown).findings.slice(0, len(before)).equals(before)
    check_masks(grown, cohort[1])


def test_damage_is_mended(cohort: tuple[Path, Truth], built: Path, tmp_path: Path) -> None:
    store = tmp_path / "lazy.zarr"
    shutil.copytree(built, store)
    shutil.copytree(built.with_name("lazy.work"), tmp_path / "lazy.work")
    for key in ("findings.parquet", "masks/c/1/0/0"):
        (store / key).write_bytes(b"damaged")
    resources = Resources(InlineExecutor())
    summary = repair_store(str(store), {"": cohort[0]}, tmp_path / "lazy.work", resources)
    assert not summary.left
    for key in ("findings.parquet", "masks/c/1/0/0"):
        assert (store / key).read_bytes() == (built / key).read_bytes()


def test_a_sentence_is_content(cohort: tuple[Path, Truth], built: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(cohort[0], root)
    table = root / "findings.csv"
    store = build(root, tmp_path / "s.zarr")
    table.write_text(
        table.read_text().replace("Nodule 0 of the left lung, 5 mm", "Nodule 0 of the right lung, 5 mm")
    )
    with pytest.raises(BuildError, match="their files have changed: reports/c1"):
        build(root, store)
    other = build(root, tmp_path / "other.zarr")
    assert open_store(other).manifest.content_id != open_store(built).manifest.content_id


def test_an_overwritten_store_keeps_no_sentence(cohort: tuple[Path, Truth], tmp_path: Path) -> None:
    store = build(cohort[0], tmp_path / "s.zarr")
    plain = CATALOG.replace('[findings]\ntable = "findings.csv"\nmask = "mask"\ncomplete = true\n', "")
    dataset = Dataset(parse_catalog(plain, "r.toml"), cohort[0])
    settings = tiny.settings(**SETTINGS | {"storage": "slices"})
    tiny.build([dataset], store, InlineExecutor(), settings=settings, overwrite=True)
    assert not (store / "findings.parquet").exists()
    assert verify(open_store(store), deep=True) == []


def test_findings_may_be_ids_of_labels(tmp_path: Path) -> None:
    """Each instance of a lesion map has its sentence, in JSON, in two wordings."""
    root = tmp_path / "data"
    root.mkdir()
    labels = np.zeros(SHAPE, np.uint8)
    labels[1, 2:5], labels[2, 8:11] = 1, 2
    tiny.write_nifti(root / "a_ct.nii.gz", np.zeros(SHAPE, np.int16))
    tiny.write_nifti(root / "a_seg.nii.gz", labels)
    rows = [{"case": "a", "text": ["one", "the first"], "id": 1}, {"case": "a", "text": "two", "id": [2]}]
    (root / "findings.json").write_text(json.dumps(rows))
    head = CATALOG.split("classes =")[0]
    text = (
        f'{head}classes = [{{ id = 1, name = "lesion", instance = true }}]\n[layout]\nimages = "{{case}}_ct.nii.gz"\n'
        'labels = "{case}_seg.nii.gz"\n[findings]\ntable = "findings.json"\nid = "id"\n'
    )
    store = open_store(build(root, tmp_path / "s.zarr", text, size=14, overlaps=False))
    found = store.findings.to_pylist()
    assert [(row["texts"], row["mask_ids"], row["voxels"]) for row in found] == [
        (["one", "the first"], [1], 36),
        (["two"], [2], 36),
    ]
    assert store.manifest.sources[0].findings == "partial"
    assert verify(store, deep=True) == []


def test_findings_alone_are_a_dataset(cohort: tuple[Path, Truth], tmp_path: Path) -> None:
    text = CATALOG.replace('classes = [{ id = 1, name = "lung" }, { id = 2, name = "heart" }]', "")
    text = text.replace('labels = "{case}_seg.nii.gz"', "").replace("classes = [1]", "")
    assert parse_catalog(text, "r.toml").mask_dtype == "uint16"
    store = open_store(build(cohort[0], tmp_path / "s.zarr", text))
    assert verify(store, deep=True) == []
    voxels = [int(mask.sum()) for masks in cohort[1].values() for mask in masks[2:]]
    assert store.findings["voxels"].to_pylist() == voxels


def test_what_is_wrong_is_named(cohort: tuple[Path, Truth]) -> None:
    root = cohort[0]

    def refused(text: str, data: str, name: str = "x.csv") -> str:
        (root / name).write_text(data)
        catalog = parse_catalog(text.replace("findings.csv", name), "r.toml")
        with pytest.raises(CatalogError) as caught:
            discover(catalog, root)
        (root / name).unlink()
        return str(caught.value)

    assert "finding 1 has no 'text'" in refused(CATALOG, "case,text,mask\nc1,,m.nii.gz\n")
    assert "finding 1 has no 'mask'; it has case, text" in refused(CATALOG, "case,text\nc1,words\n")
    assert "without '..'" in refused(CATALOG, "case,text,mask\nc1,words,../m.nii.gz\n")
    assert "cannot be read as json" in refused(CATALOG, "{", "x.json")
    with pytest.raises(CatalogError, match="do not exist"):
        discover(parse_catalog(CATALOG.replace("findings.csv", "no.csv"), "r.toml"), root)
    with pytest.raises(CatalogError, match="say in one way"):
        parse_catalog(CATALOG.replace('mask = "mask"', ""), "r.toml")


def test_sentences_that_name_somebody_are_pointed_at(cohort: tuple[Path, Truth]) -> None:
    root = cohort[0]
    (root / "y.csv").write_text(
        "case,text,mask\nc1,Seen by Dr. Miller on 12.03.2021,c1_finding0.nii.gz\nzz,plain,c1_finding0.nii.gz\n"
    )
    catalog = parse_catalog(CATALOG.replace("findings.csv", "y.csv"), "r.toml")
    found = file_problems(catalog, root, discover(catalog, root))
    (root / "y.csv").unlink()
    assert {(one.kind, one.case) for one in found} >= {("personal data", "c1"), ("findings without case", "")}
    assert not any("Miller" in one.message for one in found)
    for plain in (
        "6 mm nodule in the left lower lobe",
        "Segment 4a, 3.5 x 2.1 cm",
        "May be a cyst; series 3",
    ):
        assert personal(plain) == []
    for text, sign in (("on March 3, 2020", "a date"), ("MRN 123456", "a number of a patient")):
        assert sign in personal(text)


def test_a_build_says_once_that_sentences_may_name_somebody(
    cohort: tuple[Path, Truth], tmp_path: Path
) -> None:
    root = tmp_path / "data"
    shutil.copytree(cohort[0], root)
    table = root / "findings.csv"
    table.write_text(table.read_text().replace("Nodule 0", "Seen by Dr. Miller: nodule 0"))
    notes = Notes()
    settings = tiny.settings(**SETTINGS | {"storage": "slices"})
    dataset = Dataset(parse_catalog(CATALOG, "r.toml"), root)
    tiny.build([dataset], tmp_path / "s.zarr", InlineExecutor(), settings=settings, progress=notes)
    [told] = [text for text in notes.texts if "sentences" in text]
    assert told.startswith("sentences of 3 cases may hold names, dates or numbers of patients")
    assert "Miller" not in told


class Notes(Silent):
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


def test_a_finding_without_its_mask_is_found(built: Path, tmp_path: Path) -> None:
    """By a deep check, of cases that were not shrunk, in a store whose sums are all right."""
    store = tmp_path / "s.zarr"
    shutil.copytree(built, store)
    opened = open_store(store)
    rows = opened.findings.to_pylist()
    rows[1]["mask_ids"] = [60000]
    data = table_bytes(pa.Table.from_pylist(rows, schema=FINDINGS_SCHEMA), FINDINGS_SCHEMA)
    entry = opened.manifest.tables["findings"]
    total = entry.file.model_copy(update={"size": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    tables = {**opened.manifest.tables, "findings": entry.model_copy(update={"file": total})}
    manifest = opened.manifest.model_copy(update={"tables": tables})
    (store / "findings.parquet").write_bytes(data)
    for key, document in (store_documents(manifest) | {"manifest.json": manifest.to_bytes()}).items():
        (store / key).write_bytes(document)
    assert {one.file for one in verify(open_store(store))} == set()
    problems = {one.file: one.problem for one in verify(open_store(store), deep=True)}
    who = f"finding {rows[1]['finding']} of {rows[1]['case']}"
    assert (
        problems["findings.parquet"] == f"{who} has {rows[1]['voxels']} voxels, and its mask values no pixel"
    )
    assert "content id" in problems["manifest.json"]


def test_parquet_is_read(cohort: tuple[Path, Truth]) -> None:
    root = cohort[0]
    rows = [{"case": "c1", "text": ["a", "b"], "mask": "c1_finding0.nii.gz"}]
    pq.write_table(pa.Table.from_pylist(rows), root / "z.parquet")
    catalog = parse_catalog(CATALOG.replace("findings.csv", "z.parquet"), "r.toml")
    [case] = [one for one in discover(catalog, root) if one.findings]
    (root / "z.parquet").unlink()
    assert case.findings[0].texts == ("a", "b")
