"""Globs with named parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from fve_pipeline.catalog.pattern import parse_pattern


def make(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


@pytest.mark.parametrize(
    ("pattern", "files", "found"),
    [
        ("imagesTr/{case}_0000.nii.gz", ["imagesTr/a_1_0000.nii.gz", "imagesTr/a_1_0001.nii.gz"], ["a_1"]),
        ("{case}/ct.nii.gz", ["s1/ct.nii.gz", "s2/ct.nii.gz", "s3/mr.nii.gz", "ct.nii.gz"], ["s1", "s2"]),
        ("{case}/{case}_t1.nii", ["x/x_t1.nii", "x/y_t1.nii"], ["x"]),
        ("v-{case:d}.nii", ["v-12.nii", "v-a.nii", "v-1b.nii"], ["12"]),
        ("{case}.{ending:nii|nii.gz}", ["a.nii", "b.nii.gz", "c.nrrd"], ["a", "b"]),
        ("**/{case}.npz", ["a.npz", "CT/b.npz", "CT/x/y/c.npz", "CT/d.txt"], ["a", "b", "c"]),
        ("*/{case}/*.nii", ["p/c/1.nii", "p/c2/z.nii"], ["c", "c2"]),
        ("{case}.nii.gz", ["._a.nii.gz", "a.nii.gz", ".hidden.nii.gz"], ["a"]),
    ],
)
def test_matches(tmp_path: Path, pattern: str, files: list[str], found: list[str]) -> None:
    make(tmp_path, *files)

    assert sorted(parts["case"] for _, parts in parse_pattern(pattern).find(tmp_path)) == found


def test_a_slash_at_the_end_asks_for_a_folder(tmp_path: Path) -> None:
    make(tmp_path, "a/series/1.dcm", "b/series/1.dcm", "c/series")

    found = sorted(parse_pattern("{case}/series/").find(tmp_path))

    assert found == [("a/series", {"case": "a"}), ("b/series", {"case": "b"})]


def test_a_part_is_as_short_as_fits(tmp_path: Path) -> None:
    make(tmp_path, "a_b_c.nii")

    [(path, parts)] = parse_pattern("{first}_{rest}.nii").find(tmp_path)

    assert (path, parts) == ("a_b_c.nii", {"first": "a", "rest": "b_c"})


def test_format_puts_the_parts_in() -> None:
    assert parse_pattern("labels{split:Tr|Va}/{case}/").format({"split": "Tr", "case": "x"}) == "labelsTr/x"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/data/{case}.nii", "must be a path relative to the dataset's root"),
        ("../{case}.nii", "without '..'"),
        ("a\\{case}.nii", "forward slashes"),
        ("{case.nii", "has a brace that is no named part"),
        ("{Case}.nii", "has a brace that is no named part"),
    ],
)
def test_what_is_no_pattern(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_pattern(text)


def test_where_a_glob_gets_stuck(tmp_path: Path) -> None:
    make(tmp_path, "images/x/readme.txt")

    assert parse_pattern("images/{case}/ct.nii.gz").stuck_at(tmp_path) == ("images/x", "ct.nii.gz")
    assert parse_pattern("imagesTr/{case}.nii.gz").stuck_at(tmp_path) == ("", "imagesTr")


def test_texts_may_name_folders(tmp_path: Path) -> None:
    make(tmp_path, "Training/Labeled/p1/p1_sa.nii", "Training/Unlabeled/p2/p2_sa.nii", "Testing/p3/p3_sa.nii")
    pattern = parse_pattern("{set:Training/Labeled|Testing}/{case}/{case}_sa.nii")

    assert [parts for _, parts in pattern.find(tmp_path)] == [
        {"set": "Training/Labeled", "case": "p1"},
        {"set": "Testing", "case": "p3"},
    ]
    with pytest.raises(ValueError, match="must be a component of its own, and not the last"):
        parse_pattern("x{set:a/b|c}/{case}.nii")
