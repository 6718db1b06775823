"""A headless Chromium that a test drives, by chromedriver's WebDriver protocol. Standard library only."""
import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request

from harness import ROOT, clean_env, wait_for

ARTIFACTS = os.path.join(ROOT, "build", "test-artifacts")


class Browser:
    """One window. `phone`: 390 pixels wide."""

    def __init__(self, phone=False, seconds=120):
        self.folder = tempfile.mkdtemp(prefix="volley-browser-")
        self.seconds = seconds
        self.log_path = os.path.join(self.folder, "driver.log")
        self.log_file = open(self.log_path, "ab")
        self.p = subprocess.Popen(["chromedriver", "--port=0"], stdin=subprocess.DEVNULL, stdout=self.log_file, stderr=self.log_file, env=clean_env({"HOME": self.folder, "XDG_CONFIG_HOME": self.folder, "XDG_CACHE_HOME": self.folder}))
        self.session = None
        try:
            found = wait_for(lambda: "chromedriver to start: " + self.log(), lambda: re.search(r"started successfully on port (\d+)", self.log()), 120)
            self.base = "http://127.0.0.1:%s" % found.group(1)
            options = {"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--no-proxy-server", "--hide-scrollbars", "--window-size=1280,1000", "--user-data-dir=" + os.path.join(self.folder, "profile")]}
            if phone:
                options["mobileEmulation"] = {"deviceMetrics": {"width": 390, "height": 844, "pixelRatio": 1}}
            answer = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}})
            self.session = "/session/" + answer["sessionId"]
        except BaseException:
            self.stop()
            raise

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self.seconds) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as e:
            raise AssertionError("%s %s: %s" % (method, path, e.read().decode(errors="replace")[:2000]))

    def open(self, url):
        self.ask("POST", self.session + "/url", {"url": url})

    def url(self):
        return self.ask("GET", self.session + "/url")

    def run(self, script, *args):
        """What a function body returns in the page."""
        return self.ask("POST", self.session + "/execute/sync", {"script": script, "args": list(args)})

    def text(self, css):
        return self.run("const e = document.querySelector(arguments[0]); return e && e.textContent", css)

    def find(self, css):
        found = self.ask("POST", self.session + "/element", {"using": "css selector", "value": css})
        return self.session + "/element/" + next(iter(found.values()))

    def click(self, css):
        self.ask("POST", self.find(css) + "/click", {})

    def type(self, css, text):
        self.ask("POST", self.find(css) + "/value", {"text": text})

    def cdp(self, command, **params):
        return self.ask("POST", self.session + "/goog/cdp/execute", {"cmd": command, "params": params})

    def width(self, pixels):
        self.cdp("Emulation.setDeviceMetricsOverride", width=pixels, height=900, deviceScaleFactor=1, mobile=pixels < 500)

    def dark(self, on=True):
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if on else "light"}])

    def screenshot(self, name):
        """The whole page, kept in build/test-artifacts."""
        os.makedirs(ARTIFACTS, exist_ok=True)
        data = self.cdp("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path = os.path.join(ARTIFACTS, name)
        with open(path, "wb") as f:
            f.write(base64.b64decode(data))
        return path

    def stop(self):
        try:
            if self.session:
                self.ask("DELETE", self.session)
        except (AssertionError, OSError):
            pass
        if self.p.poll() is None:
            self.p.terminate()
            try:
                self.p.wait(20)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()
        self.log_file.close()
        shutil.rmtree(self.folder, ignore_errors=True)
