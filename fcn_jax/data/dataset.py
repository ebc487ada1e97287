"""Reading what prepare_dataset wrote, from any process, without TensorFlow.

tfds is imported where records are read: that takes a while, and neither --help
nor a prediction needs it.
"""

import dataclasses
import functools
import hashlib
import io
import os
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int32, UInt8

from fcn_jax import files
from fcn_jax.data.augment import Augmentation
from fcn_jax.data.files import File, Pair
from fcn_jax.data.images import decode_image, decode_label, encode_label
from fcn_jax.data.labels import LabelReader
from fcn_jax.files import DataError, one_line

VERSION = "1.0.0"
# In the folder of a data set: ids and sizes of its images.
INDEX = "index.npz"


@dataclasses.dataclass(frozen=True)
class Example:
  """One record.

  Attributes:
    image_id: the stem of the image file.
    image: the original file, byte for byte (see decode_image).
    label: an index PNG, single channel (see decode_label).
  """

  image_id: str
  image: bytes
  label: bytes


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
  """A prepared data set.

  Attributes:
    name: the name it was prepared under.
    directory: where its records lie.
    class_names: the name of label i at place i.
    palette: RGB of each label, void's at 255.
    void: the label of pixels that count for nothing, 255.
    square: of a data set whose label is one pixel an image: what puts an image
      on the square that a classifier sees (see class_folders); else None.
    record: how it was prepared: a digest of each split ('digests'), 'exif' and
      'value_range' as given, and what was left out ('skipped').
  """

  name: str
  directory: str
  class_names: tuple[str, ...]
  palette: UInt8[np.ndarray, "256 3"] = dataclasses.field(repr=False)
  void: int
  _ids: dict[str, tuple[str, ...]] = dataclasses.field(repr=False)
  _sizes: dict[str, Int32[np.ndarray, "n 2"]] = dataclasses.field(repr=False)
  square: Augmentation | None = dataclasses.field(default=None, repr=False)
  record: Mapping[str, Any] = dataclasses.field(
    default_factory=dict, repr=False
  )

  @property
  def decided(self) -> Collection[str]:
    """What was settled of its images when it was prepared, see formats.Found.

    Empty for a data set of a version that did not ask.
    """
    known = ("exif", "grey_range", "color_range")
    return frozenset(known if self.record else ())

  @property
  def value_range(self) -> tuple[int, int] | None:
    """Values of 16-bit grey that became 0 and 65535; None: as they were."""
    found = self.record.get("value_range")
    return found and tuple(found)

  def digest(self, split: str) -> str | None:
    """SHA-256 over images and labels; None: of a version that made none."""
    self._known(split)
    return self.record.get("digests", {}).get(split)

  @property
  def splits(self) -> dict[str, int]:
    """Number of images per split."""
    return {split: len(ids) for split, ids in self._ids.items()}

  def ids(self, split: str) -> tuple[str, ...]:
    """Image ids in record order."""
    return self._ids[self._known(split)]

  def sizes(self, split: str) -> Int32[np.ndarray, "n 2"]:
    """Height and width of each image in record order, EXIF respected.

    They come from the data set's metadata; nothing is decoded.
    """
    return self._sizes[self._known(split)].copy()

  def label_sizes(self, split: str) -> Int32[np.ndarray, "n 2"]:
    """Height and width of each label: those of its image, or one pixel."""
    sizes = self.sizes(split)
    return np.ones_like(sizes) if self.square else sizes

  def example(
    self, split: str, index: int
  ) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"]]:
    """One decoded image, RGB, and its label: class ids, 255 = void."""
    record = self.source(split)[index]
    image = decode_image(record.image, record.image_id)
    return image, decode_label(record.label)

  def source(self, split: str) -> "Source":
    """The records of a split, in random access."""
    return Source(self.directory, split, self.ids(split))

  def _known(self, split: str) -> str:
    if split not in self._ids:
      raise DataError(
        f"{self.name}: no split {split!r}; it has {', '.join(self._ids)}"
      )
    return split


class Source(Sequence):
  """Records of one split: len(source), source[i] -> Example.

  What cannot be read, and a record of another id than stated, is a DataError.
  It holds a path and opens the files when first read, so it can be sent to
  another process.
  """

  def __init__(self, directory: str, split: str, ids: Sequence[str]):
    self.directory, self.split, self._ids = directory, split, ids

  @functools.cached_property
  def _records(self):
    import tensorflow_datasets as tfds

    skip = tfds.decode.SkipDecoding()
    try:
      return tfds.builder_from_directory(self.directory).as_data_source(
        self.split, decoders={"image": skip, "label": skip}
      )
    except Exception as error:  # of many kinds
      raise _damaged(
        self.directory, f"records of {self.split}", error
      ) from None

  def __len__(self) -> int:
    return len(self._records)

  def __getitem__(self, index: int) -> Example:
    if not -len(self) <= index < len(self):
      raise IndexError(f"record {index} of {len(self)}")
    index = int(index) % len(self)
    records = self._records
    try:
      record = records[index]
      example = Example(
        _text(record["image_id"]),
        bytes(record["image"]),
        bytes(record["label"]),
      )
    except Exception as error:  # of many kinds
      what = f"record {index} of {self.split}"
      raise _damaged(self.directory, what, error) from None
    if example.image_id != self._ids[index]:
      raise _damaged(
        self.directory,
        f"record {index} of {self.split}",
        f"it is of {example.image_id!r}, and should be of {self._ids[index]!r}",
      )
    return example

  def __getstate__(self):
    kept = vars(self).copy()
    kept.pop("_records", None)
    return kept


@dataclasses.dataclass(frozen=True, eq=False)
class FilesDataset(Dataset):
  """A user's files as a data set of one split, read as they are.

  Attributes:
    files: the pairs, as sound as checks.check_splits wants them.
    reader: how their labels are read.
  """

  files: tuple[Pair, ...] = dataclasses.field(default=(), repr=False)
  reader: LabelReader = dataclasses.field(default_factory=LabelReader)

  def source(self, split: str) -> "FileSource":
    """Images and labels of the split, in random access."""
    self._known(split)
    return FileSource(self.files, self.reader)


@dataclasses.dataclass(frozen=True)
class FileSource(Sequence):
  """Pairs of files as records."""

  files: tuple[Pair, ...]
  reader: LabelReader

  def __len__(self) -> int:
    return len(self.files)

  def __getitem__(self, index: int) -> Example:
    pair = self.files[index]
    label = index_png(pair.label, self.reader)
    return Example(pair.image_id, pair.image.read(), label)


def index_png(label: File, reader: LabelReader) -> bytes:
  """A label file as it is stored: a PNG of the class index of each pixel."""
  raw = reader.read(label.read(), label.name)
  return encode_label(raw.index.astype(np.uint8))


def _damaged(
  directory: str | files.AnyPath, what: str, error: Exception | str
) -> DataError:
  why = one_line(error) if isinstance(error, Exception) else error
  why = why.replace("; ", ", ")  # behind it stands the remedy
  return DataError(
    f"{directory}: {what} cannot be read [{why}]; fetch the data set's files "
    "again, or prepare it anew"
  )


def default_data_dir() -> str:
  """tfds' own: $TFDS_DATA_DIR, else ~/tensorflow_datasets."""
  return os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"


def load_dataset(name: str, data_dir: str | None = None) -> Dataset:
  """The data set that prepare_dataset wrote under `name`.

  Args:
    name: as given to prepare_dataset with --name.
    data_dir: as given with --data_dir; None: default_data_dir().

  Raises:
    DataError: no such data set (the message lists those there are), one that
      something else wrote, or one whose metadata are damaged.
  """
  if name != pathlib.PurePath(name).name:
    raise DataError(
      f"data set {name!r}: that is a path; give its last part as the name, and "
      "the folder it lies in with --data_dir (of a config: data.data_dir)"
    )
  root = files.path(data_dir or default_data_dir())
  directory = root / name / VERSION
  if not name or not (directory / "dataset_info.json").is_file():
    there = ", ".join(available_datasets(root)) or "none"
    raise DataError(
      f"no data set {name!r} in {root} (there: {there}); prepare it with "
      "scripts/prepare_dataset.py, or give the folder with --data_dir"
    )
  metadata, images = _read_metadata(directory)
  if "index" in metadata:
    metadata |= _read_index(directory, metadata["index"])
  try:
    found = Dataset(
      name=name,
      directory=str(directory),
      class_names=tuple(metadata["class_names"]),
      palette=np.array(metadata["palette"], np.uint8),
      void=metadata["void"],
      _ids={split: tuple(ids) for split, ids in metadata["ids"].items()},
      _sizes={
        split: np.array(sizes, np.int32).reshape(-1, 2)
        for split, sizes in metadata["sizes"].items()
      },
      record=metadata.get("record", {}),
    )
  except KeyError as error:
    raise DataError(
      f"{directory}: its metadata has no {error}, so prepare_dataset did not "
      "write it; prepare the data under another --name"
    ) from None
  except (ValueError, TypeError, AttributeError, OverflowError) as error:
    raise _damaged(directory, "metadata.json", error) from None
  _check_counts(found, images)
  return found


def _read_metadata(
  directory: files.AnyPath,
) -> tuple[dict[str, Any], dict[str, int]]:
  """metadata.json, and the number of records of each split in the shards.

  Raises:
    DataError: what describes the data set cannot be read.
  """
  import tensorflow_datasets as tfds

  try:
    info = tfds.builder_from_directory(directory).info
    images = {name: split.num_examples for name, split in info.splits.items()}
    return dict(info.metadata or {}), images
  except Exception as error:  # of many kinds
    what = "dataset_info.json, features.json or metadata.json"
    raise _damaged(directory, what, error) from None


def encode_index(
  ids: Mapping[str, Sequence[str]],
  sizes: Mapping[str, Sequence[tuple[int, int]]],
) -> bytes:
  """Ids and sizes of the images of each split, as an .npz.

  Of a million images it is read in a tenth of the time that JSON takes. Ids
  are UTF-8 with a NUL, which no file name has, between one and the next.
  """
  arrays = {}
  for split, names in ids.items():
    joined = "\0".join(names).encode("utf-8", "surrogateescape")
    arrays[f"{split}/ids"] = np.frombuffer(joined, np.uint8)
    arrays[f"{split}/sizes"] = np.array(sizes[split], np.int32).reshape(-1, 2)
  stream = io.BytesIO()
  np.savez(stream, **arrays)
  return stream.getvalue()


def _read_index(directory: files.AnyPath, digest: str) -> dict[str, Any]:
  """'ids' and 'sizes' as metadata.json had them before there was an index.

  Raises:
    DataError: it cannot be read, or is not the one that was written.
  """
  try:
    data = (directory / INDEX).read_bytes()
  except OSError as error:
    raise _damaged(directory, INDEX, error) from None
  if hashlib.sha256(data).hexdigest() != digest:
    raise _damaged(directory, INDEX, "it is not the one of metadata.json")
  ids, sizes = {}, {}
  with np.load(io.BytesIO(data)) as arrays:
    for name in arrays:
      split, kind = name.rsplit("/", 1)
      if kind == "sizes":
        sizes[split] = arrays[name]
      else:
        joined = arrays[name].tobytes().decode("utf-8", "surrogateescape")
        ids[split] = joined.split("\0") if joined else []
  return {"ids": ids, "sizes": sizes}


def _check_counts(dataset: Dataset, images: Mapping[str, int]) -> None:
  """Raises DataError: metadata.json is not of these records."""
  for split in sorted({*images, *dataset.splits}):
    ids = dataset.splits.get(split, 0)
    sizes = len(dataset._sizes.get(split, ()))
    if not ids == sizes == images.get(split, 0):
      raise _damaged(
        dataset.directory,
        "metadata.json",
        f"{split} has {images.get(split, 0)} records, {ids} ids and {sizes} "
        "sizes",
      )
    if sizes and dataset.sizes(split).min() < 1:
      raise _damaged(
        dataset.directory, "metadata.json", f"{split} has a size below 1"
      )


def available_datasets(data_dir: str | os.PathLike) -> list[str]:
  """Names of the data sets in a folder, sorted."""
  found = files.path(data_dir).glob(f"*/{VERSION}/dataset_info.json")
  return sorted(
    path.parent.parent.name
    for path in found
    if not path.parent.parent.name.startswith(".")
  )


def _text(value: str | bytes) -> str:
  return value.decode() if isinstance(value, bytes) else value


@dataclasses.dataclass(frozen=True)
class RecordFile(File):
  """The image or the label of a record; its path is the data set's folder.

  Attributes:
    source: records of the split, each an Example.
    index: of the record.
    kind: 'image' or 'label'.
  """

  source: Sequence = dataclasses.field(default=(), compare=False, repr=False)
  index: int = 0
  kind: str = "image"

  def read(self) -> bytes:
    return getattr(self.source[self.index], self.kind)


def pairs(dataset: Dataset, split: str) -> list[Pair]:
  """The records of a split, named 'val/ID' and 'val/ID (label)'.

  Raises:
    DataError: no such split.
  """
  source = dataset.source(split)
  return [
    Pair(
      image_id,
      *(
        RecordFile(
          f"{split}/{image_id}{suffix}",
          dataset.directory,
          source=source,
          index=index,
          kind=kind,
        )
        for kind, suffix in (("image", ""), ("label", " (label)"))
      ),
    )
    for index, image_id in enumerate(dataset.ids(split))
  ]
