# ruff: noqa: E501 (a message is easier to read whole)
"""Loading catalogs: what they hold, and every message for what is wrong with one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fve_pipeline.catalog import load_catalog, shipped_catalogs
from fve_pipeline.catalog.load import parse_catalog
from fve_pipeline.errors import CatalogError

GOOD = """\
name = "mine"
modality = "CT"
site = "abdomen"
licence = "CC BY 4.0"
citation = "nobody, 2025"
classes = [
    { id = 1, name = "kidney" },
    { id = 2, name = "tumour" },
    { id = 9, name = "kidney with tumour", ids = [1, 2] },
]
[layout]
images = "images/{case}.nii.gz"
labels = "labels/{case}.nii.gz"
"""


def test_a_good_catalog() -> None:
    catalog = parse_catalog(GOOD, "mine.toml")

    assert catalog.declared_ids == {1, 2}
    assert catalog.mask_dtype == "uint8"
    assert [spec.ids for spec in catalog.classes] == [(1,), (2,), (1, 2)]
    assert catalog.classes[0].prompts[:2] == ("Kidney", "Kidney in abdominal CT")
    assert all(len(spec.prompts) >= 5 for spec in catalog.classes)
    assert (catalog.classes[2].id, catalog.classes[2].name) == (9, "kidney with tumour")


def test_a_catalog_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse_catalog(GOOD, "mine.toml").name = "other"


def test_the_mask_dtype_follows_what_is_declared() -> None:
    assert parse_catalog(GOOD + "[split]\nval = ['a']\n", "x").mask_dtype == "uint8"
    many = GOOD.replace("id = 2, name", "id = 300, name").replace("[1, 2]", "[1, 300]")
    assert parse_catalog(many, "x").mask_dtype == "uint16"
    assert (
        parse_catalog(GOOD.replace('modality = "CT"', 'modality = "CT"\nignore = [256]'), "x").mask_dtype
        == "uint16"
    )
    instances = re.sub(
        r"classes = \[.*?\n\]", "classes = [{ id = 1, name = 'cell', instance = true }]", GOOD, flags=re.S
    )
    catalog = parse_catalog(instances, "x")
    assert (catalog.mask_dtype, catalog.instance, catalog.declared_ids) == ("uint16", True, frozenset())
    assert catalog.classes[0].ids == ()


def swap(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (swap("name = \"mine\"\n", "name = mine\n"), "mine.toml: not valid TOML: Invalid value (at line 1, column 8)"),
        (swap("site", "sight"), "mine.toml:3: unknown key 'sight'. Did you mean site? Known keys: citation, classes,"),
        (
            swap('{ id = 2, name = "tumour" }', '{ id = 2, nmae = "tumour" }'),
            "mine.toml:8: missing key 'name' in classes number 2\n"
            "mine.toml:8: unknown key 'nmae' in classes number 2. Did you mean name? Known keys: file, id, ids, "
            "instance, layer, name, priority, prompts, side, site, structures, structures_like, value",
        ),
        (swap('labels = "l', 'lables = "l'), "mine.toml:13: unknown key 'lables' in [layout]. Did you mean labels?"),
        (swap('labels = "labels/{case}.nii.gz"\n', ""), "mine.toml:11: layout.labels: missing; the path of a case's labels"),
        (swap('"CT"', '"XR"'), "mine.toml:2: modality: input should be 'CT', 'MR', 'PET', 'US' or 'Microscopy', found 'XR'"),
        (swap('modality = "CT"\n', ""), "mine.toml: modality: missing; one of CT, MR, PET, US, Microscopy"),
        (swap("id = 2, name", "id = 1, name"), "mine.toml:8: classes.id (number 2): id 1 is 'kidney' already"),
        (swap("id = 2, name", "id = 0, name"), "mine.toml:8: classes.id (number 2): input should be greater than or"),
        (
            swap("id = 9", "id = 2"),
            "mine.toml:9: classes.id (number 3): id 2 is 'tumour' already",
        ),
        (
            swap('    { id = 2, name = "tumour" },\n', "").replace("id = 9", "id = 2"),
            "mine.toml:8: classes.id (number 2): 'kidney with tumour' is a union of [1, 2], so its id 2 must be no label id",
        ),
        (swap("labels/{case}", "labels/{subject}"), "mine.toml:13: layout.labels: 'labels/{subject}.nii.gz' uses {subject}, which images does not have; it has {case}"),
        (swap("labels/{case}", "labels/*"), "mine.toml:13: layout.labels: 'labels/*.nii.gz' has a wildcard"),
        (swap("labels/{case}", "labels/{class}"), "mine.toml:7: classes (number 1): 'kidney' needs file = \"...\""),
        (swap('"images/{case}', '"images/*'), "mine.toml:12: layout.images: 'images/*.nii.gz' has a wildcard but no named part"),
        (GOOD + 'where = { number = [1, 2] }\n', "mine.toml:14: layout.where.number: images has no part {number}; it has {case}"),
        (GOOD + "sparse = true\n", "mine.toml:14: layout.sparse: only labels with one file a class ({class}), or of structures (labels_of), may lack some"),
        (swap("id = 2, name", "id = 2, layer = 1, name"), "mine.toml:7: classes (number 1): other classes have a layer of the label file"),
        (swap("ids = [1, 2]", "ids = [1, 2], layer = 1"), "mine.toml:9: classes.layer (number 3): only a class with an id of its own"),
        (GOOD + "[split]\n", "mine.toml:14: split: say where the split comes from in one way"),
        (GOOD + '[split]\nval = ["a"]\ntest = ["a"]\n', "mine.toml:14: split: 'a' is on two of the lists"),
        (GOOD + '[split]\npart = "set"\nvalues = { a = "train" }\n', "mine.toml:15: split.part: images has no part {set}"),
        (GOOD + '[split]\npart = "case"\nvalues = { a = "traning" }\n', "mine.toml:16: split.values.a: input should be 'train', 'val' or 'test', found 'traning'"),
        (GOOD + '[[renditions]]\nname = "a"\nclasses = [7]\n', "mine.toml:16: renditions.classes (number 1): no class has the id 7"),
        (GOOD + '[[renditions]]\nname = "a"\n[[renditions]]\nname = "a"\n', "mine.toml:17: renditions.name (number 2): the name 'a' comes twice"),
        (GOOD + '[[renditions]]\nname = "a"\nwindow = "softtissue"\n', "mine.toml:16: renditions.window (number 1): unknown window 'softtissue'"),
    ],
)  # fmt: skip
def test_messages(text: str, message: str) -> None:
    with pytest.raises(CatalogError) as raised:
        parse_catalog(text, "mine.toml")
    assert str(raised.value).startswith(message)


def test_an_unknown_name_suggests_one() -> None:
    with pytest.raises(CatalogError, match=r"no catalog is called 'amos'. Did you mean amos22_"):
        load_catalog("amos")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"x.toml: no such catalog file. Shipped are: "):
        load_catalog(tmp_path / "x.toml")


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(GOOD)

    assert load_catalog(tmp_path / "mine.toml") == parse_catalog(GOOD, "")


def test_no_text(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"name = \xff")

    with pytest.raises(CatalogError, match="no UTF-8 text"):
        load_catalog(tmp_path / "mine.toml")


@pytest.mark.parametrize("name", shipped_catalogs())
def test_shipped_catalogs_load_and_name_their_file(name: str) -> None:
    catalog = load_catalog(name)

    assert catalog.name == name
    assert catalog.source
    if not catalog.is_family:
        assert all(spec.prompts for spec in catalog.classes)
