"""The page in a browser, wide and on a phone, light and dark: it fits and is legible."""

import dataclasses
import shutil

import numpy as np
import pytest
from report_fakes import (
    GaussianModel,
    SequenceModel,
    fake_evaluation,
    gaussian_sets,
    sequence_sets,
)

selenium = pytest.importorskip("selenium", reason="selenium is not installed")
from selenium import webdriver  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402

from distembed.data.spaces import Tokens  # noqa: E402
from distembed.model.card import ModelCard  # noqa: E402
from distembed.model.embeddings import Fingerprints  # noqa: E402
from distembed.report import write_report  # noqa: E402
from distembed.sets.fingerprint import fingerprints  # noqa: E402

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="chromium and its driver are not installed"
)

TEXTS = """
const nodes = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode, parent = node.parentElement;
  if (node.textContent.trim() && parent.getClientRects().length && parent.tagName !== 'STYLE')
    nodes.push(node);
}
"""
BROKEN_WORDS = (
    TEXTS
    + """
const broken = [];
for (const node of nodes) {
  if (node.parentElement.closest('svg')) continue;
  const box = node.parentElement.closest('p, li, td, th, dd, dt, h1, h2, h3, pre, figcaption')
    ?? node.parentElement;
  const style = getComputedStyle(box), table = box.closest('table');
  const inside = box.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  const room = table ? table.clientWidth / 2 : inside;  // a column can be as narrow as its words
  for (const word of node.textContent.matchAll(/[^\\s\\u2013\\u2014-]+/g)) {
    const range = document.createRange();
    range.setStart(node, word.index); range.setEnd(node, word.index + word[0].length);
    const lines = [...range.getClientRects()].filter(r => r.width > 0);
    const width = lines.reduce((sum, r) => sum + r.width, 0);
    if (new Set(lines.map(r => Math.round(r.top))).size > 1 && width < room - 1)
      broken.push(word[0]);
  }
}
return broken;
"""
)
FAINT_TEXTS = (
    TEXTS
    + """
const parse = text => {
  const numbers = text.match(/[\\d.]+/g).map(Number);
  return {rgb: numbers.slice(0, 3), alpha: numbers.length > 3 ? numbers[3] : 1};
};
const luminance = rgb => {
  const [r, g, b] = rgb.map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const page = parse(getComputedStyle(document.body).backgroundColor).rgb;
const behind = element => {
  for (let e = element; e; e = e.parentElement) {
    const paint = parse(getComputedStyle(e).backgroundColor);
    if (paint.alpha > 0.99) return paint.rgb;
  }
  return page;
};
const faint = [];
for (const node of nodes) {
  const element = node.parentElement, style = getComputedStyle(element);
  const ink = parse(element.closest('svg') ? style.fill : style.color);
  const [a, b] = [luminance(ink.rgb), luminance(behind(element))].sort((x, y) => y - x);
  const contrast = (a + 0.05) / (b + 0.05);
  if (contrast < 4.5) faint.push([node.textContent.trim(), contrast]);
}
return faint;
"""
)
OVERFLOWS = """
const wide = [], width = document.documentElement.clientWidth;
for (const element of document.body.querySelectorAll('*')) {
  if (element.closest('svg') && element.tagName !== 'svg') continue;
  if (element.parentElement.closest('.wide, pre')) continue;
  const box = element.getBoundingClientRect();
  if (box.right > width + 1 || box.left < -1) wide.push(element.outerHTML.slice(0, 80));
}
return [document.documentElement.scrollWidth - width, wide];
"""


def long_names():
    """Sets with long names, one of which is alone in its class, and their model."""
    sets, model = gaussian_sets(), GaussianModel()
    sets.ids = np.array([f"patient-{i:02d}_" + "biopsy" * 9 for i in range(len(sets))])
    groups = np.array(["<30", "30-60 mL/min/1.73m2", ">60"])[np.arange(len(sets)) % 3]
    groups[5] = "a class of one, with a long and descriptive name"
    sets.meta = {"group": groups}
    sets.features = model.features = (
        "log10_of_the_ratio_of_phosphorylated_signal_transducer_to_total_protein_(normalised)",
        "a second marker with a long descriptive name, in units of arbitrary fluorescence (a.u.)",
    )
    features = [f"glom_shape_circularity_{i}" for i in range(8)]
    rows = {
        "encoder": "residual",
        "generator": "flow",
        "shape of an atom": ", ".join(features),
        "conditioning": "shrinkage",
    }
    rows |= {"sets for training and validation": "395", "distance": "up to |dz| = 5.82"}
    card = ModelCard("Made by distembed.", rows, "import distembed", ("Beyond it, none.",))
    model.card = lambda: card
    return {"model": model, "test": sets}


def with_training_sets():
    """A cohort of 80 sets, the model of which was trained on the first 60."""
    cohort, model = gaussian_sets(), GaussianModel()
    model.fingerprints = Fingerprints("salt", frozenset(fingerprints(cohort, "salt")[:60]))
    held_out = dataclasses.replace(
        cohort,
        arrays=cohort.arrays[60:],
        ids=cohort.ids[60:],
        meta={name: column[60:] for name, column in cohort.meta.items()},
    )
    return {"model": model, "test": held_out, "cohort": cohort, "color": "site"}


def judged():
    """The sets with long names, and an evaluation."""
    content = long_names()
    return content | {"evaluation": fake_evaluation(content["model"].embed(content["test"]).z)}


def of_sequences(aligned):
    atoms = Tokens("ACGT", aligned=aligned)
    return {"model": SequenceModel(70, atoms), "test": sequence_sets(atoms, 70)}


CONTENTS = {
    "full": judged,
    "bare": lambda: long_names() | {"color": "group"},
    "cohort": with_training_sets,
    "lengths": lambda: of_sequences(aligned=False),
    "aligned": lambda: of_sequences(aligned=True),
}


class Pages(dict):
    """Reports by name, written when they are first looked up."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def __missing__(self, name):
        path = self.folder / f"{name}.html"
        self[name] = write_report(path, **CONTENTS[name]())
        return self[name]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    return Pages(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def driver():
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield made
    made.quit()


@pytest.fixture(params=[(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")], ids=str)
def screen(request, driver):
    width, scheme = request.param
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    return driver


# a pointer does the same in light and in dark
BY_HAND = pytest.mark.parametrize(
    "screen", [(1280, "light"), (390, "dark")], indirect=True, ids=str
)


@pytest.mark.parametrize("page", CONTENTS)
def test_the_page_fits_is_legible_and_logs_nothing(screen, pages, page):
    screen.get(pages[page].as_uri())
    for details in screen.find_elements("css selector", "details"):
        screen.execute_script("arguments[0].open = true", details)
    extra, wide = screen.execute_script(OVERFLOWS)
    assert extra <= 0, wide
    assert wide == []
    assert screen.execute_script(FAINT_TEXTS) == []
    assert screen.execute_script(BROKEN_WORDS) == []
    assert screen.get_log("browser") == []


def test_long_names_of_features_leave_room_for_the_p_values(screen, pages):
    screen.get(pages["bare"].as_uri())
    table = "document.querySelector('.features-table')"
    across, room = screen.execute_script(
        f"return [{table}.scrollWidth, {table}.parentElement.clientWidth]"
    )
    name = screen.execute_script(f"return {table}.querySelector('tbody th').clientWidth")
    assert name < 0.6 * room
    if room > 600:  # a phone scrolls the table
        assert across <= room


PLACE = """
const data = JSON.parse(document.getElementById('map-data').textContent);
const canvas = document.getElementById('map-canvas'), box = canvas.getBoundingClientRect();
canvas.scrollIntoView({block: 'center'});
const p = data.planes[0], i = arguments[0];
const unit = Math.min((box.width - 32) / p.extent[0], (box.height - 32) / p.extent[1]);
const now = canvas.getBoundingClientRect();
return [now.left + now.width / 2 + (p.x[i] - p.extent[0] / 2) * unit,
        now.top + now.height / 2 - (p.y[i] - p.extent[1] / 2) * unit];
"""
COLOUR_AT = """
const canvas = document.getElementById('map-canvas'), box = canvas.getBoundingClientRect();
const ratio = canvas.width / box.width, [x, y] = [arguments[0] - box.left, arguments[1] - box.top];
const copy = Object.assign(document.createElement('canvas'), {width: 1, height: 1});
const pen = copy.getContext('2d', {willReadFrequently: true});  // or the browser logs advice
pen.drawImage(canvas, -Math.round(x * ratio), -Math.round(y * ratio));
return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
"""


def pointer(driver, kind, x, y, buttons=1):
    """Send what a mouse does, at a place of the window."""
    button = "none" if kind == "mouseMoved" else "left"
    event = {"type": kind, "x": x, "y": y, "button": button, "buttons": buttons, "clickCount": 1}
    driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)


def frame(driver):
    """Wait until the canvas has been drawn again."""
    driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")


def lonely(driver):
    """Return the set whose nearest neighbour on the map is the farthest away."""
    p = driver.execute_script(
        "return JSON.parse(document.getElementById('map-data').textContent).planes[0]"
    )
    points = np.stack([p["x"], p["y"]], 1).astype(float)
    gaps = np.linalg.norm(points[:, None] - points, axis=-1)
    np.fill_diagonal(gaps, np.inf)
    return int(gaps.min(1).argmax())


@BY_HAND
def test_pointing_at_a_set_names_it_with_its_metadata(screen, pages):
    screen.get(pages["cohort"].as_uri())
    i = lonely(screen)
    tip = screen.find_element("id", "map-tip")
    assert not tip.is_displayed()
    x, y = screen.execute_script(PLACE, i)
    pointer(screen, "mouseMoved", x + 1, y, 0)
    frame(screen)
    lines = [e.text for e in tip.find_elements("css selector", "*")]
    assert lines[0] == f"patient {i}"
    assert lines[1].endswith(" atoms")
    assert lines[2] == ("held out" if i >= 60 else "in the training")
    assert {line.partition(":")[0] for line in lines[3:]} == {"site", "age"}
    width = screen.execute_script("return document.documentElement.clientWidth")
    assert 0 <= tip.rect["x"]
    assert tip.rect["x"] + tip.rect["width"] <= width
    pointer(screen, "mouseMoved", 2, 2, 0)
    frame(screen)
    assert not tip.is_displayed()
    assert screen.get_log("browser") == []


@BY_HAND
def test_the_map_takes_another_colour_with_its_legend(screen, pages):
    screen.get(pages["cohort"].as_uri())
    i = lonely(screen)
    x, y = screen.execute_script(PLACE, i)
    legend = screen.find_element("id", "map-legend")
    levels = [e.text.rsplit(" ", 1)[0] for e in legend.find_elements("css selector", "li")]
    assert levels == ["north", "south", "missing"]
    before = screen.execute_script(COLOUR_AT, x, y)
    select = screen.find_element("id", "map-color")
    names = [e.text for e in select.find_elements("css selector", "option")]
    assert names == ["site", "age", "number of atoms"]
    select.find_elements("css selector", "option")[1].click()
    frame(screen)
    assert legend.find_element("css selector", "h3").text == "age"
    assert len(legend.find_elements("css selector", ".scale")) == 1
    assert screen.execute_script(COLOUR_AT, x, y) != before


@BY_HAND
def test_a_lasso_lists_exactly_the_sets_inside(screen, pages):
    screen.get(pages["cohort"].as_uri())
    i = lonely(screen)
    screen.find_element("id", "map-lasso").click()
    x, y = screen.execute_script(PLACE, i)
    corners = [(x - 4, y - 4), (x + 4, y - 4), (x + 4, y + 4), (x - 4, y + 4)]
    pointer(screen, "mouseMoved", *corners[0], 0)
    pointer(screen, "mousePressed", *corners[0])
    for corner in corners[1:]:
        pointer(screen, "mouseMoved", *corner)
    pointer(screen, "mouseReleased", *corners[-1], 0)
    frame(screen)
    assert screen.find_element("id", "map-ids").get_property("value") == f"patient {i}"
    assert screen.find_element("id", "map-count").text == "1 set"
    # around everything, within the round corners
    left, top, width, height = screen.execute_script(
        "const b = document.getElementById('map-canvas').getBoundingClientRect();"
        "return [b.left, b.top, b.width, b.height]"
    )
    ends = [(left + 5, top + 5), (left + width - 5, top + height - 5)]
    square = [ends[0], (ends[1][0], ends[0][1]), ends[1], (ends[0][0], ends[1][1])]
    pointer(screen, "mousePressed", *square[0])
    for corner in square[1:]:
        pointer(screen, "mouseMoved", *corner)
    pointer(screen, "mouseReleased", *square[-1], 0)
    frame(screen)
    ids = screen.find_element("id", "map-ids").get_property("value").split("\n")
    assert ids == [f"patient {k}" for k in range(80)]
    assert screen.find_element("id", "map-copy").is_displayed()
    extra, wide = screen.execute_script(OVERFLOWS)
    assert extra <= 0, wide
    screen.find_element("id", "map-lasso").click()
    assert not screen.find_element("id", "map-chosen").is_displayed()


@BY_HAND
def test_the_map_zooms_and_moves_and_comes_back(screen, pages):
    screen.get(pages["cohort"].as_uri())
    i = lonely(screen)
    x, y = screen.execute_script(PLACE, i)
    here = screen.execute_script(COLOUR_AT, x, y)
    assert sum(here) > 0
    screen.find_element("id", "map-in").click()
    frame(screen)
    assert screen.find_element("id", "map-canvas").get_dom_attribute("data-scale") == "1.5"
    screen.find_element("id", "map-reset").click()
    frame(screen)
    assert screen.execute_script(COLOUR_AT, x, y) == here
    middle = screen.execute_script(
        "const b = document.getElementById('map-canvas').getBoundingClientRect();"
        "return [b.left + b.width / 2, b.top + b.height / 2]"
    )
    dx, dy = (
        np.copysign(size, m - at) for size, m, at in zip((60, 40), middle, (x, y), strict=True)
    )
    pointer(screen, "mouseMoved", x, y, 0)
    pointer(screen, "mousePressed", x, y)
    pointer(screen, "mouseMoved", x + dx / 2, y + dy / 2)
    pointer(screen, "mouseMoved", x + dx, y + dy)
    pointer(screen, "mouseReleased", x + dx, y + dy, 0)
    pointer(screen, "mouseMoved", 2, 2, 0)
    frame(screen)
    moved = screen.execute_script(COLOUR_AT, x + dx, y + dy)
    assert moved == here
    screen.find_element("id", "map-canvas").send_keys("0")
    frame(screen)
    assert screen.execute_script(COLOUR_AT, x, y) == here


def test_without_scripts_the_map_is_a_picture(driver, pages):
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        driver.get(pages["cohort"].as_uri())
        assert driver.find_element("css selector", "figure.map-plain svg").is_displayed()
        assert not driver.find_element("id", "map-figure").is_displayed()
        assert "north" in driver.find_element("css selector", "div.map-plain").text
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_another_script_is_not_run(driver, pages, tmp_path):
    page = tmp_path / "changed.html"
    text = pages["cohort"].read_text()
    page.write_text(text.replace("</body>", "<script>document.title = 'run'</script></body>"))
    driver.get(page.as_uri())
    assert driver.title != "run"
    messages = [entry["message"] for entry in driver.get_log("browser")]
    assert any("Content Security Policy" in message for message in messages)
    page.write_text(text.replace("own.levels[own.codes[i]][1]", "own.levels[own.codes[i]][0]"))
    driver.get(page.as_uri())
    assert driver.find_element("css selector", "figure.map-plain svg").is_displayed()
    assert driver.get_log("browser")


def test_the_checks_see_what_is_wrong(driver, tmp_path):
    page = tmp_path / "wrong.html"
    page.write_text(
        "<body style='background:#fff;margin:0'><p style='color:#999'>faint</p>"
        "<div style='width:3000px'>wide</div>"
        "<table style='width:400px;table-layout:fixed'><tr><td style='word-break:break-all;"
        "padding:0;width:60px'>incomprehensible</td><td></td></tr></table>"
        "<script>console.error('no')</script>"
    )
    driver.get(page.as_uri())
    assert driver.execute_script(FAINT_TEXTS)[0][0] == "faint"
    extra, wide = driver.execute_script(OVERFLOWS)
    assert extra > 1000
    assert wide
    assert driver.execute_script(BROKEN_WORDS)
    assert "no" in driver.get_log("browser")[0]["message"]
