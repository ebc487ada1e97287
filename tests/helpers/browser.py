"""Pages in a headless Chromium that has no network.

  def test_a_page(open_page, tmp_path):
    write_something(tmp_path / "page.html")
    page = open_page(tmp_path / "page.html", browser.PHONE, dark=True)
    page.get_by_label("Opacity").fill("30")
    assert browser.pixels(page, "canvas")[0, 0].tolist() == [...]

`page` has the methods of Playwright's synchronous Page. An error or a warning
in the console, and any request but for the file itself, fail the test. Where
there is no Chromium, tests that ask for `open_page` are skipped.

The environment variable CHROMIUM names another browser than the one found.
"""

import base64
import concurrent.futures
import os
import pathlib
import shutil

import numpy as np
import pytest

LAPTOP = (1366, 768)
PHONE = (390, 844)

_NAMES = ("chromium", "chromium-browser", "google-chrome")


class _Elsewhere:
  """Playwright's objects, used in a thread of their own.

  Their event loop runs for good in the thread that uses them, and libraries
  that start a loop of their own, as Orbax, could not do so there.
  """

  def __init__(self, thread: concurrent.futures.Executor, inner):
    self._thread, self._inner = thread, inner

  def __getattr__(self, name):
    return _wrapped(
      self._thread,
      self._thread.submit(getattr, self._inner, name).result(),
    )

  def __call__(self, *args, **kwargs):
    args = [_unwrapped(a) for a in args]
    kwargs = {name: _unwrapped(a) for name, a in kwargs.items()}
    job = self._thread.submit(self._inner, *args, **kwargs)
    return _wrapped(self._thread, job.result())


def _wrapped(thread, value):
  if isinstance(value, list):
    return [_wrapped(thread, v) for v in value]
  ours = type(value).__module__.startswith("playwright.")
  return _Elsewhere(thread, value) if ours or callable(value) else value


def _unwrapped(value):
  return value._inner if isinstance(value, _Elsewhere) else value


def find_chromium() -> str | None:
  names = (os.environ.get("CHROMIUM"), *_NAMES)
  return next(filter(None, (shutil.which(n) for n in names if n)), None)


@pytest.fixture(scope="session")
def chromium():
  """The browser, one for all tests of a process."""
  executable = find_chromium()
  if not executable:
    pytest.skip("needs Chromium: apt-get install chromium")
  from playwright import sync_api

  with concurrent.futures.ThreadPoolExecutor(1) as thread:
    playwright = _Elsewhere(thread, sync_api.sync_playwright().start)()
    browser = playwright.chromium.launch(
      executable_path=executable,
      # In a container Chromium has neither its sandbox nor much /dev/shm.
      args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
    )
    yield browser
    browser.close()
    playwright.stop()


@pytest.fixture
def open_page(chromium):
  """open_page(path, size=LAPTOP, dark=False, touch=False) -> a Page."""
  contexts, faults = [], []

  def noted(kind, text):
    return lambda event: faults.append(f"{kind}: {text(event)}")

  def asked(request):
    if not request.url.startswith(("file:", "data:", "blob:")):
      faults.append(f"asked for {request.url}")

  def said(message):
    if message.type in ("error", "warning"):
      faults.append(f"console: {message.text}")

  def open_page(
    path: str | os.PathLike,
    size: tuple[int, int] = LAPTOP,
    dark: bool = False,
    touch: bool = False,
  ):
    context = chromium.new_context(
      offline=True,
      viewport={"width": size[0], "height": size[1]},
      color_scheme="dark" if dark else "light",
      reduced_motion="reduce",
      has_touch=touch,
    )
    contexts.append(context)
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.on("console", said)
    page.on("pageerror", noted("error", str))
    page.on("request", asked)
    page.on("requestfailed", noted("failed", lambda request: request.url))
    page.goto(pathlib.Path(path).absolute().as_uri())
    return page

  yield open_page
  for context in contexts:
    context.close()
  assert not faults


def pixels(page, selector: str = "canvas") -> np.ndarray:
  """RGBA of a canvas, uint8 [height, width, 4].

  Colours under an alpha below 255 are exact to 1 / alpha only, as the browser
  keeps them multiplied by it.
  """
  width, height, data = page.evaluate(
    """selector => {
      // A copy: the page's own canvas need not be made for reading.
      const {width, height} = document.querySelector(selector);
      const copy = new OffscreenCanvas(width, height)
        .getContext("2d", {willReadFrequently: true});
      copy.drawImage(document.querySelector(selector), 0, 0);
      const {data} = copy.getImageData(0, 0, width, height);
      let text = "";
      for (const byte of data) text += String.fromCharCode(byte);
      return [width, height, btoa(text)];
    }""",
    selector,
  )
  values = np.frombuffer(base64.b64decode(data), np.uint8)
  return values.reshape(height, width, 4)


def scrolls_sideways(page) -> bool:
  """Whether the page is wider than its window, which no page should be."""
  return page.evaluate(
    "document.documentElement.scrollWidth > window.innerWidth"
  )


def screenshot(page, path: str | os.PathLike, whole: bool = True) -> None:
  """Writes what is seen as a PNG; whole: of all that can be scrolled to."""
  page.screenshot(path=os.fspath(path), full_page=whole)
