"""The viewer used in a real browser: wheel, drag, click, keys, and the address that keeps what is shown."""

from __future__ import annotations

from collections.abc import Iterator

import chromium
import cv2
import numpy as np
import pytest
from chromium import wait

from fve_pipeline.look.viewer.server import Viewer


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Page]:
    if chromium.CHROMIUM is None:
        pytest.skip("no chromium is installed")
    page = chromium.Page(tmp_path_factory.mktemp("profile"))
    yield page
    page.close()


@pytest.fixture
def page(browser: chromium.Page, viewer: Viewer) -> Iterator[chromium.Page]:
    browser.prefer()
    browser.resize(1200)
    browser.open("about:blank")  # the same address with another state would not load the page anew
    browser.open(viewer.url)
    wait(browser, "document.querySelectorAll('#panels img').length === 3")
    yield browser
    assert browser.errors == []
    assert all(url.startswith(("http://127.0.0.1:", "data:", "about:")) for url in browser.requests)


def test_slider_keys_order_and_classes(page: chromium.Page) -> None:
    where, source = "document.getElementById('where').textContent", "document.images[0].src"
    start = page.run("row")
    page.press("ArrowRight", 39)
    wait(page, f"{source}.includes('row={start + 1}&')")
    page.run("document.getElementById('slider').focus()")
    page.press("ArrowLeft", 37)
    wait(page, f"{source}.includes('row={start}&')")
    assert page.run(where) == "slice 2 of 0 to 4"
    page.run("document.activeElement.blur()")
    page.press("+", 187)
    wait(page, "document.querySelectorAll('#context img').length === 8")
    assert page.run("document.querySelector('#context figcaption').textContent") == "−4, 1/2 size"
    wait(page, "document.querySelectorAll('#classes button').length > 0")
    before = page.run("row")
    page.click("#classes button")
    wait(page, f"{source}.includes('only=1')")
    wait(page, "document.querySelector('#classes button').getAttribute('aria-pressed') === 'true'")
    assert page.run("row") == before


def test_cases_are_found_and_opened(page: chromium.Page) -> None:
    page.run("document.getElementById('words').focus()")
    page.type("c01")
    wait(page, "document.querySelectorAll('#cases button').length === 1")
    page.click("#cases button")
    wait(page, "document.getElementById('title').textContent === 'tiny/c01'")
    assert page.run("document.getElementById('facts').textContent").count("c01_ct.nii.gz") == 1
    assert page.run("document.querySelectorAll('#run option').length") == 2


def test_narrow_and_dark(page: chromium.Page) -> None:
    page.resize(360)
    page.prefer(prefers_color_scheme="dark")
    assert page.run("document.documentElement.scrollWidth") <= 360
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 27)"
    pixels = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    assert pixels.shape[:2] == (900, 360)
    assert pixels.std() > 10


def stage(page: chromium.Page) -> tuple[float, float, float]:
    """Where the slice begins, x and y, and its side."""
    x, y, side = page.run(
        "(b => [b.x, b.y, b.width])(document.getElementById('stage').getBoundingClientRect())"
    )
    return float(x), float(y), float(side)


def test_the_wheel_goes_through_slices_and_enlarges(page: chromium.Page) -> None:
    x, y, side = stage(page)
    before = page.run("row")
    page.mouse("mouseWheel", x + side / 4, y + side / 4, deltaX=0, deltaY=120)
    wait(page, f"row === {before + 1}")
    page.mouse("mouseWheel", x + side / 4, y + side / 4, deltaX=0, deltaY=-120, modifiers=2)
    wait(page, "zoom.scale === 1.25")
    assert page.run("row") == before + 1
    # What was under the mouse stays there: a quarter of the way in.
    assert page.run("[zoom.x, zoom.y]") == pytest.approx([-0.0625, -0.0625], abs=0.002)
    shown = page.run("document.getElementById('outlines').getBoundingClientRect().width")
    assert shown == pytest.approx(1.25 * side, rel=1e-3)


def test_dragging_moves_and_a_click_sets_the_point(page: chromium.Page) -> None:
    x, y, side = stage(page)
    page.press("z", 90)
    page.press("z", 90)
    wait(page, "zoom.scale === 2.25")
    start = page.run("[zoom.x, zoom.y]")
    page.mouse("mousePressed", x + 100, y + 100, button="left", clickCount=1)
    page.mouse("mouseMoved", x + 100 + side / 10, y + 100, button="left")
    page.mouse("mouseReleased", x + 100 + side / 10, y + 100, button="left", clickCount=1)
    assert page.run("[zoom.x, zoom.y]") == pytest.approx([start[0] + 0.1, start[1]], abs=0.01)
    assert page.run("point") is None
    page.press("0", 48)
    wait(page, "zoom.scale === 1")
    size = page.run("store.settings.size")
    for kind in ("mousePressed", "mouseReleased"):
        page.mouse(kind, x + 0.25 * side, y + 0.75 * side, button="left", clickCount=1)
    wait(page, "point !== null")
    assert page.run("point") == pytest.approx([0.25 * size, 0.75 * size], abs=1)
    wait(page, "document.querySelector('#planes img').src.includes('at=' + point[1])")


def test_planes_and_marks_lead_to_slices(page: chromium.Page) -> None:
    box = page.run(
        "(b => [b.x, b.y, b.width, b.height])(document.querySelector('.plane').getBoundingClientRect())"
    )
    for kind in ("mousePressed", "mouseReleased"):
        page.mouse(kind, box[0] + 0.5 * box[2], box[1] + 0.05 * box[3], button="left", clickCount=1)
    wait(page, "+document.getElementById('slider').value === run().count - 1")  # the last slice is on top
    assert page.run("document.getElementById('marks').height") == page.run("marks.length")
    page.run("document.getElementById('marks').scrollIntoView()")
    box = page.run("(b => [b.x, b.y, b.height])(document.getElementById('marks').getBoundingClientRect())")
    for kind in ("mousePressed", "mouseReleased"):
        page.mouse(kind, box[0] + 2, box[1] + box[2] / 2, button="left", clickCount=1)
    wait(page, "document.getElementById('slider').value === '0'")


def test_fill_covers_the_classes(page: chromium.Page) -> None:
    page.press("f", 70)
    wait(page, "document.querySelector('#inner .fill')?.naturalWidth > 0")
    assert page.run("document.querySelector('#inner .fill').style.opacity") == "0.4"
    assert "fill=40" in page.run("location.hash")
    page.press("f", 70)
    wait(page, "!document.querySelector('#inner .fill')")


def test_the_address_keeps_what_is_shown(page: chromium.Page, viewer: Viewer) -> None:
    page.press("ArrowDown", 40)
    wait(page, "found.case === 'tiny/c01'")
    page.press("Home", 36)
    page.press("ArrowRight", 39)
    page.press("z", 90)
    page.press("d", 68)
    page.press("+", 187)
    page.press("f", 70)
    wait(page, "document.querySelectorAll('#classes button').length > 0")
    page.press("1", 49)
    wait(page, "only !== null")
    page.run("point = [3, 5]; showPlanes(); keep()")
    state = "JSON.stringify([found.case, row, only, zoom, point, document.getElementById('fill').value])"
    kept, place = page.run(state), page.run("location.hash")
    page.open("about:blank")
    page.open(viewer.url + "#case=tiny/c02")
    wait(page, "found?.case === 'tiny/c02'")
    page.run(f"location.hash = {place!r}")
    wait(page, f"found.case === 'tiny/c01' && {state} === {kept!r}")
    assert page.run("document.querySelectorAll('#prompts li').length") > 0


def test_more_cases_come_on_scrolling(page: chromium.Page) -> None:
    page.run("listed = ['tiny/c00']; total = 3; listCases(true)")
    wait(page, "listed.length === 3")
