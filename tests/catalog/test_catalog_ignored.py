"""Label ids without a class, and arrays by name: what a catalog says of them is what a build does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fve_pipeline.build.cases import Dataset, find_jobs
from fve_pipeline.build.prepare.case import prepare_case
from fve_pipeline.build.prepare.facts import CaseFacts, Failure
from fve_pipeline.build.prepare.job import PrepareJob, PrepareSettings, fingerprint, job_from_recipe
from fve_pipeline.build.prepare.roster import describe_dataset
from fve_pipeline.catalog import Catalog, discover
from fve_pipeline.catalog.findings import look_problems
from fve_pipeline.catalog.load import parse_catalog
from fve_pipeline.catalog.look import look_at
from fve_pipeline.errors import CatalogError


def catalog(top: str = "", layout: str = "") -> Catalog:
    text = f"""\
name = "mine"
modality = "MR"
licence = "none"
citation = "nobody"
{top}
classes = [{{ id = 1, name = "liver" }}]
[layout]
images = "{{case}}.npz"
labels = "{{image}}"
{layout}
"""
    return parse_catalog(text, "mine.toml")


def write(path: Path, image: str = "imgs", label: str = "gts", high: int = 9) -> None:
    voxels = np.arange(4 * 8 * 8, dtype=np.int16).reshape(4, 8, 8)
    labels = np.zeros((4, 8, 8), np.uint16)
    labels[1] = 1
    labels[2] = high
    np.savez_compressed(path, **{image: voxels, label: labels, "spacing": np.array([1.0, 1.0, 3.0])})


def prepared(described: Catalog, root: Path) -> CaseFacts | Failure:
    return prepare_case(job(described, root))


def job(described: Catalog, root: Path) -> PrepareJob:
    (found,) = find_jobs([Dataset(described, root)], root / "work", PrepareSettings())
    return found


@pytest.mark.parametrize(
    ("ignore", "builds"),
    [("", False), ("ignore = [9]", True), ('ignore = ["2-8"]', False), ('ignore = [3, "8-10"]', True),
     ('ignore = "rest"', True), ('ignore = ["rest"]', True)],
)  # fmt: skip
def test_what_is_ignored_fails_no_case(tmp_path: Path, ignore: str, builds: bool) -> None:
    write(tmp_path / "a.npz")
    described = catalog(ignore)
    found = prepared(described, tmp_path)
    assert isinstance(found, CaseFacts) == builds
    problems = look_problems(described, [look_at(discover(described, tmp_path)[0], tmp_path)])
    assert ("unnamed id" in {problem.kind for problem in problems}) != builds


def test_the_rest_may_be_any_id_so_masks_are_wide() -> None:
    assert catalog('ignore = "rest"').mask_dtype == "uint16"
    assert catalog('ignore = ["2-255"]').mask_dtype == "uint8"
    assert catalog('ignore = ["2-256"]').mask_dtype == "uint16"


@pytest.mark.parametrize("wrong", ['"2-"', '["9-3"]', "[0]", '["all"]', "[70000]"])
def test_what_is_no_range_is_refused_by_line(wrong: str) -> None:
    with pytest.raises(CatalogError, match=r"mine.toml:5: ignore.*no range such as '20-35' and not 'rest'"):
        catalog(f"ignore = {wrong}")


def test_a_layout_names_the_arrays_of_image_and_labels(tmp_path: Path) -> None:
    write(tmp_path / "a.npz", "volume", "seg", 1)
    plain = prepared(catalog(), tmp_path)
    assert isinstance(plain, Failure)
    assert "no array 'imgs' in the npz, which holds seg, spacing, volume" in plain.reason
    named = catalog(layout='image_member = "volume"\nlabel_member = "seg"')
    found = prepared(named, tmp_path)
    assert isinstance(found, CaseFacts)
    assert found.shape == (4, 8, 8)
    assert look_at(discover(named, tmp_path)[0], tmp_path).shape == (4, 8, 8)
    assert job_from_recipe(found.recipe, tmp_path, tmp_path / "work") == job(named, tmp_path)


def test_names_of_jobs_and_catalogs_without_members_are_what_they_were(tmp_path: Path) -> None:
    write(tmp_path / "a.npz", high=1)
    case = job(catalog(), tmp_path)
    assert fingerprint(case).startswith("7cc33bfd6486fffb8c69747e")
    assert describe_dataset(catalog()).catalog_sha256.startswith("327b70d7197fbb274ef5303b")
