"""fcn_jax.weights.receipt: what became of every tensor, as text and as JSON."""

import json

from fcn_jax.weights.receipt import Receipt, TensorRow

ROWS = (
  TensorRow(
    "conv1[0]", (2, 3, 5, 4), "conv1.kernel", (5, 4, 3, 2), "copied", "to HWIO"
  ),
  TensorRow("conv1[1]", (2,), "conv1.bias", (2,), "copied"),
  TensorRow("fc8[0]", (), "", None, "dropped", "the classifier's"),
  TensorRow("", None, "score_fr.kernel", (1, 1, 2, 3), "initialised", "zero"),
  TensorRow("", None, "score_fr.bias", (3,), "initialised", "zero"),
  TensorRow("", None, "upscore.kernel1d", (63,), "initialised", "bilinear"),
)


def receipt(**changes) -> Receipt:
  given = {
    "source": "a.caffemodel",
    "sha1": "",
    "known_as": "",
    "source_order": "unknown",
    "target_order": "pool_norm",
    "rows": ROWS,
  }
  return Receipt(**given | changes)


def test_the_table_by_hand():
  """Every column is as wide as its widest cell, two blanks between."""
  assert str(receipt()).splitlines() == [
    "source  a.caffemodel",
    "order   source unknown, network pool_norm",
    "source    shape          target            shape          action"
    "       note",
    "conv1[0]  2 x 3 x 5 x 4  conv1.kernel      5 x 4 x 3 x 2  copied"
    "       to HWIO",
    "conv1[1]  2              conv1.bias        2              copied",
    "fc8[0]    scalar         -                 -              dropped"
    "      the classifier's",
    "-         -              score_fr.kernel   1 x 1 x 2 x 3  initialised"
    "  zero",
    "-         -              score_fr.bias     3              initialised"
    "  zero",
    "-         -              upscore.kernel1d  63             initialised"
    "  bilinear",
  ]


def test_layers_that_start_afresh_are_named_once_and_in_order():
  assert receipt().initialised_layers() == ("score_fr", "upscore")
  assert receipt(rows=ROWS[:3]).initialised_layers() == ()


def test_what_is_known_of_the_file_is_said():
  head = str(receipt(sha1="0a1b")).splitlines()[:3]
  assert head[1] == "SHA-1   0a1b (not a file known by name)"
  known = str(receipt(sha1="0a1b", known_as="bvlc_alexnet"))
  assert "SHA-1   0a1b (bvlc_alexnet)\n" in known
  assert "SHA-1" not in str(receipt())


def test_two_orders_are_a_difference_only_where_both_are_known():
  note = "features differ slightly until they are fine-tuned"
  assert note in str(receipt(source_order="norm_pool"))
  assert note not in str(receipt(source_order="pool_norm"))
  assert note not in str(
    receipt(source_order="norm_pool", target_order="unknown")
  )


def test_the_proof_is_the_last_line():
  assert "proof" not in str(receipt())
  proven = str(receipt(proof="holds: fc7"))
  assert proven.splitlines()[-1] == "proof   holds: fc7"
  assert proven.splitlines()[:-1] == str(receipt()).splitlines()


def test_json_holds_everything():
  text = receipt(sha1="0a1b", proof="holds").to_json()
  assert text.endswith("}\n")
  stored = json.loads(text)
  rows = stored.pop("rows")
  assert stored == {
    "source": "a.caffemodel",
    "sha1": "0a1b",
    "known_as": "",
    "source_order": "unknown",
    "target_order": "pool_norm",
    "proof": "holds",
  }
  assert rows[2] == {
    "source": "fc8[0]",
    "source_shape": [],
    "target": "",
    "target_shape": None,
    "action": "dropped",
    "note": "the classifier's",
  }
  assert len(rows) == len(ROWS)
