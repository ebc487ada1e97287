from fcn_jax.data.findings import Finding, report, verdict


def test_ten_of_a_kind_then_a_count():
  many = [Finding("odd", f"{i}.png", "value", "remedy") for i in range(13)]
  one = Finding("rare", "x.png", "7", "mend it")
  soft = Finding("soft", "y.png", "8", "look", warning=True)
  lines = report([soft, *many, one]).splitlines()
  assert lines[0] == "error: odd (13)"
  assert lines[1] == "  0.png: value; remedy"
  assert lines[10] == "  9.png: value; remedy"
  assert lines[11] == "  ... and 3 more of this kind"
  assert lines[12:] == [
    "error: rare (1)",
    "  x.png: 7; mend it",
    "warning: soft (1)",
    "  y.png: 8; look",
  ]


def test_verdict_counts_both():
  one = Finding("a", "f", "v", "r")
  doubt = Finding("a", "f", "v", "r", warning=True)
  assert verdict([]) == "no errors, no warnings"
  assert verdict([one, doubt, doubt]) == "1 error, 2 warnings"
