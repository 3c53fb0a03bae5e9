"""What ``fve catalogs check`` finds in real files that are wrong in known ways."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from typer.testing import CliRunner

from fve_pipeline.cli import catalogs_check
from fve_pipeline.cli.main import app

RUN = CliRunner()

CATALOG = """\
name = "mine"
modality = "CT"
licence = "CC0"
citation = "nobody"
classes = [
    { id = 1, name = "liver" },
    { id = 2, name = "left kidney", side = "left" },
    { id = 3, name = "right kidney", side = "right" },
    { id = 9, name = "kidneys", ids = [2, 3] },
]
[layout]
images = "images/{case}.nii.gz"
labels = "labels/{case}.nii.gz"
"""


def write(
    path: Path, array: NDArray[np.generic], spacing: tuple[float, float, float] = (1.0, 1.0, 2.0)
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    sitk.WriteImage(image, str(path))


def labels_of(*ids: int) -> NDArray[np.uint8]:
    array = np.zeros((8, 16, 16), np.uint8)
    for at, label in enumerate(ids):
        array[2:6, 4:8, at * 4 : at * 4 + 4] = label
    return array


def scan(seed: int, level: int = 0) -> NDArray[np.int16]:
    return np.random.default_rng(seed).normal(level, 40, (8, 16, 16)).astype(np.int16)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(5):
        write(tmp_path / f"images/ok_{number}.nii.gz", scan(number))
        write(tmp_path / f"labels/ok_{number}.nii.gz", labels_of(1, 2))
    (tmp_path / "mine.toml").write_text(CATALOG)
    return tmp_path


def check(root: Path, *options: str) -> tuple[int, dict[str, list[tuple[str, str, str]]]]:
    """Exit code, and the findings by kind as (level, case, message)."""
    result = RUN.invoke(
        app, ["catalogs", "check", str(root / "mine.toml"), "--root", str(root), "--json", *options]
    )
    found: dict[str, list[tuple[str, str, str]]] = {}
    for one in json.loads(result.stdout)["problems"]:
        found.setdefault(one["kind"], []).append((one["level"], one["case"], one["message"]))
    return result.exit_code, found


def test_a_class_that_no_case_has(root: Path) -> None:
    assert check(root) == (
        0,
        {"empty class": [("warning", "", "no case of 5 has the class 3 (right kidney)")]},
    )


def test_everything_that_can_be_wrong(root: Path) -> None:
    write(root / "labels/ok_0.nii.gz", labels_of(1, 2, 3, 17))
    write(root / "images/copy.nii.gz", scan(1))
    write(root / "labels/copy.nii.gz", labels_of(1))
    write(root / "images/no_labels.nii.gz", scan(6))
    write(root / "labels/no_image.nii.gz", labels_of(1))
    write(root / "images/thick.nii.gz", scan(7), (1.0, 1.0, 9.0))
    write(root / "labels/thick.nii.gz", labels_of(1), (1.0, 1.0, 9.0))
    write(root / "images/offset.nii.gz", scan(8, level=1024))
    write(root / "labels/offset.nii.gz", labels_of(1))
    write(root / "images/moved.nii.gz", scan(9))
    write(root / "labels/moved.nii.gz", labels_of(1)[:, 2:, :])
    write(root / "images/empty.nii.gz", scan(10))
    write(root / "labels/empty.nii.gz", labels_of())
    write(root / "images/broken.nii.gz", scan(11))
    write(root / "labels/broken.nii.gz", labels_of(1))
    whole = (root / "images/broken.nii.gz").read_bytes()
    (root / "images/broken.nii.gz").write_bytes(whole[: len(whole) // 2])

    code, found = check(root)

    assert code == 1
    assert found["missing labels"] == [
        ("error", "no_labels", "images/no_labels.nii.gz: no label file; expected labels/no_labels.nii.gz")
    ]
    assert [message.split(" is ")[0] for _, _, message in found["labels without image"]] == [
        "labels/no_image.nii.gz"
    ]
    assert found["unnamed id"] == [
        (
            "error",
            "ok_0",
            "label id 17 (64 voxels) has no class; name it in the catalog, or list it under ignore",
        )
    ]
    assert found["duplicate image"] == [
        (
            "error",
            "ok_1",
            "images/ok_1.nii.gz has the same voxels as mine/copy (images/copy.nii.gz), under another subject or "
            "split: a build may train on one and judge on the other",
        )
    ]
    assert [(level, case) for level, case, _ in found["unusual spacing"]] == [("warning", "thick")]
    assert found["unusual spacing"][0][2] == "spacing 9, 1, 1 mm (z,y,x), the dataset's median is 2, 1, 1"
    assert [(level, case) for level, case, _ in found["unusual intensities"]] == [("warning", "offset")]
    assert [(level, case) for level, case, _ in found["geometry differs"]] == [("warning", "moved")]
    assert found["empty labels"] == [("warning", "empty", "its label map is all zero")]
    assert [(level, case) for level, case, _ in found["cannot be read"]] == [("error", "broken")]
    assert str(root) not in found["cannot be read"][0][2]
    assert "empty class" not in found


def test_quick_looks_at_headers_alone(root: Path) -> None:
    write(root / "labels/ok_0.nii.gz", labels_of(1, 17))
    write(root / "labels/ok_1.nii.gz", labels_of(1)[:, 2:, :])

    code, found = check(root, "--quick")

    assert code == 0
    assert found == {
        "geometry differs": [
            (
                "warning",
                "ok_1",
                "labels/ok_1.nii.gz: its grid is (8, 14, 16) (z,y,x), the image's (8, 16, 16)",
            )
        ]
    }


@pytest.mark.parametrize("options", [(), ("--quick",)])
def test_processes_find_what_threads_find(
    root: Path, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "images/ok_3.nii.gz").write_bytes(b"no volume")
    write(root / "labels/ok_1.nii.gz", labels_of(1, 2, 3, 17))
    by_threads = check(root, *options)
    monkeypatch.setattr(catalogs_check, "_FEW", 4)
    assert check(root, *options) == by_threads
    assert by_threads[0] == 1


def test_the_table_lists_some_of_each_kind(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogs_check, "_SHOWN", 2)
    for number in range(5):
        (root / f"images/ok_{number}.nii.gz").write_bytes(b"no volume")
    result = RUN.invoke(app, ["catalogs", "check", str(root / "mine.toml"), "--root", str(root)])
    assert "cannot be read: 3 more; --json lists them all" in result.output
    assert "ok_1" in result.output
    assert "ok_2" not in result.output
    assert "5 errors, 0 warnings" in result.output


def test_renditions_on_different_grids(root: Path) -> None:
    text = (
        CATALOG + '[[renditions]]\nname = "a"\n[[renditions]]\nname = "b"\nimage = "second/{case}.nii.gz"\n'
    )
    (root / "mine.toml").write_text(text)
    for number in range(5):
        write(root / f"second/ok_{number}.nii.gz", scan(number)[: 8 - (number == 3)])

    code, found = check(root, "--quick")

    assert code == 1
    assert [case for _, case, _ in found["cannot be read"]] == ["ok_3"]
    assert "its renditions differ in shape" in found["cannot be read"][0][2]


def test_anatomy_of_mirrored_kidneys(root: Path) -> None:
    for number in range(5):
        write(root / f"labels/ok_{number}.nii.gz", labels_of(2, 3))

    code, found = check(root, "--anatomy")

    assert code == 0
    assert {case for _, case, _ in found["anatomy"]} == {f"ok_{number}" for number in range(5)}
    assert any("left kidney" in message for _, _, message in found["anatomy"])


def test_the_table(root: Path) -> None:
    result = RUN.invoke(app, ["catalogs", "check", str(root / "mine.toml"), "--root", str(root)])

    assert result.exit_code == 0
    assert "mine: 5 cases" in result.stdout
    assert "0 errors, 1 warnings" in result.stdout


def test_quick_and_anatomy_exclude_each_other(root: Path) -> None:
    result = RUN.invoke(
        app, ["catalogs", "check", str(root / "mine.toml"), "--root", str(root), "--quick", "--anatomy"]
    )

    assert result.exit_code != 0
    assert "give one of them" in str(result.exception)


ULTRASOUND = """\
name = "prostate_us"
modality = "US"
site = "pelvis"
licence = "Apache-2.0"
citation = "DeepReg's example data"
classes = [{ id = 1, name = "prostate", layer = 0 }]
[layout]
images = "{set:train|test}/fixed_images/{case}.nii.gz"
labels = "{set}/fixed_labels/{case}.nii.gz"
[split]
part = "set"
values = { train = "train", test = "test" }
"""


def test_real_ultrasound_with_layered_labels(shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "us.toml").write_text(ULTRASOUND)
    root = shared_data / "us_mr_prostate"

    result = RUN.invoke(app, ["catalogs", "check", str(tmp_path / "us.toml"), "--root", str(root), "--json"])

    said = json.loads(result.stdout)
    assert said["cases"] == {"prostate_us": 7}
    assert [problem for problem in said["problems"] if problem["level"] == "error"] == []


def test_what_a_draft_leaves_open_is_named(root: Path) -> None:
    text = CATALOG.replace('"CC0"', '"unknown"').replace('name = "left kidney"', 'name = "label 2"')
    (root / "mine.toml").write_text(text)
    code, found = check(root, "--quick")
    assert code == 0
    assert found["unknown licence"][0][2].startswith("licence = 'unknown': say under which terms")
    assert found["placeholder classes"][0][2].startswith(
        "1 classes have no name yet: label 2. A model is asked by"
    )
    (root / "mine.toml").write_text(CATALOG)
    assert not {"unknown licence", "placeholder classes"} & set(check(root, "--quick")[1])
