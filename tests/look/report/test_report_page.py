"""The page of a real store: what it says, and what it does in a real browser."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import chromium
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny
from typer.testing import CliRunner

from fve_pipeline.cli.main import app
from fve_pipeline.evaluation.report import SCHEMA
from fve_pipeline.look.report.page import make_report
from fve_pipeline.runtime.executor import Executor
from fve_pipeline.runtime.progress import Silent
from fve_pipeline.store.reader import Store, open_store

BROWSER = pytest.mark.skipif(chromium.CHROMIUM is None, reason="no chromium is installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, executor: Executor) -> Path:
    """A cohort with a hostile name, a case that fails, a store, a coreset and scores."""
    folder = tmp_path_factory.mktemp("report")
    root = tiny.write_cohort(folder / "cohort", 14)
    catalog = root / "tiny.toml"
    catalog.write_text(catalog.read_text().replace('name = "box"', 'name = "</script><b>box"'))
    (root / "c03_seg.nii.gz").write_bytes(b"broken")
    settings = tiny.settings(val_fraction=0.3)
    tiny.build(tiny.datasets(root), folder / "s.zarr", executor, work=folder / "w", settings=settings)
    command = ["coreset", str(folder / "s.zarr"), "--cases", "4", "--out", str(folder / "c.parquet")]
    assert CliRunner().invoke(app, command, catch_exceptions=False).exit_code == 0
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for case in range(12):
        for class_id in (1, 2, None):
            score = float(rng.uniform(0.2, 1))
            row = {"case": f"c{case:02d}", "dataset": "tiny", "modality": "CT", "class_id": class_id}
            rows.append(dict.fromkeys(SCHEMA.names) | row | {"dsc": score, "nsd": score / 2})
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), folder / "scores.parquet")
    command = ["report", str(folder / "s.zarr"), "--out", str(folder / "r.html"), "--root", str(root)]
    more = ["--coreset", str(folder / "c.parquet"), "--scores", str(folder / "scores.parquet")]
    for number in range(12):
        image, labels = tiny.volume(number)
        for name, array in (("images", image), ("truth", labels), ("pred", np.roll(labels, number, 2))):
            if (name, number) != ("pred", 5):
                tiny.write_nifti(folder / name / f"c{number:02d}.nii.gz", array)
    more += [text for name in ("pred", "truth", "images") for text in (f"--{name}", str(folder / name))]
    assert CliRunner().invoke(app, [*command, *more], catch_exceptions=False).exit_code == 0
    return folder


@pytest.fixture(scope="module")
def text(folder: Path) -> str:
    return (folder / "r.html").read_text()


@pytest.fixture(scope="module")
def store(folder: Path) -> Store:
    return open_store(folder / "s.zarr")


@pytest.fixture
def page(folder: Path, tmp_path: Path) -> Iterator[chromium.Page]:
    page = chromium.Page(tmp_path / "profile")
    try:
        page.resize(1200)
        page.open(folder / "r.html")
        page.run("new Promise(done => shown.image.complete ? done() : shown.image.onload = done)")
        yield page
        assert page.errors == []
        assert {url.split(":")[0] for url in page.requests} <= {"file", "data"}
    finally:
        page.close()


class _Outline(HTMLParser):
    """Checks that what opens closes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in ("meta", "link", "input", "br", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_is_well_formed_and_asks_the_network_for_nothing(text: str, folder: Path) -> None:
    outline = _Outline()
    outline.feed(text)
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    assert str(folder) not in text
    assert "</script><b>" not in text


def test_same_store_same_page(store: Store) -> None:
    assert make_report(store, "t", Silent(), slices=20) == make_report(store, "t", Silent(), slices=20)


def test_says_what_a_reader_asks(text: str, store: Store) -> None:
    training = store.cases.column("split").to_pylist().count("train")
    for words in (
        "made here",  # the licence
        "Cases that could not be built",
        "window soft_tissue (width 400, level 40)",
        f"4 of {training} cases",  # the coreset
        "Dice by modality",
        "The worst cases",
        "above the sources",
        "of 0 to 5, window soft_tissue. Image, truth, prediction.",
    ):
        assert words in text, words


def test_outlines_and_pictures_are_those_of_the_store(text: str, store: Store) -> None:
    data = re.search(r'id="runs">(.*?)</script>', text)
    assert data is not None
    for run in json.loads(data[1])[:4]:
        raw = np.frombuffer(base64.b64decode(run["picture"].split(",")[1]), np.uint8)
        picture = cv2.imdecode(raw, cv2.IMREAD_GRAYSCALE)
        assert picture.shape == (256 * len(run["places"]), 3 * 256)
        rows = [
            row
            for row, found in enumerate(store.index.select(["case", "rendition", "view"]).to_pylist())
            if found == {name: run[name] for name in ("case", "rendition", "view")}
        ]
        assert len(rows) == run["length"]
        for number, place in enumerate(run["places"]):
            image, mask = store.sample(rows[place])
            for channel in range(3):
                wanted = cv2.resize(
                    np.ascontiguousarray(image[..., channel]), (256, 256), interpolation=cv2.INTER_NEAREST
                )
                got = picture[256 * number : 256 * (number + 1), 256 * channel : 256 * (channel + 1)]
                assert abs(wanted.astype(int) - got).mean() < 12  # WebP loses some
            for found, path in zip(run["classes"], run["paths"][number], strict=True):
                ids = {1: [1], 2: [2], 9: [1, 2]}[found["id"]]
                assert bool(path) == bool(np.isin(mask, ids).any())


@BROWSER
def test_slider_buttons_and_outlines(page: chromium.Page) -> None:
    where = "document.getElementById('where').textContent"
    picture = "document.getElementById('picture').toDataURL()"
    page.run("document.getElementById('slice').focus()")
    text, drawn = page.run(where), page.run(picture)
    page.press("ArrowRight", 39)
    assert page.run(where) != text
    assert page.run(picture) != drawn
    text, drawn = page.run(where), page.run(picture)
    box = page.run(f"runs[0].classes.findIndex(c => {where}.includes(c.name))")
    page.click(f"#legend label:nth-of-type({box + 1}) input")
    assert page.run(where) == text
    assert page.run(picture) != drawn
    case = page.run("document.getElementById('run').value")
    page.click("#next")
    assert page.run("document.getElementById('run').value") == str(int(case) + 1)
    page.click("#previous")
    assert page.run("document.getElementById('run').value") == case
    assert page.run(f"document.querySelector('#legend label:nth-of-type({box + 1}) input').checked") is False


@BROWSER
def test_tables_sort_and_filter(page: chromium.Page) -> None:
    rows = "[...document.querySelectorAll('#scores .table:nth-of-type(1) tbody tr')]"
    cells = "[...document.querySelectorAll('#coreset tbody')].at(1).rows"
    page.click("#coreset .table:nth-of-type(2) th:nth-child(2) button")
    order = page.run(f"[...{cells}].map(row => Number(row.cells[1].dataset.key))")
    assert order == sorted(order)
    page.click("#coreset .table:nth-of-type(2) th:nth-child(2) button")
    assert page.run(f"[...{cells}].map(row => Number(row.cells[1].dataset.key))") == order[::-1]
    assert page.run(f"{rows}.length") > 0


@BROWSER
def test_narrow_dark_and_still(page: chromium.Page) -> None:
    page.resize(360)
    assert page.run("document.documentElement.scrollWidth <= 360")
    bright = page.run("getComputedStyle(document.body).backgroundColor")
    page.prefer(prefers_color_scheme="dark", prefers_reduced_motion="reduce")
    assert page.run("getComputedStyle(document.body).backgroundColor") != bright
    assert page.run("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    page.resize(1200)
    seen = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    assert seen.shape == (900, 1200, 3)
    assert seen.std() > 10


@BROWSER
def test_everything_can_be_reached_by_keyboard(page: chromium.Page) -> None:
    reached = set()
    for _ in range(40):
        page.press("Tab", 9)
        reached.add(page.run("document.activeElement.id || document.activeElement.className"))
    assert {"skip", "run", "previous", "next", "slice"} <= reached
