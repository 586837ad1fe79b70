"""Somebody before lbd's status page: drive.py CHROMEDRIVER DIRECTORY PAGE SCENE [ARGUMENT].

CHROMEDRIVER is the URL of one that runs, DIRECTORY is for the browser's files, PAGE is the URL of the page. Prints "loaded"
as soon as the page shows what lbd says, and whatever the test waits for. A SCENE is a function below.
"""

import json
import os
import shutil
import signal
import sys
import time
import traceback
import urllib.parse
import urllib.request
from contextlib import suppress

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.chromium.remote_connection import ChromiumRemoteConnection
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

# Markup as names and reasons may have it. An image that is none would be asked for, and its failure would run a script.
MARKUP = "<img src=x onerror=alert(1)>"
TOKEN = "correct-horse-battery"


class Page:
    def __init__(self, driver, url):
        self.driver, self.url = driver, url

    def load(self):
        self.driver.get(self.url)
        self.until("lbd is asked", lambda: self.verdict() != ["unknown"])

    # What is seen.

    def __getitem__(self, css):
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def all(self, css):
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def text(self, css):
        return self[css].text

    def texts(self, css):
        return [element.text for element in self.all(css)]

    def attribute(self, css, name):
        return self[css].get_attribute(name)

    def verdict(self):
        """Its classes."""
        return self.attribute("#verdict", "class").split()

    def js(self, expression):
        return self.driver.execute_script(f"return {expression}")

    def server(self, address):
        """The CSS of its row."""
        return f'.server[data-key="{address}"]'

    def state(self, address):
        return self.text(f"{self.server(address)} .state")

    def devtools(self, command, **parameters):
        return self.driver.execute("executeCdpCommand", {"cmd": command, "params": parameters})["value"]

    # What is waited for.

    def until(self, what, holds, seconds=10):
        ignored = [StaleElementReferenceException]
        wait = WebDriverWait(self.driver, seconds, poll_frequency=0.02, ignored_exceptions=ignored)
        return wait.until(lambda _: holds(), what)

    def until_well(self):
        self.until("all is well", lambda: self.text("#verdict-word") == "All is well")

    def until_state(self, address, state):
        self.until(f"{address} is {state}", lambda: self.state(address) == state)

    def until_seen_anew(self, times=2):
        """The page has asked lbd and drawn what it said: by default once from now on, and what was asked before now."""
        for _ in range(times):
            asked = "performance.getEntriesByType('resource').filter((e) => e.name.includes('/events')).length"
            before = self.js(asked)
            self.until("lbd is asked again", lambda: self.js(asked) > before)

    # What is done.

    def unlock(self, token):
        self["#unlock"].click()
        self["#token-value"].send_keys(token)
        self["#token button"].click()
        self.until("there are buttons", lambda: self["#pools .orders"].is_displayed())

    def order(self, address, state):
        self[f'{self.server(address)} button[data-state="{state}"]'].click()

    def api(self, path, method="GET", body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {TOKEN}"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def servers(self):
        """How lbd itself says its servers are."""
        pools = self.api("api/v1/status")["pools"]
        return {server["server"]: server["state"] for pool in pools for server in pool["servers"]}


# === what is seen ===


def what_is_there_is_seen(page):
    assert page.text("#verdict-word") == "All is well", page.text("#verdict")
    assert "good" in page.verdict()
    assert page.driver.title == "lbd · " + urllib.parse.urlsplit(page.url).netloc, page.driver.title
    assert page.texts(".server .name") == list(page.servers()), page.texts(".server .name")
    assert page.texts(".server .state") == ["up", "up"], page.texts(".server .state")
    assert page.text(".pool h3 .live") == "2 of 2 live", page.text(".pool h3")
    routes = [cells.split()[:3] for cells in page.texts("#routes tbody tr")]
    assert routes == [["/", "pool", "app"], ["=", "/busy", "answer"]], routes
    assert page.texts("#listeners tbody tr td:first-child") == ["public"], page.text("#listeners")
    assert len(page.all("#charts svg")) == 4


def a_server_goes_and_comes_back(page, pid):
    """`pid` is the second server's."""
    server = list(page.servers())[1]
    killed = time.monotonic()
    os.kill(int(pid), signal.SIGKILL)
    page.until_state(server, "out")
    took = time.monotonic() - killed
    assert took < 2, f"{took:.2f} s"
    assert page.text("#verdict-word") == "Something is wrong", page.text("#verdict")
    assert "bad" in page.verdict()
    reasons = page.text("#verdict-reasons")
    assert reasons.startswith(f"app · {server} is out — ") and "refused" in reasons, reasons
    assert page.driver.title.startswith("! "), page.driver.title
    why = page.text(f"{page.server(server)} .why")
    assert "refused" in why, why
    assert page.text(".pool h3 .live") == "1 of 2 live", page.text(".pool h3")
    print(f"out after {took:.2f} s", flush=True)
    page.until_well()
    assert page.state(server) == "up", page.state(server)
    assert not page.driver.title.startswith("! "), page.driver.title


def nothing_comes_from_elsewhere(page):
    page.until_seen_anew()
    loaded = page.js("performance.getEntries().map((entry) => entry.name).filter((name) => name.includes(':'))")
    parts = {urllib.parse.urlsplit(name).path for name in loaded if name.startswith(page.url)}
    assert parts == {"/", "/page.css", "/page.js", "/api/v1/status", "/api/v1/events"}, parts
    elsewhere = [name for name in loaded if not name.startswith((page.url, "data:"))]
    assert not elsewhere, elsewhere
    # Violations of its policy, what it did not find, what it threw.
    log = page.driver.get_log("browser")
    assert not log, log


def markup_is_text(page):
    """There are a pool and a route with it in their names."""
    server = list(page.servers())[0]
    page.api(f"api/v1/pools/{urllib.parse.quote(MARKUP)}/servers/{server}", "PATCH", {"state": "drain"})
    page.until("the order is seen", lambda: MARKUP in page.text("#verdict-reasons"))
    assert MARKUP in page.texts(".pool h3 .name"), page.text("#pools")
    assert f"~ ^/{MARKUP}" in page.text("#routes"), page.text("#routes")
    assert MARKUP in page.text("#events li:first-child"), page.text("#events")
    assert page.js("document.images.length") == 0


def newest_come_first(page):
    for state in ["drain", "up"]:
        for server in page.servers():
            page.api(f"api/v1/pools/app/servers/{server}", "PATCH", {"state": state})
    known = page.api("api/v1/events")["events"]
    page.until("all events are seen", lambda: len(page.all("#events time")) == len(known))
    texts = page.texts("#events li span")
    assert texts == [event["text"] for event in reversed(known)], texts


def events_come_once(page):
    """Each answer takes longer than the page waits until it looks again."""
    page.devtools("Network.enable")
    slow = {"offline": False, "latency": 1200, "downloadThroughput": -1, "uploadThroughput": -1}
    page.devtools("Network.emulateNetworkConditions", **slow)
    page.api(f"api/v1/pools/app/servers/{list(page.servers())[0]}", "PATCH", {"state": "drain"})
    page.until("the event is seen", lambda: " drains" in page.text("#events"))
    page.until_seen_anew(times=1)
    texts = page.texts("#events li span")
    known = [event["text"] for event in page.api("api/v1/events")["events"]]
    assert texts == known[::-1], texts


def what_is_selected_stays_so(page):
    for css in [".server .name", "#routes td"]:
        page.driver.execute_script("getSelection().selectAllChildren(document.querySelector(arguments[0]))", css)
        page.until_seen_anew()
        selected = page.js("getSelection().toString()")
        assert selected, css


def it_fits_a_telephone(page, pid):
    page.devtools("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=3, mobile=True)
    page.unlock(TOKEN)
    os.kill(int(pid), signal.SIGKILL)
    page.until("a server is out", lambda: page.all(".server.bad"))
    page.driver.execute_script("document.getElementById('token').hidden = false")
    # The browser makes the window larger where the page does not fit.
    sizes = page.js("[document.documentElement.scrollWidth, window.innerWidth]")
    assert sizes == [360, 360], sizes
    # Tables may be scrolled by themselves.
    wide = page.js(
        "[...document.querySelectorAll('body *')]"
        ".filter((e) => !e.closest('table') && e.getBoundingClientRect().right > 360).map((e) => e.outerHTML)"
    )
    assert not wide, wide


# === what the one before it likes ===


def it_is_dark(page):
    def back():
        return page.js("getComputedStyle(document.body).backgroundColor")

    def brightness():
        return sum(int(part) for part in back().removeprefix("rgb(").removesuffix(")").split(","))

    for scheme, is_right in [("dark", lambda: brightness() < 150), ("light", lambda: brightness() > 600)]:
        page.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        page.load()
        assert is_right(), (scheme, back())
    # Whoever presses the button wants it so, whatever the browser says.
    page["#theme"].click()
    page.load()
    assert brightness() < 150, back()


def it_is_chinese(page):
    """The browser's language is Chinese."""

    def is_chinese():
        return (page.text("#verdict-word"), page.js("document.documentElement.lang")) == ("一切正常", "zh-CN")

    def is_english():
        return (page.text("#verdict-word"), page.js("document.documentElement.lang")) == ("All is well", "en")

    assert is_chinese(), page.text("#verdict")
    assert page.texts(".server .state") == ["在线", "在线"], page.texts(".server .state")
    for is_right in [is_english, is_chinese, is_english]:
        page["#language"].click()
        assert is_right(), page.text("#verdict")
        page.load()
        assert is_right(), page.text("#verdict")


# === what is done ===


def nobody_orders_without_a_token(page):
    assert not any(button.is_displayed() for button in page.all(".orders button, #reload"))
    page.unlock(TOKEN)
    assert [button.text for button in page.all(".server:first-child .orders button")] == ["Up", "Drain", "Down"]
    assert page["#reload"].is_displayed()
    page["#unlock"].click()
    assert not any(button.is_displayed() for button in page.all(".orders button, #reload"))


def a_server_is_drained(page):
    one, other = page.servers()
    page.unlock(TOKEN)
    page.order(one, "drain")
    page.until_state(one, "drains")
    assert page.servers() == {one: "drain", other: "up"}, page.servers()
    assert page.text("#verdict-word") == "Have a look", page.text("#verdict")
    assert one in page.text("#events li:first-child"), page.text("#events")
    page.order(one, "up")
    page.until_well()
    assert page.servers() == {one: "up", other: "up"}, page.servers()


def a_wrong_token_changes_nothing(page):
    before = page.servers()
    page.unlock("wrong-horse-battery")
    page.order(list(before)[0], "drain")
    page.until("it says so", lambda: "The token is not right" in page.text("#answer"))
    page.until_seen_anew()
    assert page.servers() == before, page.servers()
    assert page.text("#verdict-word") == "All is well", page.text("#verdict")


def down_asks_first(page):
    one, other = page.servers()
    page.unlock(TOKEN)
    page.order(one, "down")
    question = page.driver.switch_to.alert
    assert question.text == f"Send nothing more to {one} of pool app?", question.text
    question.dismiss()
    page.until_seen_anew()
    assert page.servers() == {one: "up", other: "up"}, page.servers()
    page.order(one, "down")
    page.driver.switch_to.alert.accept()
    page.until_state(one, "down")
    assert page.servers() == {one: "down", other: "up"}, page.servers()


def it_asks_for_its_token(page):
    """Nobody may so much as read without it."""
    assert page["#token"].is_displayed()
    assert page.text("#verdict-word") not in ["All is well", "lbd does not answer"], page.text("#verdict")
    page["#token-value"].send_keys(TOKEN)
    page["#token button"].click()
    page.until_well()


# === lbd itself ===


def lbd_ends(page):
    page.until("it does not answer", lambda: page.text("#verdict-word") == "lbd does not answer")
    assert "bad" in page.verdict()
    assert page.driver.title.startswith("! "), page.driver.title
    # What is shown is old, and it says so.
    assert page.text("#verdict-reasons").startswith("since "), page.text("#verdict")


def lbd_hangs(page, pid):
    """`pid` is lbd's."""
    stopped = time.monotonic()
    os.kill(int(pid), signal.SIGSTOP)
    page.until("it does not answer", lambda: page.text("#verdict-word") == "lbd does not answer")
    took = time.monotonic() - stopped
    assert took < 6, f"{took:.2f} s"
    os.kill(int(pid), signal.SIGCONT)
    page.until_well()


def browser(chromedriver, directory, scene):
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    language = "zh-CN" if scene == "it_is_chinese" else "en-GB"
    for argument in [
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "no-proxy-server",
        "window-size=1280,1000",
        # It ends with the driver, however that ends.
        "remote-debugging-pipe",
        f"user-data-dir={directory}/profile",
        f"lang={language}",
        f"accept-lang={language}",
    ]:
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # Who opens a question answers it.
    options.unhandled_prompt_behavior = "ignore"
    # It knows of commands to DevTools, too.
    return webdriver.Remote(ChromiumRemoteConnection(chromedriver, "goog", "chrome"), options=options)


def main(chromedriver, directory, url, scene, *arguments):
    driver = browser(chromedriver, directory, scene)
    try:
        page = Page(driver, url)
        page.load()
        print("loaded", flush=True)
        globals()[scene](page, *arguments)
    except Exception:
        traceback.print_exc()
        with suppress(WebDriverException):
            print(page.text("body"), driver.get_log("browser"), sep="\n", file=sys.stderr)
        sys.exit(1)
    finally:
        driver.quit()


main(*sys.argv[1:])
