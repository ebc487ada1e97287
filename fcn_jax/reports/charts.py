"""Charts as SVG in a page, and as PNG.

Strokes and text of the SVG have the colour of the text around it, series have
the page's --series-N: both follow light and dark. Series differ in marker and
line style beside colour.
"""

import contextlib
import dataclasses
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from markupsafe import Markup

_INK = "#1b1c1e"
# Okabe and Ito, "Color Universal Design" (2008), without yellow and black.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_MARKERS = "osD^vPX*"
_LINES = ("-", "--", "-.", ":")
_MOST_MARKERS = 12  # of a curve


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
  """One curve: its name in the legend, and its points; NaN leaves a gap."""

  name: str
  x: Float[np.ndarray, " n"] | Int[np.ndarray, " n"]
  y: Float[np.ndarray, " n"] | Int[np.ndarray, " n"]


@dataclasses.dataclass(frozen=True, eq=False)
class Chart:
  """A drawing of matplotlib.

  Attributes:
    figure: a matplotlib.figure.Figure, made without pyplot.
  """

  figure: Any

  def svg(self, prefix: str) -> Markup:
    """An SVG element for a page.

    Args:
      prefix: begins the id of each part; of two charts in a page each has its
        own. The same figure and prefix give the same text.
    """
    stream = io.StringIO()
    with _style():
      self.figure.savefig(
        stream,
        format="svg",
        transparent=True,
        metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
      )
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r'(href="|url\()#', rf"\1#{prefix}-", text)
    # The page's own font and colours.
    text = re.sub(r"font-family:[^;\"]*", "font-family: inherit", text)
    text = re.sub(r"(font: [^;\"]*?\d+px )[^;\"]*", r"\1system-ui", text)
    text = text.replace(_INK, "currentColor")
    for number, color in enumerate(COLORS, 1):
      text = text.replace(color, f"var(--series-{number}, {color})")
    return Markup(text)

  def png(self, dots_per_inch: int = 150) -> bytes:
    """A PNG file on white."""
    stream = io.BytesIO()
    with _style():
      self.figure.savefig(
        stream, format="png", dpi=dots_per_inch, facecolor="white"
      )
    return stream.getvalue()


def curves(
  series: Sequence[Series],
  x: str,
  y: str,
  *,
  baseline: tuple[str, float] | None = None,
  limits: tuple[float, float] | None = None,
  log: bool = False,
) -> Chart:
  """Curves over a common axis.

  Args:
    series: at most len(COLORS) look well.
    x, y: what the axes show, with units.
    baseline: name and height of a horizontal line.
    limits: of the y axis; None: what the values need.
    log: whether the y axis is logarithmic.
  """
  with _axes(x, y) as (figure, axes):
    for number, one in enumerate(series):
      axes.plot(
        one.x,
        one.y,
        label=one.name,
        color=COLORS[number % len(COLORS)],
        linestyle=_LINES[number % len(_LINES)],
        marker=_MARKERS[number % len(_MARKERS)],
        markevery=max(1, -(-len(one.x) // _MOST_MARKERS)),
        markersize=4.5,
        linewidth=1.6,
      )
    if baseline:
      name, height = baseline
      axes.axhline(
        height, label=name, color=_INK, linestyle=(0, (1, 2)), linewidth=1.2
      )
    if log:
      axes.set_yscale("log")
      _plain_numbers(axes.yaxis)
    if limits:
      axes.set_ylim(*limits)
    if len(series) + bool(baseline) > 1:
      _legend(figure, axes)
  return Chart(figure)


def bars(
  names: Sequence[str],
  values: Sequence[float],
  x: str,
  *,
  intervals: Float[np.ndarray, "n 2"] | None = None,
  baseline: tuple[str, float] | None = None,
  limits: tuple[float, float] | None = None,
) -> Chart:
  """A horizontal bar with its number for each name, from top to bottom.

  Args:
    names: of the bars.
    values: their lengths; NaN is said to be none.
    x: what the lengths are, with units.
    intervals: lower and upper end of the whisker of each bar.
    baseline: name and place of a vertical line.
    limits: of the lengths; None: what the values need.
  """
  height = 1.0 + 0.26 * len(names)
  with _axes(x, "", height) as (figure, axes):
    places = np.arange(len(names))
    lengths = np.nan_to_num(np.asarray(values, float))
    axes.barh(places, lengths, height=0.7, color=COLORS[0])
    ends = lengths
    if intervals is not None:
      low, high = intervals.T
      ends = np.fmax(lengths, high)
      axes.errorbar(
        (low + high) / 2,
        places,
        xerr=(high - low) / 2,
        fmt="none",
        ecolor=_INK,
        elinewidth=1.2,
        capsize=3,
      )
    for place, end, value in zip(places, ends, values, strict=True):
      axes.annotate(
        "none" if np.isnan(value) else f"{value:.4g}",
        (end, place),
        (3, 0),
        textcoords="offset points",
        va="center",
        fontsize=9,
      )
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    if not limits:
      axes.margins(x=0.12)
    if baseline:
      name, place = baseline
      axes.axvline(
        place, label=name, color=_INK, linestyle=(0, (1, 2)), linewidth=1.2
      )
      _legend(figure, axes)
    if limits:
      axes.set_xlim(*limits)
  return Chart(figure)


def histogram(
  edges: Float[np.ndarray, " n_plus_1"] | Int[np.ndarray, " n_plus_1"],
  counts: Int[np.ndarray, " n"] | Float[np.ndarray, " n"],
  x: str,
  y: str,
  *,
  log: bool = False,
) -> Chart:
  """Counts between edges, as of numpy.histogram.

  Args:
    edges: one more than counts, rising.
    counts: of the values between one edge and the next.
    x, y: what the axes show, with units.
    log: whether the x axis is logarithmic.
  """
  with _axes(x, y) as (figure, axes):
    axes.bar(
      edges[:-1],
      counts,
      width=np.diff(edges),
      align="edge",
      color=COLORS[0],
      edgecolor=_INK,
      linewidth=0.5,
    )
    axes.grid(False, axis="x")
    if log:
      axes.set_xscale("log")
      _plain_numbers(axes.xaxis)
  return Chart(figure)


def sizes(
  sizes: Int[np.ndarray, "n 2"],
  counts: Int[np.ndarray, " n"],
  frames: Sequence[tuple[str, tuple[int, int]]],
) -> Chart:
  """Different sizes as discs, and frames that hold them.

  Args:
    sizes: (height, width) in pixels.
    counts: how often each occurs; the area of its disc grows with it.
    frames: name and (height, width) of each.
  """
  with _axes("width, pixels", "height, pixels", 4.2) as (figure, axes):
    axes.scatter(
      sizes[:, 1],
      sizes[:, 0],
      # Of one image a disc of 4 points, of the commonest one of 30.
      s=16 + 884 * (counts - 1) / max(counts.max() - 1, 1),
      color=COLORS[0],
      alpha=0.45,
      linewidths=0.8,
      edgecolors=COLORS[0],
      clip_on=False,
      zorder=3,
    )
    for number, (name, (height, width)) in enumerate(frames):
      axes.plot(
        [width, width, 0],
        [0, height, height],
        label=name,
        color=COLORS[(number + 1) % len(COLORS)],
        linestyle=_LINES[number % len(_LINES)],
        linewidth=1.8,
        zorder=4,
        clip_on=False,
      )
    whole = np.concatenate([sizes, [size for _, size in frames]]).max(0)
    axes.set_xlim(0, 1.06 * whole[1])
    axes.set_ylim(0, 1.06 * whole[0])
    _legend(figure, axes)
  return Chart(figure)


@contextlib.contextmanager
def _axes(x: str, y: str, height: float = 3.2) -> Iterator[tuple]:
  """A figure 6.4 inches wide and its axes, in the style of all charts."""
  with _style():
    # Loading matplotlib takes half a second, and most runs draw nothing.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color=_INK, alpha=0.15, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    yield figure, axes


def _plain_numbers(axis) -> None:
  """0.01 at a logarithmic axis, in place of a formula."""
  from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

  low, high = sorted(axis.get_view_interval())
  axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
  if high < 100 * low:  # else the powers of ten are enough
    axis.set_minor_locator(LogLocator(subs=(2, 5)))
    axis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
  else:
    axis.set_minor_formatter(NullFormatter())


def _legend(figure, axes) -> None:
  """Above the axes, where it covers no curve."""
  handles, labels = axes.get_legend_handles_labels()
  figure.legend(
    handles,
    labels,
    loc="outside upper left",
    ncols=2 if len(labels) == 4 else min(3, len(labels)),
    frameon=False,
    handlelength=3.2,
  )


@contextlib.contextmanager
def _style() -> Iterator[None]:
  """What matplotlib reads while it draws, and again while it saves."""
  import matplotlib

  settings = {
    "font.size": 10,
    "text.color": _INK,
    "text.parse_math": False,  # class names may hold a dollar
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "fcn_jax",
  }
  with matplotlib.rc_context(settings), warnings.catch_warnings():
    # matplotlib's font lacks letters that the reader's has.
    warnings.filterwarnings("ignore", r"Glyph .* missing from font")
    yield
