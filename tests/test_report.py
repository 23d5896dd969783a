"""The report shows what the files say, whatever is in them, and works in a browser without any other address."""

from __future__ import annotations

import base64
import io
import json
import math
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from deeplimit import report, study, verify
from deeplimit.claims import Claim, to_records
from deeplimit.report import cells, source

ROOT = Path(__file__).parent.parent
HOSTILE = '</script><script>document.title = "taken"</script><img src="http://127.0.0.1:9/x.png" alt=\'"\'>'
ROWS = 25
ALPHA = '''"""Does α <b>tend</b> to 0,
and how fast?

Second paragraph.
"""
raise SystemExit("the page must not run a study")
LABELS = {"depth": "depth n", "value": "gap"}
def main(save):
    columns: dict = {"x": "depth", "y": "value"}
    plot.curves(table, **columns, by="case", slopes=[-1], labels=LABELS | {"case": "data set"}, save=save)
    for part in parts:
        plot.curves(table, x="depth", y="value", save=f"{save}_{part}")
    draw(f"{save}_tree")
def draw(save):
    plot.tree(table, save=save)
'''
# id, observed and tolerance of claims "observed = 0", in no order
CLAIMS = [("T3.11", 2.0, 3.0), ("T3.2", -10.0, 20.0), ("T3.1", 1e-7, 1.0), ("X1.1", 5.0, 1.0), ("U1", math.nan, 1.0)]


class Page(HTMLParser):
    """What is on a page: elements with their attributes, ids, and the text of each section."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[tuple[str, str]] = []
        self.text: Counter[str] = Counter()
        self.sections: dict[str, str] = {}
        self.unbalanced: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "input", "br"):
            self.open.append((tag, dict(attrs).get("id") or ""))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop()[0] != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        for tag, name in self.open:
            if tag == "section":
                self.sections[name] = self.sections.get(name, "") + data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


def claim(identifier: str, observed: float, tolerance: float) -> Claim:
    """A claim that a number is 0."""
    statement = f"statement of {identifier}" + (HOSTILE if identifier == "X1.1" else "")
    return Claim(identifier, statement, "derived here", "a number", 0.0, observed, tolerance, "another number")


def picture(path: Path, **said: str) -> np.ndarray:
    """A PNG of random colours, returned as its pixels."""
    pixels = np.random.default_rng(1).integers(0, 256, (12, 700, 3), dtype=np.uint8)
    words = PngInfo()
    for name, text in said.items():
        words.add_itxt(name, text)
    Image.fromarray(pixels).convert("RGBA").save(path, pnginfo=words)
    return pixels


def table() -> pd.DataFrame:
    """Rows with everything that a number or a text can be."""
    values = [math.nan, math.inf, -math.inf, 1 / 3, -123456.789, 1e-7, 2.0, *np.linspace(3, 4, ROWS - 7)]
    statuses = ["failed: ValueError: x", "not converged: y", HOSTILE, *["converged: z"] * (ROWS - 4), HOSTILE]
    return pd.DataFrame({"depth": range(ROWS, 0, -1), "case": [f"c{i}" for i in range(ROWS)], "value": values}).assign(
        status=statuses
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study in order, with hostile text in it, and one of every kind of broken file."""
    root = tmp_path_factory.mktemp("small")
    results, studies = root / "results", root / "studies"
    results.mkdir()
    studies.mkdir()
    (studies / "alpha.py").write_text(ALPHA, encoding="utf-8")
    (studies / "alpha_long.py").write_text("x = 1\n", encoding="utf-8")
    (studies / "wrong.py").write_text("def main(:\n", encoding="utf-8")
    study.write(results / "alpha", table())
    study.write(results / "alpha_more", table()[:2])
    study.write(results / "alpha_weights", pd.DataFrame({"weight": range(7), "note": "only drawn"}))
    picture(results / "alpha.png")
    picture(results / "alpha_other.png")
    picture(results / "alpha_tree.png")
    picture(results / "alpha_said.png", Description="what the file says of itself")
    record: dict[str, Any] = {"study": "alpha", "finished": "2026-03-05T10:00:00+00:00", "commit": "abc1234"}
    record |= {"constants": {"DEPTHS": [1, 2], "NAME": HOSTILE}, "claims": to_records(claim(*c) for c in CLAIMS)}
    record |= {"orders": [{"case": "c0", "order": 0.99961}, {"case": "c1"}], "notes": {"a": []}, "threads": 1}
    record |= {"tables": {"alpha_weights": "digest of it"}}
    record |= {"certificates": {"c0": {"residual": 1e-12}}, "versions": {"python": "3.11"}, "machine": {"cores": 2}}
    (results / "alpha.json").write_text(json.dumps(record), encoding="utf-8")
    study.write(results / "claims", verify.gather(results))
    (results / "alpha_long.json").write_text("[1, 2]", encoding="utf-8")
    (results / "broken.json").write_text('{"study": ', encoding="utf-8")
    (results / "broken.csv").write_text("", encoding="utf-8")
    (results / "broken.png").write_text("no picture", encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def written(folder: Path) -> str:
    """The page of that folder."""
    path = report.write(folder / "results")
    assert path == folder / "results" / "index.html"
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(written: str) -> Page:
    """Its structure."""
    return Page(written)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the committed results, made once, outside the work tree."""
    results = tmp_path_factory.mktemp("whole") / "results"
    shutil.copytree(ROOT / "results", results, ignore=shutil.ignore_patterns("index.html"))
    return report.write(results, ROOT / "studies")


def without_data(text: str) -> str:
    """The page without its pictures."""
    return re.sub(r"data:image/webp;base64,[A-Za-z0-9+/=]*", "data:", text)


def assert_self_contained(page: Page) -> None:
    """No attribute that loads or leads anywhere names another address, and only one script and style are there."""
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster", "style"):
            address = attributes.get(name)
            assert address is None or address.startswith(("#", "data:")), (tag, name, address)
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
    scripts = [a for a in page.all("script") if a.get("type") != "application/json"]
    assert (scripts, page.all("style")) == ([{}], [{}])
    assert not page.all("iframe") and not page.all("object") and not page.all("base")


def assert_sound(page: Page) -> None:
    """Elements are closed, ids are unique and every link inside the page has its place; pictures have words."""
    assert not page.unbalanced and not page.open
    ids = Counter(a["id"] for _, a in page.elements if "id" in a)
    assert max(ids.values()) == 1
    links = [str(a["href"])[1:] for a in page.all("a")]
    assert links and not [link for link in links if "=" not in link and link not in ids]
    assert all(len(str(image["alt"])) > 20 for image in page.all("img"))
    assert all(image["loading"] == "lazy" and int(str(image["width"])) > 0 for image in page.all("img"))


def test_the_page_is_self_contained_and_sound_with_hostile_and_broken_files(page: Page) -> None:
    """Text from tables, records and studies stays text, and what cannot be read breaks nothing."""
    assert_self_contained(page)
    assert_sound(page)
    assert len(page.all("img")) == 4
    assert HOSTILE in page.sections["ledger"] and HOSTILE in page.sections["study-alpha"]


def test_the_page_of_the_committed_results_is_self_contained_and_sound(whole: Path) -> None:
    """Every claim, study and figure is on it, each figure told by what is across and what is up or by its kind."""
    text = whole.read_text(encoding="utf-8")
    page = Page(text)
    assert_self_contained(page)
    assert_sound(page)
    ledger = verify.read(ROOT / "results")
    assert [a["data-study"] for a in page.all("tr") if "data-verdict" in a] == ledger["study"].tolist()
    assert len(page.all("img")) == len(list((ROOT / "results").glob("*.png")))
    assert {f"study-{path.stem}" for path in (ROOT / "studies").glob("*.py")} <= set(page.sections)
    assert not re.search(r"cannot be read|does not say its question", without_data(text))
    untold = sum("A figure of the table below" in str(image["alt"]) for image in page.all("img"))
    assert untold <= 0.05 * len(page.all("img"))
    assert len(text) < 20e6


def test_what_cannot_be_read_is_named(page: Page) -> None:
    """Each broken or missing file is told at the top and in its section."""
    top, broken = page.sections[""], page.sections["study-broken"]
    for name in ("broken.json", "broken.csv", "broken.png", "wrong.py", "alpha_long.json"):
        assert f"{name} cannot be read" in top
    assert all(f"broken.{kind} cannot be read" in broken for kind in ("json", "csv", "png"))
    assert "alpha_long.py does not say its question" in page.sections["study-alpha_long"]
    assert "there is no record" in page.sections["study-wrong"]
    assert "claims.csv is not what the records say of alpha_long, broken" in top
    assert "cannot be read" not in page.sections["study-alpha"]


def test_a_study_is_told_with_all_it_recorded(page: Page) -> None:
    """Question, text, constants, orders, certificates and record; an empty note is passed over."""
    told = page.sections["study-alpha"]
    for words in (
        "Does α <b>tend</b> to 0, and how fast?",
        "Second paragraph.",
        "[1, 2]",
        "Recorded: orders",
        "0.99961",
        "Recorded: certificates",
        "1e-12",
        "Recorded: threads",
        "2026-03-05T10:00:00+00:00",
        "abc1234",
        "Table alpha.csv: 25 rows",
        "Table alpha_more.csv: 2 rows",
        "1 failed",
        "1 without a full certificate",
    ):
        assert words in told, words
    assert "notes" not in told and "Its 5 claims" in told


def test_a_table_that_only_figures_need_is_named_and_not_shown(page: Page, written: str) -> None:
    """What the record names under `tables` may be many times longer than the rows of the study."""
    assert "alpha_weights.csv (7 rows)." in page.sections["study-alpha"]
    assert "Table alpha_weights" not in written
    assert "only drawn" not in written and "digest of it" not in written


def test_a_figure_is_told_by_what_its_study_draws(page: Page) -> None:
    """Axes with their labels, panels and slopes, read off the call; a file that tells itself is believed."""
    alts = [str(image["alt"]) for image in page.all("img")]
    assert "Across: depth n; up: gap; a panel for each data set; straight lines of slope −1. Study alpha: " in alts[0]
    assert "Across: depth; up: value. Study alpha: Does α <b>tend</b> to 0" in alts[1]
    assert alts[2] == "what the file says of itself"
    assert alts[3].startswith("Values of branches of minima against depth")


def test_a_figure_keeps_every_pixel(folder: Path, page: Page) -> None:
    """The compression is one without loss."""
    uri = str(page.all("img")[0]["src"])
    assert uri.startswith("data:image/webp;base64,")
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as shown:
        pixels = np.asarray(shown.convert("RGB"))
    np.testing.assert_array_equal(pixels, picture(folder / "again.png"))


def test_the_same_results_give_the_same_page(folder: Path, written: str) -> None:
    """Nothing of the clock or of an order of files is in it; the date is that of the record."""
    assert report.write(folder / "results", folder / "studies").read_text(encoding="utf-8") == written
    assert "run on 5 March 2026" in written


def test_a_header_names_one_commit_and_counts_several(tmp_path: Path, written: str) -> None:
    """Several are listed where they are asked for, each with what ran at it, first that of most studies."""
    assert "at commit abc1234." in written
    for name, commit in (("a", "1111111"), ("b", "2222222"), ("c", "2222222")):
        (tmp_path / f"{name}.json").write_text(json.dumps({"commit": commit}), encoding="utf-8")
    text = report.write(tmp_path).read_text(encoding="utf-8")
    head = text[text.index("<header") : text.index("</header>")]
    assert "at 2 commits." in head and "1111111" not in head[: head.index("<details>")]
    assert re.findall(r"<dt>(\d+)</dt><dd>(.*?)</dd>", head) == [
        ("2222222", "2 studies: b, c"),
        ("1111111", "1 study: a"),
    ]


def test_names_between_backticks_are_code_and_stay_text(tmp_path: Path) -> None:
    """In warnings, questions and claims; nothing between them is markup of the page, and a single one is left."""
    (tmp_path / "claims.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    said = to_records([Claim("T1", "of `<b>` and `x`, 5` long", "s", "q", 0.0, 0.0, 1.0, "w")])
    (tmp_path / "a.json").write_text(json.dumps({"claims": said}), encoding="utf-8")
    study.write(tmp_path / "claims", verify.gather(tmp_path).assign(holds="false"))
    text = report.write(tmp_path).read_text(encoding="utf-8")
    assert "<code>deeplimit verify</code> writes it anew" in text
    assert "of <code>&lt;b&gt;</code> and <code>x</code>, 5` long" in text


def test_the_text_of_a_study_fits_any_width() -> None:
    """Lines of a paragraph and of a point are joined, names of points have a colon, formulas keep their places."""
    text = "One line\nand another.\n\n- first   a point that\n      goes on;\n- second  b.\n\n    x = 1,   y = 2\n\nEnd"
    expected = "One line and another.\n\n- first: a point that goes on;\n- second: b.\n\n    x = 1,   y = 2\n\nEnd"
    assert source.flowing(text) == expected


def test_the_ledger_that_was_written_is_the_one_shown(tmp_path: Path) -> None:
    """A failed run is in claims.csv alone, and it must be seen; without that file the records are asked."""
    failed = verify.Run("late", time.time(), 1.0, 1, "Error: x")
    study.write(tmp_path / "claims", verify.gather(tmp_path, [failed]))
    assert "it ended with status 1: Error: x" in report.write(tmp_path).read_text(encoding="utf-8")
    record = {"claims": to_records([claim("T1", 0.0, 1.0)])}
    (tmp_path / "late.json").write_text(json.dumps(record), encoding="utf-8")
    (tmp_path / "claims.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    text = report.write(tmp_path).read_text(encoding="utf-8")
    assert "claims.csv cannot be read, the ledger is made from the records" in text and "statement of T1" in text
    (tmp_path / "claims.csv").unlink()
    assert "there is no claims.csv" in report.write(tmp_path).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "record", ['{"claims": 5}', '{"tables": 5}', '{"claims": [{"id": 1}]}', '{"constants": 7, "versions": "v"}', "null"]
)
def test_a_strange_record_breaks_nothing(tmp_path: Path, record: str) -> None:
    """Whatever JSON is in it."""
    (tmp_path / "odd.json").write_text(record, encoding="utf-8")
    page = Page(report.write(tmp_path).read_text(encoding="utf-8"))
    assert_self_contained(page)
    assert "study-odd" in page.sections


def test_a_folder_that_is_not_there_is_said_in_a_sentence(tmp_path: Path) -> None:
    """Both folders, before anything is written."""
    for folders in ((tmp_path / "no",), (tmp_path, tmp_path / "no")):
        with pytest.raises(ValueError, match="there is no folder"):
            report.write(*folders)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("value", "text", "full"),
    [
        ("0.33333333333333331", "0.33333", "0.3333333333333333"),
        ("9.9999999999999994e-12", "1e-11", ""),
        ("-123456.789", "-1.2346e5", "-123456.789"),
        ("131072", "131072", ""),
        (2.0, "2", ""),
        ("inf", "∞", ""),
        ("-inf", "−∞", ""),
        ("nan", "NaN", ""),
        ("1_000", "1_000", ""),
        (None, "none", ""),
        (True, "true", ""),
        ("", "", ""),
    ],
)
def test_a_number_is_short_and_its_full_value_is_kept(value: Any, text: str, full: str) -> None:
    """Five digits, and the shortest text that reads back as the same double where that is more."""
    assert (cells.cell(value).text, cells.cell(value).full) == (text, full)


def test_files_belong_to_the_study_with_the_longest_name(tmp_path: Path) -> None:
    """final_time_h1.csv is no second table of final_time."""
    from deeplimit.report.page import owned

    for name in ("a.json", "a_b.json", "a_b_c.csv", "a_x.png", "ab.csv", "claims.csv"):
        (tmp_path / name).touch()
    found = {name: [path.name for path in paths] for name, paths in owned(tmp_path, tmp_path / "no").items()}
    assert found == {"a": ["a.json", "a_x.png"], "a_b": ["a_b.json", "a_b_c.csv"], "ab": ["ab.csv"]}


def test_no_study_is_executed(folder: Path) -> None:
    """The source would end the process."""
    found = source.read(folder / "studies" / "alpha.py")
    assert found.question == "Does α <b>tend</b> to 0, and how fast?" and found.text == "Second paragraph."


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_every_text_has_the_contrast_of_level_aa(scheme: int) -> None:
    """At least 4.5 between a colour of text and each ground that it can stand on (WCAG 2, 1.4.3)."""
    style = (ROOT / "deeplimit" / "report" / "page.css").read_text(encoding="utf-8")
    colours = {
        name: (light, dark) for name, light, dark in re.findall(r"--([\w-]+): light-dark\((#\w+), (#\w+)\)", style)
    }
    grounds = ["page", "raised", "false-row", "undecided-row"]
    texts = ["text", "quiet", "link", "true", "false", "undecided"]
    assert {*grounds, *texts, "line"} == set(colours)
    for text in texts:
        for ground in grounds:
            pair = sorted(luminance(colours[name][scheme]) for name in (text, ground))
            assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, (text, ground)


# In a browser: Debian's Chromium, or the one named in CHROMIUM and CHROMEDRIVER.


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window, its console and network logged."""
    binary = os.environ.get("CHROMIUM") or shutil.which("chromium")
    driver = os.environ.get("CHROMEDRIVER") or shutil.which("chromedriver")
    if not (binary and driver):
        reason = "there is no Chromium with its driver: on Debian, apt install chromium chromium-driver"
        if os.environ.get("DEEPLIMIT_BROWSER") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chromium = webdriver.Chrome(options=options, service=Service(driver))
    yield chromium
    chromium.quit()


def visit(browser: Any, path: Path, anchor: str = "") -> tuple[list[str], list[str]]:
    """Open a page anew, see all of it; what the console said, and the addresses that were asked for."""
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(path.as_uri() + anchor)
    browser.execute_script("for (const image of document.images) image.loading = 'eager'")
    images = "return Promise.all([...document.images].map((image) => image.decode().then(() => 1, () => 0)))"
    assert all(browser.execute_script(images))
    return [entry["message"] for entry in browser.get_log("browser")], requests(browser)


def requests(browser: Any) -> list[str]:
    """The addresses that were asked for since the last call, pictures in the page not counted."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return [url for url in sent if not url.startswith("data:")]


def shown(browser: Any) -> list[str]:
    """The ids of the claims that are to be seen, from top to bottom."""
    return browser.execute_script(
        "return [...document.querySelectorAll('#claims tbody tr')].filter((r) => r.offsetHeight)"
        ".map((r) => r.cells[0].textContent)"
    )


def put(browser: Any, name: str, value: str) -> None:
    """Type or choose in a field of the filter."""
    field = browser.find_element("css selector", f"#filter [name={name}]")
    if field.tag_name == "input":
        field.clear()
    field.send_keys(value)


def head(browser: Any, table: str, name: str) -> Any:
    """The heading of a column."""
    found = browser.find_elements("css selector", f"{table} thead th")
    return next(h for h in found if h.text.split(" ")[0] == name)


@pytest.fixture
def small(browser: Any, written: str, folder: Path) -> Any:
    """The small page, opened."""
    assert visit(browser, folder / "results" / "index.html") == ([], [(folder / "results" / "index.html").as_uri()])
    return browser


def test_the_page_opens_without_an_error_and_asks_for_no_other_address(browser: Any, whole: Path) -> None:
    """That of the committed results, with all of its pictures decoded."""
    assert visit(browser, whole) == ([], [whole.as_uri()])
    assert len(shown(browser)) == len(verify.read(ROOT / "results"))


def test_another_address_would_be_seen_and_is_refused(browser: Any, written: str, tmp_path: Path) -> None:
    """The log sees a picture from elsewhere; the page's own policy stops it."""
    image = (
        '<p><img src="http://127.0.0.1:9/x.png" alt="elsewhere"></p><script>document.title = "taken"</script></body>'
    )
    planted = tmp_path / "planted.html"
    planted.write_text(written.replace("</body>", image), encoding="utf-8")
    browser.get("about:blank")
    browser.get_log("performance")
    browser.get(planted.as_uri())
    said = [entry["message"] for entry in browser.get_log("browser")]
    assert len([message for message in said if "Content Security Policy" in message]) == 2
    assert browser.title != "taken"
    free = re.sub(r"<meta http-equiv[^>]*>", "", written.replace("</body>", image))
    planted.write_text(free, encoding="utf-8")
    browser.get(planted.as_uri())
    assert "http://127.0.0.1:9/x.png" in requests(browser) and browser.title == "taken"


def test_hostile_text_is_shown_and_not_run(small: Any) -> None:
    """Also in the rows that a script adds."""
    for button in small.find_elements("css selector", ".all"):
        small.execute_script("arguments[0].click()", button)
    assert small.title == "deeplimit: claims and studies"
    assert HOSTILE in small.execute_script("return document.getElementById('study-alpha').textContent")
    assert requests(small) == [] and small.get_log("browser") == []


@pytest.mark.parametrize(
    ("fields", "ids"),
    [
        ({"q": "statement T3"}, ["T3.1", "T3.2", "T3.11"]),
        ({"q": "t3.11"}, ["T3.11"]),
        ({"q": "nowhere"}, []),
        ({"verdict": "false"}, ["X1.1"]),
        ({"verdict": "undecided"}, ["U1"]),
        ({"verdict": "true", "q": "t3.1"}, ["T3.1", "T3.11"]),
        ({"study": "alpha"}, ["T3.1", "T3.2", "T3.11", "U1", "X1.1"]),
    ],
)
def test_the_filter_leaves_the_claims_that_match_and_can_be_shared(small: Any, fields: dict, ids: list[str]) -> None:
    """By text, verdict and study, all together; the address with the filter shows the same; Clear shows all."""
    for name, value in fields.items():
        put(small, name, value)
    assert shown(small) == ids
    assert small.find_element("css selector", "#filter output").text == f"{len(ids)} of 5 claims"
    address = small.current_url
    assert "#" in address
    small.get("about:blank")
    small.get(address)
    assert shown(small) == ids
    small.find_element("css selector", "#filter [type=reset]").click()
    time.sleep(0.1)
    assert len(shown(small)) == 5 and small.current_url.endswith("#ledger")


def test_the_study_of_a_claim_filters(browser: Any, whole: Path) -> None:
    """Exactly the claims of that study are left, as the committed ledger has them."""
    visit(browser, whole, "#study=gamma")
    ledger = verify.read(ROOT / "results")
    assert shown(browser) == ledger["id"][ledger["study"] == "gamma"].tolist()


ASCENDING = {
    "id": ["T3.1", "T3.2", "T3.11", "U1", "X1.1"],
    "verdict": ["X1.1", "T3.1", "T3.2", "T3.11", "U1"],
    "claim": ["T3.1", "T3.2", "T3.11", "U1", "X1.1"],
    "observed": ["T3.2", "T3.1", "T3.11", "X1.1", "U1"],
    "tolerance": ["T3.1", "U1", "X1.1", "T3.11", "T3.2"],
    "used": ["T3.1", "T3.2", "T3.11", "X1.1", "U1"],
}
DESCENDING = {
    "id": ["X1.1", "U1", "T3.11", "T3.2", "T3.1"],
    "verdict": ["U1", "T3.1", "T3.2", "T3.11", "X1.1"],
    "claim": ["X1.1", "U1", "T3.11", "T3.2", "T3.1"],
    "observed": ["X1.1", "T3.11", "T3.1", "T3.2", "U1"],
    "tolerance": ["T3.2", "T3.11", "T3.1", "U1", "X1.1"],
    "used": ["X1.1", "T3.11", "T3.2", "T3.1", "U1"],
}


@pytest.mark.parametrize("column", ASCENDING)
def test_a_column_sorts_both_ways(small: Any, column: str) -> None:
    """Numbers by size, ids by their parts, what is missing last; with the keyboard, and told to a screen reader."""
    from selenium.webdriver.common.keys import Keys

    cell = head(small, "#claims", column)
    assert cell.get_attribute("aria-sort") == "none"
    button = cell.find_element("css selector", "button")
    button.send_keys(Keys.ENTER)
    assert (shown(small), cell.get_attribute("aria-sort")) == (ASCENDING[column], "ascending")
    button.send_keys(Keys.SPACE)
    assert (shown(small), cell.get_attribute("aria-sort")) == (DESCENDING[column], "descending")
    assert small.current_url.endswith(f"#sort=-{column}")
    assert len(small.find_elements("css selector", "#claims [aria-sort]:not([aria-sort=none])")) == 1


def test_every_column_of_the_committed_ledger_sorts(browser: Any, whole: Path) -> None:
    """Against pandas: the keys of the column, read in the order of the page, never fall, and never rise after."""
    visit(browser, whole)
    ledger = verify.read(ROOT / "results").set_index("id")
    for column in ("predicted", "observed", "tolerance", "study"):
        for sign in (1, -1):
            browser.execute_script("arguments[0].firstElementChild.click()", head(browser, "#claims", column))
            found = ledger.loc[shown(browser), column]
            found = found if sign == 1 else found[::-1]
            assert len(found) == len(ledger) and found.is_monotonic_increasing, (column, sign)


def test_a_table_shows_its_first_rows_then_all_and_sorts_all(small: Any) -> None:
    """The added rows say what the file says, and a sort is one of all the rows."""
    table_ = "#study-alpha .box"
    rows = f"return [...document.querySelector('{table_}').querySelectorAll('tbody tr')].filter((r) => r.offsetHeight)"
    texts = rows + ".map((r) => [...r.cells].map((c) => c.textContent))"
    expected = [[cells.cell(value).text for value in row] for row in table().itertuples(index=False)]
    assert small.execute_script(texts) == expected[:10]
    button = small.find_element("css selector", "#study-alpha .all")
    small.execute_script("arguments[0].click()", button)
    assert small.execute_script(texts) == expected and button.get_attribute("aria-expanded") == "true"
    small.execute_script("arguments[0].click()", button)
    assert small.execute_script(texts) == expected[:10]
    small.execute_script("arguments[0].firstElementChild.click()", head(small, table_, "value"))
    order = [row[2] for row in small.execute_script(texts)]
    assert order[:3] == ["−∞", "-1.2346e5", "1e-7"] and order[-2:] == ["∞", "NaN"] and len(order) == ROWS
    small.execute_script("arguments[0].firstElementChild.click()", head(small, table_, "depth"))
    assert [row[0] for row in small.execute_script(texts)] == [str(n) for n in range(1, ROWS + 1)]
    marked = rows + ".filter((r) => r.className).map((r) => [r.cells[1].textContent, r.className])"
    assert small.execute_script(marked) == [["c1", "doubtful"], ["c0", "failed"]]


def ground(browser: Any, selector: str = "body") -> str:
    """The colour behind an element."""
    return browser.execute_script(f"return getComputedStyle(document.querySelector('{selector}')).backgroundColor")


def test_colours_follow_the_system_and_the_button(small: Any) -> None:
    """Dark where the system is dark, and as chosen after that, also when opened again; figures stay on white."""
    light, dark, white = "rgb(255, 255, 255)", "rgb(20, 23, 26)", "rgb(255, 255, 255)"
    for system, first in (("light", light), ("dark", dark)):
        features = [{"name": "prefers-color-scheme", "value": system}]
        small.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        assert (ground(small), ground(small, ".card")) == (first, white)
        for word, colour in (("light", light), ("dark", dark), ("as the system", first)):
            button = small.find_element("css selector", "#theme")
            button.click()
            assert (button.text, ground(small), ground(small, ".card")) == (f"Colours: {word}", colour, white)
            small.refresh()
            assert ground(small) == colour
    small.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("width", [320, 360, 1280])
@pytest.mark.parametrize("results", ["small", "committed"])
def test_the_page_never_scrolls_sideways(
    browser: Any, written: str, folder: Path, whole: Path, width: int, results: str
) -> None:
    """Also with everything unfolded and figures at full size: what is wide scrolls in its own box."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 1000},
    )
    visit(browser, folder / "results" / "index.html" if results == "small" else whole)
    browser.execute_script(
        "for (const part of document.querySelectorAll('details')) part.open = true;"
        "for (const button of document.querySelectorAll('.enlarge')) button.click()"
    )
    sizes = browser.execute_script(
        "const wide = [...document.querySelectorAll('.box, .card')].filter((b) => b.scrollWidth > b.clientWidth);"
        "return [document.documentElement.scrollWidth, innerWidth, wide.length]"
    )
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert sizes[0] <= sizes[1] == width  # less by a scroll bar
    assert sizes[2] > 0 or (results, width) == ("small", 1280)


def test_on_paper_there_are_no_controls_and_nothing_is_cut(small: Any) -> None:
    """A printed page is light, without filter and buttons, its ledger at full height."""
    small.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    visible = small.execute_script(
        "return [...document.querySelectorAll('.screen, nav')].filter((e) => e.offsetHeight).length"
    )
    heights = small.execute_script("const b = document.querySelector('.tall'); return [b.scrollHeight, b.clientHeight]")
    small.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    assert visible == 0 and heights[0] == heights[1]
