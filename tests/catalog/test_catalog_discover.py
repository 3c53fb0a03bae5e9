# ruff: noqa: E501 (a message is easier to read whole)
"""From a folder to cases, by names alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from fve_pipeline.catalog import Catalog, discover, file_problems, load_catalog
from fve_pipeline.catalog.case import Rendition
from fve_pipeline.catalog.discover import natural_key
from fve_pipeline.catalog.load import parse_catalog
from fve_pipeline.errors import CatalogError
from fve_pipeline.volume.label_file import LabelFile

HEAD = """\
name = "mine"
modality = "MR"
licence = "CC0"
citation = "nobody"
classes = [{ id = 1, name = "liver" }, { id = 2, name = "spleen" }]
"""


def make(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def catalog_of(body: str, head: str = HEAD) -> Catalog:
    return parse_catalog(head + body, "mine.toml")


def test_cases_in_natural_order(tmp_path: Path) -> None:
    catalog = catalog_of('[layout]\nimages = "i/{case}.nii"\nlabels = "l/{case}.nii"\n')
    make(tmp_path, *(f"i/case_{number}.nii" for number in (10, 2, 1, 33)))

    cases = discover(catalog, tmp_path)

    assert [case.name for case in cases] == ["case_1", "case_2", "case_10", "case_33"]
    assert cases[1].image == "i/case_2.nii"
    assert cases[1].labels == (LabelFile("l/case_2.nii"),)
    assert cases[1].subject == "mine/case_2"
    assert cases[1].id == "mine/case_2"
    assert cases[1].renditions == (Rendition("image"),)
    assert cases[1].split is None


def test_natural_order_is_total() -> None:
    names = ["a1", "a01", "A1", "a", "", "1a", "10", "9", "b-2", "b-10"]

    shuffled = [*names[5:], *names[:5]]

    assert sorted(shuffled, key=natural_key) == sorted(names, key=natural_key)
    assert sorted(["b-10", "b-2"], key=natural_key) == ["b-2", "b-10"]


def test_label_maps_beside_their_images_are_no_images(tmp_path: Path) -> None:
    catalog = catalog_of('[layout]\nimages = "{case}.nrrd"\nlabels = "{case}_seg.nrrd"\n')
    make(tmp_path, "a.nrrd", "a_seg.nrrd", "b.nrrd", "b_seg.nrrd")

    assert [case.name for case in discover(catalog, tmp_path)] == ["a", "b"]


def test_subject_template_and_shared_namespace(tmp_path: Path) -> None:
    body = '[layout]\nimages = "{subject}_{frame:d}.nii"\nlabels = "{subject}_{frame}_gt.nii"\n'
    make(tmp_path, "p1_01.nii", "p1_01_gt.nii", "p1_12.nii")

    cases = discover(catalog_of(body, HEAD + 'subjects = "shared"\n'), tmp_path)

    assert [(case.name, case.subject) for case in cases] == [("p1_01", "shared/p1"), ("p1_12", "shared/p1")]


def test_renditions_channels_and_files(tmp_path: Path) -> None:
    body = """
[layout]
images = "{case}/{case}_t1.nii"
labels = "{case}/{case}_seg.nii"
[[renditions]]
name = "t1"
[[renditions]]
name = "flair"
image = "{case}/{case}_flair.nii"
classes = [2]
[[renditions]]
name = "second"
channel = 1
"""
    make(tmp_path, "p/p_t1.nii")

    [case] = discover(catalog_of(body), tmp_path)

    assert case.renditions == (
        Rendition("t1"),
        Rendition("flair", image="p/p_flair.nii", class_ids=(2,)),
        Rendition("second", channel=1),
    )


def test_ct_without_renditions_gets_the_soft_tissue_window(tmp_path: Path) -> None:
    body = '[layout]\nimages = "{case}.nii"\nlabels = "l/{case}.nii"\n'
    make(tmp_path, "a.nii")

    [case] = discover(catalog_of(body, HEAD.replace("MR", "CT")), tmp_path)
    [scaled] = discover(catalog_of(body, HEAD.replace("MR", "CT") + "scaled = true\n"), tmp_path)
    [other] = discover(catalog_of(body, HEAD.replace("MR", "CT") + 'window = "400/40"\n'), tmp_path)

    assert case.renditions == (Rendition("soft_tissue", window="soft_tissue"),)
    assert scaled.renditions == (Rendition("image"),)
    assert other.renditions == (Rendition("400/40", window="400/40"),)


def test_one_file_a_class(tmp_path: Path) -> None:
    head = HEAD.replace('name = "liver"', 'name = "liver", file = "LIV"').replace(
        'n" }', 'n", file = "SPL" }'
    )
    make(tmp_path, "s1/ct.nii")

    [case] = discover(
        catalog_of('[layout]\nimages = "{subject}/ct.nii"\nlabels = "{subject}/seg/{class}.nii"\n', head),
        tmp_path,
    )

    assert case.labels == (LabelFile("s1/seg/LIV.nii", value=1), LabelFile("s1/seg/SPL.nii", value=2))


def test_sparse_labels_lack_files_of_absent_classes(tmp_path: Path) -> None:
    head = HEAD.replace('name = "liver"', 'name = "liver", file = "LIV"').replace(
        'n" }', 'n", file = "SPL" }'
    )
    body = '[layout]\nimages = "{subject}/ct.nii"\nlabels = "{subject}/{class}.nii"\nsparse = true\n'
    make(tmp_path, "s1/ct.nii", "s1/SPL.nii", "s2/ct.nii")
    catalog = catalog_of(body, head)

    first, second = discover(catalog, tmp_path)

    assert first.labels == (LabelFile("s1/SPL.nii", value=2),)
    assert len(second.labels) == 2
    assert [problem.case for problem in file_problems(catalog, tmp_path, [first, second])] == ["s2"]


def test_one_layer_a_class(tmp_path: Path) -> None:
    head = HEAD.replace('name = "liver"', 'name = "liver", layer = 0').replace('n" }', 'n", layer = 2 }')
    make(tmp_path, "i/a.nii")

    [case] = discover(
        catalog_of('[layout]\nimages = "i/{case}.nii"\nlabels = "l/{case}.nii"\n', head), tmp_path
    )

    assert case.labels == (LabelFile("l/a.nii", value=1, channel=0), LabelFile("l/a.nii", value=2, channel=2))


def test_split_from_the_path(tmp_path: Path) -> None:
    body = """
[layout]
images = "images{part:Tr|Va}/{case}.nii"
labels = "labels{part}/{case}.nii"
[split]
part = "part"
values = { Tr = "train", Va = "val" }
"""
    make(tmp_path, "imagesTr/a.nii", "imagesVa/b.nii", "imagesTs/c.nii")

    assert [(case.name, case.split) for case in discover(catalog_of(body), tmp_path)] == [
        ("a", "train"),
        ("b", "val"),
    ]

    make(tmp_path, "imagesTs/d.nii")
    with pytest.raises(
        CatalogError, match=r"the case 'c' has \{part\} = 'Ts', and \[split\] values knows Tr, Va"
    ):
        discover(catalog_of(body.replace(":Tr|Va", "")), tmp_path)


def test_split_from_a_table(tmp_path: Path) -> None:
    body = """
[layout]
images = "{subject}/ct.nii"
labels = "{subject}/seg.nii"
[split]
table = "meta.csv"
delimiter = ";"
key = "image_id"
column = "split"
"""
    make(tmp_path, "s1/ct.nii", "s2/ct.nii", "s3/ct.nii")
    (tmp_path / "meta.csv").write_text("image_id;age;split\ns1;40;train\ns2;50;test\n")

    assert [case.split for case in discover(catalog_of(body), tmp_path)] == ["train", "test", None]

    (tmp_path / "meta.csv").write_text("image_id;split\ns1;learn\n")
    with pytest.raises(
        CatalogError, match=r"meta.csv: 's1' has the split 'learn'; expected one of test, train, val"
    ):
        discover(catalog_of(body), tmp_path)
    (tmp_path / "meta.csv").write_text("id;split\ns1;train\n")
    with pytest.raises(CatalogError, match="no column 'image_id', which 'mine' asks for; found id, split"):
        discover(catalog_of(body), tmp_path)
    (tmp_path / "meta.csv").unlink()
    with pytest.raises(CatalogError, match=r"its table .*meta.csv does not exist"):
        discover(catalog_of(body), tmp_path)


def test_split_from_lists(tmp_path: Path) -> None:
    body = '[layout]\nimages = "{case}.nii"\nlabels = "l/{case}.nii"\n[split]\ntrain = ["a"]\nval = ["b"]\n'
    make(tmp_path, "a.nii", "b.nii", "c.nii")

    assert [case.split for case in discover(catalog_of(body), tmp_path)] == ["train", "val", None]


def test_where_keeps_a_range(tmp_path: Path) -> None:
    make(tmp_path, *(f"imagesTr/amos_{number:04}.nii.gz" for number in (1, 500, 501, 600)))

    assert [case.name for case in discover(load_catalog("amos22_ct"), tmp_path)] == ["amos_0001", "amos_0500"]
    assert [case.name for case in discover(load_catalog("amos22_mr"), tmp_path)] == ["amos_0501", "amos_0600"]


def test_nothing_matches(tmp_path: Path) -> None:
    catalog = catalog_of('[layout]\nimages = "imagesTr/{case}.nii"\nlabels = "labelsTr/{case}.nii"\n')
    make(tmp_path, "sub/imagesTr/a.nii", "readme.txt")

    with pytest.raises(CatalogError) as raised:
        discover(catalog, tmp_path)

    assert str(raised.value) == (
        f"catalog 'mine': no image matches 'imagesTr/{{case}}.nii' under {tmp_path}: nothing fits 'imagesTr'; "
        f"{tmp_path} holds readme.txt, sub. It does match under {tmp_path / 'sub'}: give that as the root"
    )
    with pytest.raises(CatalogError, match=r"the root .*/nowhere is no folder"):
        discover(catalog, tmp_path / "nowhere")


def test_two_images_of_one_name(tmp_path: Path) -> None:
    catalog = catalog_of('[layout]\nimages = "*/{case}.nii"\nlabels = "l/{case}.nii"\n')
    make(tmp_path, "x/a.nii", "y/a.nii")

    with pytest.raises(CatalogError, match=r"two images make the case 'a': x/a.nii and y/a.nii under"):
        discover(catalog, tmp_path)


def test_file_problems(tmp_path: Path) -> None:
    body = """
[layout]
images = "images/{case}_{number:d}.nii"
labels = "labels/{case}_{number}.nii"
case = "{case}_{number}"
subject = "{case}"
where = { number = [1, 9] }
[split]
train = ["a_1", "zz"]
val = ["a_2"]
[[renditions]]
name = "t1"
[[renditions]]
name = "t2"
image = "second/{case}_{number}.nii"
"""
    make(tmp_path, "images/a_1.nii", "images/a_2.nii", "labels/a_1.nii", "labels/b_1.nii", "second/a_1.nii")
    make(tmp_path, "labels/c_77.nii", "labels/d_x.nii")
    catalog = catalog_of(body)

    found = [
        (problem.kind, problem.case, problem.message)
        for problem in file_problems(catalog, tmp_path, discover(catalog, tmp_path))
    ]

    assert found == [
        ("missing labels", "a_2", "images/a_2.nii: no label file; expected labels/a_2.nii"),
        ("missing image", "a_2", "rendition 't2' expects second/a_2.nii, which does not exist"),
        ("labels without image", "", "labels/b_1.nii is a label file without an image; images are expected as images/{case}_{number:d}.nii"),
        ("subject in two splits", "a_1", "the subject 'mine/a' is in 2 splits (train: mine/a_1; val: mine/a_2)"),
        ("unknown name in split", "", "[split] lists 1 names that no case or subject has, the first 'zz'"),
    ]  # fmt: skip
