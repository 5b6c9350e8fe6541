"""The page in a browser, wide and on a phone, light and dark: it fits and is legible."""

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
from distembed.report import write_report  # noqa: E402

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


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Reports of sets with long names, one of which is alone in its class."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    folder = tmp_path_factory.mktemp("pages")
    sets, model = gaussian_sets(), GaussianModel()
    sets.ids = np.array([f"patient-{i:02d}_" + "biopsy" * 9 for i in range(len(sets))])
    groups = np.array(["<30", "30-60 mL/min/1.73m2", ">60"])[np.arange(len(sets)) % 3]
    groups[5] = "a class of one, with a long and descriptive name"
    sets.meta = {"group": groups}
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
    paths = {"full": folder / "full.html", "bare": folder / "bare.html"}
    z = model.embed(sets).z
    write_report(paths["full"], model=model, test=sets, evaluation=fake_evaluation(z))
    write_report(paths["bare"], model=model, test=sets)
    for name, atoms in (("lengths", Tokens("ACGT")), ("aligned", Tokens("ACGT", aligned=True))):
        paths[name] = folder / f"{name}.html"
        write_report(paths[name], model=SequenceModel(70, atoms), test=sequence_sets(atoms, 70))
    return paths


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


@pytest.mark.parametrize("page", ["full", "bare", "lengths", "aligned"])
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
