"""Labels that overlap, through every form of a store: zarr and Parquet alone give each class back bit for bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny
import zarr
from inline import InlineExecutor
from numpy.typing import NDArray

from fve_pipeline.build.cases import Dataset
from fve_pipeline.build.convert import convert_store
from fve_pipeline.build.copy import copy_cases
from fve_pipeline.build.prepare.combine import combine
from fve_pipeline.build.prepare.job import OverlapRule
from fve_pipeline.build.repair import repair_store
from fve_pipeline.catalog.load import parse_catalog
from fve_pipeline.errors import BuildError, CatalogError
from fve_pipeline.export.challenge import export_challenge
from fve_pipeline.export.nifti import export_nifti
from fve_pipeline.export.nnunet import export_nnunet
from fve_pipeline.export.reference_png import export_reference_png
from fve_pipeline.imaging.resample import Fit
from fve_pipeline.runtime.progress import Silent
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.store.reader import open_store
from fve_pipeline.store.verify import verify
from fve_pipeline.volume import Labels, read_image, read_labels
from fve_pipeline.volume.label_file import LabelFile

SHAPE = (4, 14, 12)
NAMES = ("heart", "atrium", "aorta", "lesion")
HEAD = """
name = "{name}"
modality = "CT"
licence = "made here"
citation = "made here"
[layout]
images = "{{case}}_ct.nii.gz"
labels = "{labels}"
"""
# Of three kinds: one file a class, one file a set of classes, one layer a class of a 4D file.
KINDS = {
    "single": ("{case}_{class}.nii.gz", 'file = "{name}"'),
    "shared": ("{case}_{class}.nii.gz", 'file = "{part}"\nvalue = {value}'),
    "layers": ("{case}_seg.nii.gz", "layer = {layer}"),
}
MORE = """[[classes]]
id = 9
name = "heart and atrium"
ids = [1, 2]
[[renditions]]
name = "soft_tissue"
window = "soft_tissue"
[[renditions]]
name = "lung"
window = "lung"
classes = [2, 3, 9]
"""


def catalog_of(kind: str, extra: str = MORE) -> str:
    labels, place = KINDS[kind]
    text = HEAD.format(name=kind, labels=labels)
    for number, name in enumerate(NAMES):
        where = place.format(name=name, layer=number, part="ab"[number // 2], value=number % 2 + 1)
        text += f'[[classes]]\nid = {number + 1}\nname = "{name}"\n{where}\n'
    return text + extra


def write_case(root: Path, kind: str, name: str, seed: int) -> list[NDArray[np.bool_]]:
    """An image and its classes' files; returns the classes' masks. Those of one file do not overlap each other."""
    rng = np.random.default_rng(seed)
    tiny.write_nifti(root / f"{name}_ct.nii.gz", rng.integers(-200, 200, SHAPE, dtype=np.int16))
    masks = [rng.random(SHAPE) < (0 if seed % 8 == place else 0.3) for place in range(len(NAMES))]
    if kind == "shared":
        masks[1] &= ~masks[0]
        masks[3] &= ~masks[2]
        for part, (one, two) in zip("ab", (masks[:2], masks[2:]), strict=True):
            tiny.write_nifti(root / f"{name}_{part}.nii.gz", (one + 2 * two).astype(np.uint8))
    elif kind == "single":
        for label, mask in zip(NAMES, masks, strict=True):
            tiny.write_nifti(root / f"{name}_{label}.nii.gz", mask.astype(np.uint8))
    else:
        import nibabel as nib

        layers = np.stack(masks, -1).astype(np.uint8)
        affine = np.diag([-1.0, -1.0, 2.0, 1.0])
        nib.save(nib.Nifti1Image(layers.transpose(2, 1, 0, 3), affine), root / f"{name}_seg.nii.gz")
    return masks


Truth = dict[str, list[NDArray[np.bool_]]]


def datasets_of(root: Path) -> list[Dataset]:
    return [Dataset(parse_catalog(catalog_of(kind), f"{kind}.toml"), root / kind) for kind in KINDS]


def write_cohort(root: Path, cases: range) -> Truth:
    truth = {}
    for k, kind in enumerate(KINDS):
        (root / kind).mkdir(exist_ok=True, parents=True)
        for number in cases:
            truth[f"{kind}/c{number}"] = write_case(root / kind, kind, f"c{number}", 100 * k + number)
    return truth


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    root = tmp_path_factory.mktemp("overlaps")
    return root, write_cohort(root, range(7))  # 21 cases, of seven random sets of files each


SETTINGS = {"size": 16, "shard_samples": 20, "views_rule": "axial", "mask_dtype": "uint16", "overlaps": True}


def build(root: Path, out: Path, **changes: object) -> Path:
    summary = tiny.build(
        datasets_of(root), out, InlineExecutor(), settings=tiny.settings(**SETTINGS | changes)
    )
    assert not summary.failures
    return out


@pytest.fixture(scope="module")
def built(cohort: tuple[Path, Truth], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(cohort[0], tmp_path_factory.mktemp("built") / "lazy.zarr", storage="slices")


def check_each_class(store: Path, truth: Truth) -> None:
    """With zarr, Parquet and numpy alone, but for the resizing of what is expected."""
    masks = zarr.open_array(str(store), path="masks", mode="r")[:]
    index = pq.read_table(store / "index.parquet", columns=["dataset", "case", "rendition", "slice"])
    classes = pq.read_table(store / "classes.parquet").to_pylist()
    ids = {(row["dataset"], row["class_id"]): row["ids"] for row in classes}
    seen = 0
    for mask, row in zip(masks, index.to_pylist(), strict=True):
        parts = truth[row["case"]]
        for class_id in (1, 2, 3, 4, 9) if row["rendition"] == "soft_tissue" else (2, 3, 9):
            whole = parts[0] | parts[1] if class_id == 9 else parts[class_id - 1]
            if class_id == 9 and row["rendition"] == "lung":
                whole = parts[0] | parts[1]
            expected = Fit(SHAPE[1:], 16, "opencv").masks(whole[row["slice"]][None].astype(np.uint8))[0] != 0
            found = np.isin(mask, ids[row["dataset"], class_id])
            assert np.array_equal(found, expected), (row, class_id)
            seen += int(found.sum())
    assert seen


def test_each_class_comes_back_from_a_lazy_store(cohort: tuple[Path, Truth], built: Path) -> None:
    check_each_class(built, cohort[1])
    assert verify(open_store(built), deep=True) == []
    notes = open_store(built).cases.column("notes").to_pylist()
    assert all("belong to several labels; each keeps them" in note[-1] for note in notes)


def test_every_other_form_has_the_same_masks(cohort: tuple[Path, Truth], built: Path, tmp_path: Path) -> None:
    lazy = open_store(built)
    encoded = open_store(build(cohort[0], tmp_path / "encoded.zarr"))
    assert encoded.manifest.content_id == lazy.manifest.content_id
    convert_store(lazy, str(tmp_path / "converted.zarr"), encoded.settings, Resources(InlineExecutor()))
    assert tiny.bytes_of(tmp_path / "converted.zarr") == tiny.bytes_of(tmp_path / "encoded.zarr")
    cases = ["shared/c2", "layers/c4"]
    copy_cases([encoded], cases, str(tmp_path / "copy.zarr"), Resources(InlineExecutor()))
    check_each_class(tmp_path / "copy.zarr", cohort[1])
    assert verify(open_store(tmp_path / "copy.zarr"), deep=True) == []


def test_copies_of_two_stores_mean_what_both_meant_or_are_refused(
    cohort: tuple[Path, Truth], built: Path, tmp_path: Path
) -> None:
    """Of a store and one that went on from it; and of two that met the combinations in another order."""
    root = tmp_path / "root"
    shutil.copytree(cohort[0], root)
    for path in root.glob("*/c[1-6]*"):
        path.unlink()
    first = build(root, tmp_path / "first.zarr", storage="slices")
    resources, cases = Resources(InlineExecutor()), ["single/c0", "shared/c0", "layers/c0"]
    others = ["single/c3", "layers/c5"]
    for path in root.glob("*/c0*"):
        path.rename(path.with_name(path.name.replace("c0", "c9")))
    other = build(root, tmp_path / "other.zarr", storage="slices")
    again = ["single/c9", "shared/c9", "layers/c9"]
    out = str(tmp_path / "copy.zarr")
    copy_cases([open_store(first), open_store(other)], [*cases, *again], out, resources)
    copied = open_store(out)
    assert verify(copied, deep=True) == []
    check_each_class(Path(out), cohort[1] | {f"{kind}/c9": cohort[1][f"{kind}/c0"] for kind in KINDS})
    assert [entry.name for entry in copied.class_table.of_dataset("single")] == [*NAMES, "heart and atrium"]
    assert [source.dataset for source in copied.manifest.sources] == list(KINDS)
    for path in root.glob("*/c9*"):
        path.unlink()
    for path in cohort[0].glob("*/c6*"):
        shutil.copy(path, root / path.parent.name / path.name.replace("c6", "c8"))
    strange = build(root, tmp_path / "strange.zarr", storage="slices")
    with pytest.raises(
        BuildError, match="combinations of overlapping classes of single have other mask values"
    ):
        copy_cases(
            [open_store(strange), open_store(built)],
            ["single/c8", *others],
            str(tmp_path / "no.zarr"),
            resources,
        )
    with pytest.raises(BuildError, match="3 of 3 cases are in several of the stores, such as 'layers/c0'"):
        copy_cases([open_store(first), open_store(built)], cases, str(tmp_path / "no.zarr"), resources)
    assert not (tmp_path / "no.zarr").exists()


def test_a_store_that_grows_keeps_its_ids(cohort: tuple[Path, Truth], built: Path, tmp_path: Path) -> None:
    """Cases are appended to the last dataset alone, so that the order is a fresh build's."""
    some = tmp_path / "some"
    shutil.copytree(cohort[0], some)
    for path in (some / "layers").glob("c[1-6]*"):
        path.unlink()
    first = build(some, tmp_path / "grown.zarr", storage="slices")
    before = open_store(first)
    old = {(c.dataset, c.class_id): c.ids for c in before.class_table}
    masks = before.read_masks(0, len(before))
    late = open_store(first)
    shutil.copytree(cohort[0], some, dirs_exist_ok=True)
    build(some, first, storage="slices")
    after = open_store(first)
    assert np.array_equal(after.read_masks(0, len(before)), masks)
    grown = {(c.dataset, c.class_id): c.ids for c in after.class_table}
    assert all(grown[key][: len(ids)] == ids for key, ids in old.items())
    assert any(len(grown[key]) > len(ids) for key, ids in old.items() if key[0] == "layers")
    assert after.manifest.content_id == open_store(built).manifest.content_id
    check_each_class(first, cohort[1])
    # Opened before the others came, and read after: its classes are those of the store that grew.
    assert late.class_table.find("single", 1).ids == old["single", 1]
    assert set(old["layers", 1]) <= set(late.class_table.find("layers", 1).ids)


def test_damage_is_mended_to_the_same_bytes(cohort: tuple[Path, Truth], built: Path, tmp_path: Path) -> None:
    store, work = tmp_path / "lazy.zarr", tmp_path / "lazy.work"
    shutil.copytree(built, store)
    shutil.copytree(built.with_name("lazy.work"), work)
    for key in ("classes.parquet", "masks/c/1/0/0"):
        (store / key).write_bytes(b"damaged")
    shutil.rmtree(work / "prepared" / "shared")
    roots = {kind: cohort[0] / kind for kind in KINDS}
    summary = repair_store(str(store), roots, work, Resources(InlineExecutor()))
    assert not summary.left
    assert {key: data for key, data in tiny.bytes_of(store).items() if ".lock" not in key} == {
        key: data for key, data in tiny.bytes_of(built).items() if ".lock" not in key
    }


def lost(notes: list[str], dataset: str) -> dict[str, int]:
    [note] = [note for note in notes if note.startswith(f"{dataset}: one label a voxel")]
    pairs = (part.rsplit(" ", 1) for part in note.split("classes: ")[1].split(", "))
    return {name: int(count.replace(",", "")) for name, count in pairs}


def test_exports_of_one_label_a_voxel_say_what_is_lost(
    cohort: tuple[Path, Truth], built: Path, tmp_path: Path
) -> None:
    store = open_store(built)
    truth = {case: masks for case, masks in cohort[1].items() if case.startswith("single/")}
    notes = export_nnunet(store, tmp_path / "nnunet", Silent(), datasets=["single"])
    expected = [sum(int((m[i] & ~_written(m, i)).sum()) for m in truth.values()) for i in range(3)]
    found = lost(notes, "single")
    assert [found["heart"], found["atrium"], found["aorta"]] == expected
    image = read_image(tmp_path / "nnunet/nnUNet_raw/Dataset501_single/imagesTr/c0_0000.nii.gz")
    files = [LabelFile("nnUNet_raw/Dataset501_single/labelsTr/c0.nii.gz")]
    labels = read_labels(files, tmp_path / "nnunet", image).array
    assert np.array_equal(labels == 4, truth["single/c0"][3])
    assert not lost_in(export_nifti(store, tmp_path / "nifti", Silent(), datasets=["single"]))
    named = json.loads((tmp_path / "nifti/single/classes.json").read_text())
    for case, masks in truth.items():
        name = case.removeprefix("single/")
        image = read_image(tmp_path / f"nifti/single/{name}/soft_tissue.nii.gz")
        array = read_labels(
            [LabelFile(f"nifti/single/{name}/labels.nii.gz")], tmp_path, image, overlaps=False
        ).array
        for one in named[:4]:
            assert np.array_equal(np.isin(array, one["ids"]), masks[one["id"] - 1])
    for export in (export_challenge, export_reference_png):
        said = lost(export(store, tmp_path / export.__name__, Silent(), datasets=["single"]), "single")
        assert said.keys() == found.keys()


def lost_in(notes: list[str]) -> list[str]:
    return [note for note in notes if "lost" in note]


def _written(masks: list[NDArray[np.bool_]], place: int) -> NDArray[np.bool_]:
    later = np.any(masks[place + 1 :], axis=0)
    kept: NDArray[np.bool_] = masks[place] & ~later
    return kept


def test_a_class_yields_by_priority(tmp_path: Path) -> None:
    root = tmp_path / "single"
    root.mkdir()
    masks = write_case(root, "single", "c0", 5)
    text = catalog_of("single", "").replace('file = "lesion"', 'file = "lesion"\npriority = 1')
    text = text.replace('file = "heart"', 'file = "heart"\npriority = -1')
    store = tmp_path / "s.zarr"
    dataset = Dataset(parse_catalog(text, "c.toml"), root)
    tiny.build([dataset], store, InlineExecutor(), settings=tiny.settings(**SETTINGS | {"size": 14}))
    opened = open_store(store)
    kept = [
        masks[0] & ~masks[1] & ~masks[2] & ~masks[3],
        masks[1] & ~masks[3],
        masks[2] & ~masks[3],
        masks[3],
    ]
    voxels = opened.cases["class_voxels"].to_pylist()[0]
    assert voxels == [int(mask.sum()) for mask in kept]
    assert any("stay with those of the higher priority" in note for note in opened.cases["notes"][0].as_py())


def test_ids_of_no_class_do_not_pass_for_combinations() -> None:
    """``ignore = "rest"``: an id below the combinations stays, one where they are is background, and that is noted."""
    array = np.array([[[1, 2, 3, 9, 9, 65535, 65534]]], np.uint16)
    labels = Labels(array, False, (), {65535: (1, 2), 65534: (1, 9)})
    found = combine(labels, OverlapRule(5), ((1, (1,)), (2, (2,))))
    assert found.array.tolist() == [[[1, 2, 3, 0, 0, 5, 1]]]
    assert found.combinations == ((1, 2),)
    assert "2 voxels of ids from 5 on, which no class has, are background" in found.notes[-1]


def test_what_a_catalog_says_decides_the_type_of_masks() -> None:
    def of(text: str) -> str:
        return parse_catalog(text, "c.toml").mask_dtype

    assert of(catalog_of("single")) == of(catalog_of("shared")) == of(catalog_of("layers")) == "uint16"
    plain = HEAD.format(name="plain", labels="{case}_seg.nii.gz") + '[[classes]]\nid = 1\nname = "heart"\n'
    assert of(plain) == "uint8"
    assert of(plain.replace("[[cl", "overlaps = true\n[[cl", 1)) == "uint16"
    assert of(plain.replace("_seg.nii.gz", ".dcm")) == "uint16"
    assert of(catalog_of("single").replace("[[cl", "overlaps = false\n[[cl", 1)) == "uint8"
    with pytest.raises(CatalogError, match="another class is in 'a' too"):
        parse_catalog(catalog_of("shared").replace("value = 2", "value = 1"), "c.toml")


def test_a_store_of_before_grows_in_its_own_type(tmp_path: Path) -> None:
    """A store of format 1 has narrow masks in which a later file won: what is appended keeps its overlaps."""
    root = tmp_path / "single"
    root.mkdir()
    masks = write_case(root, "single", "c0", 6)
    old = parse_catalog(catalog_of("single", "").replace("[[cl", "overlaps = false\n[[cl", 1), "c.toml")
    out = tmp_path / "s.zarr"
    narrow = tiny.settings(**SETTINGS | {"size": 14, "mask_dtype": "uint8", "overlaps": False})
    tiny.build([Dataset(old, root)], out, InlineExecutor(), settings=narrow)
    as_version_1(out)
    assert verify(open_store(out), deep=True) == []
    assert open_store(out).class_table.find("single", 1).label_ids == (1,)
    other = tmp_path / "layers"
    other.mkdir()
    truth = write_case(other, "layers", "c1", 7)
    dataset = Dataset(parse_catalog(catalog_of("layers", ""), "c.toml"), other)
    asked = tiny.settings(**SETTINGS | {"size": 14})
    tiny.build([dataset], out, InlineExecutor(), settings=asked)
    grown = open_store(out)
    assert grown.manifest.format_version == 2
    assert grown.settings.mask_dtype == "uint8"
    assert verify(grown, deep=True) == []
    voxels = dict(zip(grown.cases["case"].to_pylist(), grown.cases["class_voxels"].to_pylist(), strict=True))
    assert voxels["layers/c1"] == [int(mask.sum()) for mask in truth]
    assert voxels["single/c0"][3] == int(masks[3].sum())


def as_version_1(store: Path) -> None:
    """Turn a store without overlaps into what the first version of the format wrote."""
    import hashlib
    import io

    from fve_pipeline.store.documents import store_documents
    from fve_pipeline.store.tables import schema_of, table_bytes

    opened = open_store(store)
    tables = dict(opened.manifest.tables)
    for name in tables:
        data = table_bytes(getattr(opened, name), schema_of(name, 1))
        assert not {"label_ids", "affine"} & set(pq.read_schema(io.BytesIO(data)).names)
        entry = tables[name]
        file = entry.file.model_copy(update={"size": len(data), "sha256": hashlib.sha256(data).hexdigest()})
        tables[name] = entry.model_copy(update={"file": file})
        (store / file.key).write_bytes(data)
    manifest = opened.manifest.model_copy(update={"format_version": 1, "tables": tables})
    for key, document in store_documents(manifest).items():
        (store / key).write_bytes(document)
    (store / "manifest.json").write_bytes(manifest.to_bytes())


def test_values_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "layers"
    root.mkdir()
    write_case(root, "layers", "c1", 7)
    text = catalog_of("layers", "").replace("id = 4\n", "id = 254\n")
    settings = tiny.settings(**SETTINGS | {"size": 14, "mask_dtype": "uint8"})
    with pytest.raises(BuildError, match="uint8 masks have no value left"):
        tiny.build(
            [Dataset(parse_catalog(text, "c.toml"), root)],
            tmp_path / "s.zarr",
            InlineExecutor(),
            settings=settings,
        )


def test_a_loader_gives_the_truth_of_each_class(cohort: tuple[Path, Truth], built: Path) -> None:
    pytest.importorskip("torch")
    from fve_pipeline.loading.prompts import class_mask

    store = open_store(built)
    rows = store.index.select(["dataset", "case", "rendition", "slice"]).to_pylist()
    shared = 0
    for number in (0, 5, 90, 140):
        row = rows[number]
        mask = store.read_masks(number, number + 1)[0]
        parts = cohort[1][row["case"]]
        masks = []
        for entry in store.class_table.shown(row["dataset"], row["rendition"]):
            for dtype in (np.uint8, np.uint16):
                out = np.full(mask.shape, 7, dtype)
                class_mask(mask, entry, out)
                whole = parts[0] | parts[1] if entry.class_id == 9 else parts[entry.class_id - 1]
                expected = Fit(SHAPE[1:], 16, "opencv").masks(whole[row["slice"]][None].astype(np.uint8))[0]
                assert np.array_equal(out, expected)
            masks.append(out)
        shared += int((np.sum(masks, 0) > 1).sum())
    assert shared  # losses see truths that overlap


def test_outlines_are_those_of_all_classes_of_a_pixel(cohort: tuple[Path, Truth], built: Path) -> None:
    store = open_store(built)
    row = store.index.slice(0, 1).to_pylist()[0]
    mask = store.read_masks(0, 1)[0]
    regions = store.class_table.regions(row["dataset"], mask)
    parts = cohort[1][row["case"]]
    assert set(regions) == {number for number in (1, 2, 3, 4) if parts[number - 1][row["slice"]].any()}
    for number, inside in regions.items():
        whole = parts[number - 1][row["slice"]][None].astype(np.uint8)
        assert np.array_equal(inside, Fit(SHAPE[1:], 16, "opencv").masks(whole)[0] != 0)
