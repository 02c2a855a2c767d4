"""Open a page of `--html` in Chromium, use it, and print what was seen as JSON.

Run by the interpreter of the host `selenium`: `browser.py PAGE CHROMIUM CHROMEDRIVER QUERY`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

_SEEN = """
const text = (id) => document.getElementById(id).innerText.trim();
const tiles = [...document.querySelectorAll("#map .tile")];
return {
  title: document.title,
  heading: text("title"),
  crumbs: text("crumbs"),
  status: text("status"),
  tiles: tiles.length,
  hits: document.querySelectorAll("#map .hit").length,
  labels: tiles.map((tile) => tile.getAttribute("aria-label")),
  kinds: [...new Set(tiles.flatMap((tile) => [...tile.classList]))],
  inside: tiles.every((tile) => {
    const outer = document.getElementById("map").getBoundingClientRect();
    const inner = tile.getBoundingClientRect();
    return inner.left >= outer.left - 1 && inner.right <= outer.right + 1
      && inner.top >= outer.top - 1 && inner.bottom <= outer.bottom + 1;
  }),
  stops: tiles.filter((tile) => tile.tabIndex === 0).length,
  focus: document.activeElement.getAttribute("aria-label"),
  list: [...document.querySelectorAll("#list tbody tr")].map((row) => row.innerText),
  packages: [...document.querySelectorAll("#packages tbody tr")].map((row) => row.innerText),
  sorted: [...document.querySelectorAll("#packages th")].map((each) => each.ariaSort),
  nameless: [...document.querySelectorAll("button, input, select")].filter((each) =>
    !(each.innerText || each.getAttribute("aria-label") || each.labels?.length)).length,
  broken: window.broken ?? null,
  fetched: performance.getEntriesByType("resource").length,
  scripts: document.scripts.length,
  images: document.images.length,
};
"""

_TIMES = """
const search = document.getElementById("search"), tile = () => document.querySelector("#map .tile");
function time(act) {
  const begin = performance.now();
  act();
  tile().getBoundingClientRect();  // so that the layout is part of it
  return performance.now() - begin;
}
return {
  open: performance.getEntriesByType("navigation")[0].loadEventEnd,
  search: time(() => { search.value = arguments[0]; search.dispatchEvent(new Event("input")); }),
  clear: time(() => { search.value = ""; search.dispatchEvent(new Event("input")); }),
  zoom: time(() => tile().click()),
};
"""
"""What a person waits for, in milliseconds."""


def main() -> None:
    """Use the page as a person would, with the mouse and with the keyboard."""
    page, chromium, chromedriver, query = sys.argv[1:]
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for each in ("headless=new", "no-sandbox", "disable-gpu", "window-size=1280,1000"):
        options.add_argument(f"--{each}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    try:
        driver.get(Path(page).resolve().as_uri())
        seen = {"opened": driver.execute_script(_SEEN)}
        _use(driver, seen, query)
        driver.refresh()
        seen["milliseconds"] = driver.execute_script(_TIMES, query)
        seen["console"] = [entry["message"] for entry in driver.get_log("browser")]
    finally:
        driver.quit()
    print(json.dumps(seen))  # noqa: T201 - the test reads it


def _use(driver: webdriver.Chrome, seen: dict[str, object], query: str) -> None:
    def look(name: str) -> None:
        seen[name] = driver.execute_script(_SEEN)

    def press(*keys: str) -> None:
        driver.switch_to.active_element.send_keys(*keys)

    largest = driver.find_element(By.CSS_SELECTOR, "#map .tile")
    webdriver.ActionChains(driver).move_to_element_with_offset(
        largest, 0, 8 - largest.size["height"] // 2
    ).click().perform()
    look("clicked")
    driver.execute_script("document.querySelector('#map .tile[tabindex=\"0\"]').focus()")
    press(Keys.ESCAPE)
    look("back")
    press(Keys.ARROW_RIGHT)
    look("right")
    press(Keys.ENTER)
    look("entered")
    press(Keys.BACKSPACE)
    search = driver.find_element(By.ID, "search")
    search.send_keys(query)
    look("found")
    search.clear()
    search.send_keys("no such file")
    look("not found")
    search.clear()
    search.send_keys(Keys.SPACE, Keys.BACKSPACE)
    driver.find_element(By.CSS_SELECTOR, "input[name=measure][value='1']").click()
    look("zipped")
    driver.find_element(By.CSS_SELECTOR, "#packages th button").click()
    look("sorted")
    views = driver.find_element(By.ID, "views")
    if views.is_displayed():
        views.send_keys(Keys.ARROW_DOWN, Keys.ENTER)
        look("chosen")


if __name__ == "__main__":
    main()
