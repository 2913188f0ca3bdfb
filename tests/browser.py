"""A headless Chromium for tests: Debian's package, told by Playwright what to do."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

REQUIRE = "MIDCOURSE_TEST_BROWSER"
"""`require` fails where Chromium is absent, in place of a skip."""
ABSENT = "Chromium is not installed (Debian's package chromium)"


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, until the block ends."""
    program = shutil.which("chromium")
    if program is None:
        if os.environ.get(REQUIRE) == "require":
            pytest.fail(ABSENT)
        pytest.skip(ABSENT)
    with sync_playwright() as playwright:
        # As root, as in a container, Chromium's own sandbox cannot start.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


class Watched:
    """A page with all that a person would not want to see of it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        """Errors and warnings of the console, uncaught errors, and requests for anything outside
        the file."""
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("request", lambda request: self._requested(request.url))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))

    def _heard(self, message: object) -> None:
        kind, text = getattr(message, "type", ""), getattr(message, "text", "")
        if kind in ("error", "warning"):
            self.complaints.append(f"{kind}: {text}")

    def _requested(self, url: str) -> None:
        if not url.startswith(("file:", "data:")):
            self.complaints.append(f"request: {url}")
