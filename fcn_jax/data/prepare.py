"""From the user's files to a data set: find, check, write, tell."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from fcn_jax.data import exports, layouts
from fcn_jax.data.checks import Facts, check_splits
from fcn_jax.data.classes import VOID, shared_palette, voc_palette
from fcn_jax.data.dataset import default_data_dir
from fcn_jax.data.files import Pair
from fcn_jax.data.findings import Finding, report
from fcn_jax.data.formats import FORMATS, Format
from fcn_jax.data.formats.base import Found, flag
from fcn_jax.data.formats.voc_tree import Tree
from fcn_jax.data.labels import LabelReader
from fcn_jax.data.looks import Looks, looks_of
from fcn_jax.data.readings import as_told
from fcn_jax.data.statistics import summarize
from fcn_jax.files import DataError, check_writable


@dataclasses.dataclass(frozen=True, kw_only=True)
class Output(layouts.Exporting):
  """What is written, and where: flags of scripts/prepare_dataset.py."""

  name: str | None = flag(
    None, "what to call the data set; voc: default voc2012 or the like"
  )
  data_dir: str | None = flag(
    None, "folder of data sets; default: as tfds, $TFDS_DATA_DIR"
  )
  overwrite: bool = flag(False, "replace a data set of that name, once done")
  skip: str | None = flag(
    None,
    "leave out what is reported: some of void, unlabelled, unreadable, by "
    "commas",
  )
  export_crops: str | None = flag(
    None, "voc: also write crops of annotated objects there"
  )
  crop_context: float = flag(
    0.1, "share of a box's side added at each of its ends"
  )
  export_only: bool = flag(
    False, "write what --export and --export_crops say, and no data set"
  )


def _from_options(
  format_name: str, options: Mapping[str, Any]
) -> tuple[Format, Output]:
  """The format and the output that options by name stand for."""
  if format_name not in FORMATS:
    raise DataError(f"no format {format_name!r}; there is {', '.join(FORMATS)}")
  kind = FORMATS[format_name]
  of_source, of_output = (
    [field.name for field in dataclasses.fields(x)] for x in (kind, Output)
  )
  if strange := [key for key in options if key not in of_source + of_output]:
    raise DataError(
      f"{format_name} has no option {', '.join(strange)}; there is "
      f"{', '.join(of_source + of_output)}"
    )
  source = {key: options[key] for key in of_source if key in options}
  output = {key: options[key] for key in of_output if key in options}
  return kind(**source), Output(**output)


def prepare_dataset(
  source: Format | str,
  output: Output = Output(),
  say: Callable[[str], None] = print,
  **options: Any,
) -> pathlib.Path | None:
  """Checks the user's files, then writes the data set and what else is asked.

  Args:
    source: where the files are; or the name of a format, 'voc' or 'folder'.
    output: what is written.
    say: takes the lines meant for the user.
    **options: with the name of a format: fields of that format and of `Output`,
      which are the flags of scripts/prepare_dataset.py.

  Returns:
    The folder written; None with export_only.

  Raises:
    DataError: flags that do not fit together, or findings (all of them in the
      message). Nothing has been written then.
  """
  if isinstance(source, str):
    source, output = _from_options(source, options)
  elif options:
    raise DataError(f"{', '.join(options)}: options go with a format's name")
  name = output.name or source.name
  skipped_kinds = _kinds(output.skip)
  if name:  # before files are looked at, which takes long
    _check_output(output, name)
  if source.busy:
    say(source.busy)
  found = as_told(source, source.find())
  name = name or found.name
  _check_output(output, name)
  say(found.summary())
  how = (found.reader, len(found.class_names), sorted(found.decided))
  with looks_of(name or "unnamed", *how) as looks:
    return _checked_and_written(
      dataclasses.replace(output, name=name), found, looks, skipped_kinds, say
    )


def _checked_and_written(
  output: Output,
  found: Found,
  looks: Looks | None,
  skipped_kinds: Collection[str],
  say: Callable[[str], None],
) -> pathlib.Path | None:
  """What `prepare_dataset` does with what was found."""
  # It needs tfds, which takes longer to import than --help may.
  from fcn_jax.data import builder

  name, names, reader = output.name, found.class_names, found.reader
  facts, findings = check_splits(
    found.splits, reader, names, found.decided, looks
  )
  findings = [*found.findings, *findings]
  crops = {}
  if output.export_crops:
    crops, problems = _crops(found.tree, output.crop_context)
    findings += problems
  findings, skipped = _skipped(findings, skipped_kinds)
  errors = sum(not finding.warning for finding in findings)
  if errors:
    raise DataError(
      f"{report(findings)}\n{errors} errors; nothing was written. Mend the "
      f"files and run the command again{_skip_hint(findings)}."
    )
  splits = {
    split: [pair for pair in pairs if pair in facts]
    for split, pairs in found.splits.items()
  }
  for split, pairs in splits.items():
    if not pairs:
      raise DataError(
        f"{report(findings)}\n{split}: no image is left; nothing was written"
      )
  if findings:
    say(report(findings))
  palette, said = _palette(facts, reader, names)
  if said:
    say(said)
  unique = unique_ids(splits)
  own_ids = splits if output.export == "folders" else unique
  laid_out = output.files(layouts.Content(own_ids, reader, names, palette))
  if laid_out:
    exports.check_exports(output.export_to, laid_out)
  if crops:
    exports.check_exports(output.export_crops, crops)
  written = []
  if laid_out:
    exports.write_exports(output.export_to, laid_out)
    written.append(f"{output.export}: {output.export_to}")
  if crops:
    exports.write_exports(output.export_crops, crops)
    written.append(f"crops: {output.export_crops} ({len(crops)})")
  target = None
  if not output.export_only:
    sizes = {
      split: [facts[pair].size for pair in pairs]
      for split, pairs in splits.items()
    }
    record = {
      **found.record,
      "digests": {
        split: _digest(facts[pair] for pair in pairs)
        for split, pairs in splits.items()
      },
      "skipped": [[f.kind, f.file, f.value] for f in skipped],
    }
    looked_at = {
      split: [facts[pair].digest + facts[pair].label_digest for pair in pairs]
      for split, pairs in splits.items()
    }
    plan = builder.DatasetPlan(
      name, unique, sizes, reader, names, palette, record, looked_at
    )
    target = builder.write_dataset(plan, _data_dir(output), output.overwrite)
    written.append(f"data set: {name} in {target}")
  say("\n" + summarize(splits, facts, names) + "\n")
  say("\n".join(written))
  return target


# What --skip leaves out: kinds of findings by its words.
_SKIPPED = {
  "void": ("label that is all void",),
  "unlabelled": (
    "image without label",
    "label without image",
    "listed file that is missing",
  ),
  "unreadable": ("unreadable image", "unreadable label"),
}


def _kinds(skip: str | None) -> frozenset[str]:
  words = [word.strip() for word in (skip or "").split(",") if word.strip()]
  odd = [word for word in words if word not in _SKIPPED]
  if odd:
    raise DataError(
      f"--skip={skip}: {odd[0]!r} is none of {', '.join(_SKIPPED)}"
    )
  return frozenset(kind for word in words for kind in _SKIPPED[word])


def _skipped(
  findings: Sequence[Finding], kinds: Collection[str]
) -> tuple[list[Finding], list[Finding]]:
  """All findings, those of these kinds as warnings; and the latter alone."""
  told, left_out = [], []
  for finding in findings:
    if finding.kind in kinds and not finding.warning:
      finding = dataclasses.replace(
        finding, warning=True, remedy="left out, as --skip says"
      )
      left_out.append(finding)
    told.append(finding)
  return told, left_out


def _skip_hint(findings: Sequence[Finding]) -> str:
  errors = {finding.kind for finding in findings if not finding.warning}
  words = [w for w, kinds in _SKIPPED.items() if errors & set(kinds)]
  if not words:
    return ""
  rest = "" if errors <= {k for w in words for k in _SKIPPED[w]} else " of them"
  return f", or leave out those{rest} with --skip={','.join(words)}"


def unique_ids(
  splits: Mapping[str, Sequence[Pair]],
) -> dict[str, list[Pair]]:
  """Pairs whose ids name one image in all splits.

  Where an id stands for two images in two splits, ids of these splits begin
  with the name of the split: 'train/0001' and 'val/0001'.
  """
  first: dict[str, tuple[str, Pair]] = {}
  clashing: set[str] = set()
  for split, pairs in splits.items():
    for pair in pairs:
      other, known = first.setdefault(pair.image_id, (split, pair))
      if known != pair:
        clashing |= {other, split}
  return {
    split: [
      dataclasses.replace(pair, image_id=f"{split}/{pair.image_id}")
      for pair in pairs
    ]
    if split in clashing
    else list(pairs)
    for split, pairs in splits.items()
  }


def _digest(facts: Iterable[Facts]) -> str:
  """SHA-256 over the images and labels of a split, in order."""
  whole = hashlib.sha256()
  for fact in facts:
    whole.update(fact.digest)
    whole.update(fact.label_digest)
  return whole.hexdigest()


def _check_output(output: Output, name: str | None) -> None:
  """Refuses output that cannot be written, before files are looked at."""
  from fcn_jax.data import builder

  if output.export_only:
    if not (output.export or output.export_crops):
      raise DataError("--export_only: give --export or --export_crops")
  elif not name:
    raise DataError("give the data set a name with --name")
  else:
    builder.check_name(name, _data_dir(output), output.overwrite)
  output.check()
  folders = [output.export_crops]
  if not output.export_only:
    folders.append(_data_dir(output))
  for folder in filter(None, folders):
    check_writable(folder, folder=True)


def _data_dir(output: Output) -> str:
  return output.data_dir or default_data_dir()


def _crops(
  tree: Tree | None, context: float
) -> tuple[exports.Exports, list[Finding]]:
  if tree is None:
    raise DataError("--export_crops goes with --dataset=voc")
  return exports.crop_exports(tree, context)


def _palette(
  facts: Mapping[Pair, Facts], reader: LabelReader, names: Sequence[str]
) -> tuple[UInt8[np.ndarray, "256 3"], str]:
  """The colour map's colours, else the label files', else VOC's."""
  if reader.color_map is not None:
    palette = voc_palette()
    palette[: len(names)] = reader.color_map.colors
    if reader.color_map.void is not None:
      palette[VOID] = reader.color_map.void
    return palette, ""
  paletted = [fact for fact in facts.values() if fact.palette is not None]
  palette = shared_palette(
    ((fact.palette, fact.counts) for fact in paletted), len(names)
  )
  if palette is not None:
    return palette, ""
  if paletted:
    return voc_palette(), (
      "the palettes of the label files differ, or do not tell classes apart: "
      "results will be shown in VOC's colours"
    )
  return voc_palette(), ""
