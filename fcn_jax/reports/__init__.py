"""Self-contained HTML pages: one file, no network, opened from file://.

How to make one. A module of this package, say metrics.py, has a function
`write_metrics(path, ...)` that is given figures and arrays which others
computed, and makes of them what a template of the same name needs:

  page.write(path, "metrics.html.j2", scores=scores, chart=chart, view=view)

templates/metrics.html.j2 extends page.html.j2, and fills the blocks `title`
(text alone: it is also the heading), `lead`, `content` and, where it needs
them, `style` and `script`:

  {% extends "page.html.j2" %}
  {% from "macros/figures.html.j2" import key_figures, chart %}
  {% from "macros/tables.html.j2" import table %}
  {% from "macros/viewer.html.j2" import viewer, script %}
  {% block title %}Scores of {{ name }}{% endblock %}
  {% block content %}
  {{ key_figures([("Mean IoU", scores.mean_iu | score, "val")]) }}
  {{ chart(curve, "Mean IoU rises from 0.1 to 0.48 in 30 epochs") }}
  {{ table("Scores by class", ["Class", "IoU"], rows) }}
  {{ viewer(view) }}
  {% endblock %}
  {% block script %}{{ script() }}{% endblock %}

`{{ }}` escapes all text; a name that was not given is an error. There are the
filters `score`, `percent`, `count` and `color`, and the functions
`inline(file)` (the text of a file in templates/: a page's own script or style
lies there) and `unique(kind)` (an id that no other element of the page has).

* page.py: write(); claim(), which refuses a path before long work begins;
  png() and jpeg(), which make data URIs of arrays.
* charts.py: curves(), bars(), histogram(); only that file knows matplotlib,
  and loads it when the first chart is drawn.
* viewer.py: view(), a photograph with layers of class ids: coloured in the
  browser, with sliders, a legend that lights up and hides classes, and the
  class under the cursor. entries() makes legends, error_layer() an error map.
* templates/macros: legends and swatches (classes), tables, figures, viewer.
* templates/page.css: the look of all pages; its --series-1 .. 6 colour charts.

Tests: the module reports/metrics.py has tests/reports/test_metrics.py. It opens
the page in Chromium through the fixture `open_page` of helpers/browser.py;
helpers/painted.py computes in numpy what a viewer should paint.
"""
