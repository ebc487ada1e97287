"""Writing a data set as tfds does, ArrayRecord, without TensorFlow."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import fcntl
import functools
import hashlib
import io
import itertools
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
import tqdm
from absl import logging
from jaxtyping import UInt8

from fcn_jax.data.classes import VOID
from fcn_jax.data.dataset import INDEX, VERSION, encode_index, index_png
from fcn_jax.data.files import Pair
from fcn_jax.data.labels import LabelReader
from fcn_jax.files import DataError, held, local_path

_SHARD_BYTES = 256 << 20
# In the hidden folder: the data set that gives way, who is at work, and whole
# shards by the digest of what is in them.
_REPLACED, _WHO, _SHARDS = "replaced", "process.txt", "shards"


@dataclasses.dataclass(frozen=True, eq=False)
class DatasetPlan:
  """All that is needed to write a data set; checked before it comes here.

  Attributes:
    name: lower-case letters, digits and underscores.
    splits: for each split its pairs, in record order.
    sizes: for each split (height, width) of each pair, EXIF respected.
    reader: how label files are read.
    class_names: the name of label i at place i.
    palette: RGB of each label.
    record: how it was prepared, see `dataset.Dataset`; of what JSON has.
    digests: for each split the digest of image and label of each pair; without
      them, shards of a killed run are not taken over.
  """

  name: str
  splits: Mapping[str, Sequence[Pair]]
  sizes: Mapping[str, Sequence[tuple[int, int]]]
  reader: LabelReader
  class_names: tuple[str, ...]
  palette: UInt8[np.ndarray, "256 3"]
  record: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  digests: Mapping[str, Sequence[bytes]] = dataclasses.field(
    default_factory=dict
  )

  @functools.cached_property
  def index(self) -> bytes:
    """Ids and sizes as they are stored, see `dataset.encode_index`."""
    ids = {
      split: [pair.image_id for pair in pairs]
      for split, pairs in self.splits.items()
    }
    return encode_index(ids, self.sizes)


class _Ahead:
  """Bytes that another thread makes, handed over once and then forgotten."""

  def __init__(self, future: concurrent.futures.Future):
    self._future = future

  def read(self) -> bytes:
    data, self._future = self._future.result(), None
    return data


class SegmentationBuilder(tfds.core.ShardBasedBuilder, skip_registration=True):
  """A tfds builder for a plan; records keep the plan's order.

  Shard by shard, because tfds' generator-based builder sorts its records in
  memory, and beyond 1 GB by way of TensorFlow's file system.
  """

  VERSION = tfds.core.Version(VERSION)
  # tfds would look for this file by way of importlib_resources, which it uses
  # but does not require.
  code_path = None

  def __init__(self, plan: DatasetPlan, data_dir: pathlib.Path):
    self.name = plan.name
    self._plan = plan
    self._finished = _FinishedShards(data_dir / _SHARDS)
    super().__init__(data_dir=os.fspath(data_dir), file_format="array_record")

  def _info(self) -> tfds.core.DatasetInfo:
    plan = self._plan
    return tfds.core.DatasetInfo(
      builder=self,
      description="Images and class index of each pixel.",
      disable_shuffling=True,
      features=tfds.features.FeaturesDict(
        {
          "image_id": tfds.features.Text(),
          "image": tfds.features.Image(),
          "label": tfds.features.Image(
            shape=(None, None, 1), encoding_format="png", use_colormap=True
          ),
        }
      ),
      metadata=tfds.core.MetadataDict(
        class_names=list(plan.class_names),
        palette=plan.palette.tolist(),
        void=VOID,
        index=hashlib.sha256(plan.index).hexdigest(),
        record=dict(plan.record),
      ),
    )

  def _shard_iterators_per_split(self, dl_manager):
    del dl_manager
    return {
      split: self._shards_of(split, pairs)
      for split, pairs in self._plan.splits.items()
    }

  def _shards_of(self, split: str, pairs: Sequence[Pair]) -> list["_Shard"]:
    shards = [
      _Shard(split, shard, self._plan.reader) for shard in _shards(pairs)
    ]
    if not self._plan.digests:
      return shards
    digests = iter(self._plan.digests[split])
    template = self._get_filename_template(split)
    for i, shard in enumerate(shards):
      place = template.sharded_filepath(shard_index=i, num_shards=len(shards))
      key = _digest(shard.pairs, digests)
      shard.is_finished = self._finished.expect(place.name, key)
    return shards

  def _example_writer(self):
    return self._finished


def _digest(pairs: Sequence[Pair], digests: Iterator[bytes]) -> str:
  """SHA-256 of what a shard of these pairs holds."""
  whole = hashlib.sha256(f"{VERSION} {tfds.__version__}".encode())
  for pair, digest in zip(pairs, digests, strict=False):
    whole.update(f"{len(pair.image_id)} {pair.image_id}".encode() + digest)
  return whole.hexdigest()


class _FinishedShards(tfds.core.writer.ExampleWriter):
  """Writes shards, and keeps a second name of each that is whole."""

  def __init__(self, folder: pathlib.Path):
    super().__init__(tfds.core.FileFormat.ARRAY_RECORD)
    self._folder = folder
    self._keys: dict[str, str] = {}  # by the name of the shard's file

  def expect(self, name: str, key: str) -> bool:
    """Whether the shard is there, from a run that was killed."""
    self._keys[name] = key
    return (self._folder / key).exists()

  def write(self, path, examples):
    key = self._keys.get(os.path.basename(path))
    if key is None:
      return super().write(path, examples)
    kept = self._folder / key
    if kept.exists():
      os.link(kept, path)
      return None
    super().write(path, examples)
    with contextlib.suppress(OSError):  # a file system without links
      self._folder.mkdir(exist_ok=True)
      os.link(path, kept)


@dataclasses.dataclass
class _Shard:
  split: str
  pairs: Sequence[Pair]
  reader: LabelReader
  is_finished: bool = False  # then tfds only counts what is yielded

  def __call__(self) -> Iterator[tuple[int, dict]]:
    if self.is_finished:
      yield from ((key, {}) for key in range(len(self.pairs)))
      return
    bar = tqdm.tqdm(self.pairs, f"writing {self.split}", unit=" images")
    threads = os.cpu_count() or 1
    pool = concurrent.futures.ThreadPoolExecutor(threads)
    try:
      to_come = iter(self.pairs)
      made = collections.deque(
        self._submit(pool, pair)
        for pair in itertools.islice(to_come, 2 * threads)
      )
      for key, pair in enumerate(bar):
        image, label = made.popleft()
        # tfds keeps what is yielded until the shard is done: hand over objects
        # that it reads when it encodes them, not bytes.
        yield key, {"image_id": pair.image_id, "image": image, "label": label}
        made.extend(
          self._submit(pool, pair) for pair in itertools.islice(to_come, 1)
        )
    finally:
      pool.shutdown(cancel_futures=True)

  def _submit(self, pool, pair: Pair) -> tuple[_Ahead, _Ahead]:
    """The image and the label of a pair, to be read by a thread."""
    return (
      _Ahead(pool.submit(pair.image.read)),
      _Ahead(pool.submit(index_png, pair.label, self.reader)),
    )


def _shards(pairs: Sequence[Pair]) -> list[list[Pair]]:
  """Stretches of about _SHARD_BYTES of image files, at least one."""
  shards, filled = [[]], 0
  for pair in pairs:
    size = pair.image.bytes_on_disk()
    if shards[-1] and filled + size > _SHARD_BYTES:
      shards.append([])
      filled = 0
    shards[-1].append(pair)
    filled += size
  return shards


def check_name(
  name: str, data_dir: str | os.PathLike, overwrite: bool = False
) -> None:
  """Refuses a name that tfds cannot read, or that is taken.

  Raises:
    DataError: either of them.
  """
  if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
    raise DataError(
      f"--name={name!r}: use lower-case letters, digits and underscores, "
      "beginning with a letter"
    )
  target = local_path(data_dir) / name / VERSION
  if target.exists() and not overwrite:
    raise DataError(
      f"{target} exists already; give another --name, or --overwrite to "
      "replace it"
    )


def write_dataset(
  plan: DatasetPlan, data_dir: str | os.PathLike, overwrite: bool = False
) -> pathlib.Path:
  """Writes data_dir/NAME/1.0.0, whole or not at all.

  It is built in a hidden folder of data_dir and renamed when complete; with
  `overwrite`, an older one gives way only then.

  Returns:
    The folder written.

  Raises:
    DataError: the name is taken or unfit.
  """
  check_name(plan.name, data_dir, overwrite)
  root = local_path(data_dir)
  new = not root.exists()
  root.mkdir(parents=True, exist_ok=True)
  target = root / plan.name / VERSION
  with contextlib.ExitStack() as stack:
    beside = stack.enter_context(_own_folder(root, plan.name))
    try:
      with _quiet_tfds():
        SegmentationBuilder(plan, beside).download_and_prepare(
          download_dir=beside / "downloads"
        )
      made = beside / plan.name / VERSION
      (made / INDEX).write_bytes(plan.index)
      target.parent.mkdir(exist_ok=True)
      if overwrite and target.exists():
        target.rename(beside / _REPLACED)
      made.rename(target)
    except BaseException:
      _put_back(beside, target)
      if target.parent.exists() and not any(target.parent.iterdir()):
        target.parent.rmdir()
      raise
    finally:
      shutil.rmtree(beside, ignore_errors=True)
      if new and not any(root.iterdir()):
        root.rmdir()
  return target


@contextlib.contextmanager
def _own_folder(root: pathlib.Path, name: str) -> Iterator[pathlib.Path]:
  """A hidden folder that is locked as long as this process writes to it.

  What killed processes have left of this name is removed, after the data set
  that one of them was replacing is put back, and but for whole shards.

  Raises:
    DataError: another process is writing a data set of this name.
  """
  refusal = (
    f"is preparing {name!r} in {root}; wait for it, or give another --name"
  )
  with _locked(root):
    left = sorted(root.glob(f".{name}_incomplete_*"))
    beside = tempfile.mkdtemp(prefix=f".{name}_incomplete_", dir=root)
    beside = pathlib.Path(beside)
    kept = contextlib.ExitStack()
    try:
      kept.enter_context(held(beside / _WHO, refusal))
      for old in left:
        with held(old / _WHO, refusal):
          _put_back(old, root / name / VERSION)
          if (old / _SHARDS).exists() and not (beside / _SHARDS).exists():
            (old / _SHARDS).rename(beside / _SHARDS)
          shutil.rmtree(old, ignore_errors=True)
    except BaseException:
      kept.close()
      shutil.rmtree(beside, ignore_errors=True)
      raise
  with kept:
    yield beside


@contextlib.contextmanager
def _locked(folder: pathlib.Path) -> Iterator[None]:
  """Waits for a folder's lock, which the kernel takes back from the dead."""
  number = os.open(folder, os.O_RDONLY)
  try:
    fcntl.flock(number, fcntl.LOCK_EX)
    yield
  finally:
    os.close(number)


def _put_back(beside: pathlib.Path, target: pathlib.Path) -> None:
  """Undoes the replacing of a data set that did not come to its end."""
  if (beside / _REPLACED).exists() and not target.exists():
    target.parent.mkdir(exist_ok=True)
    (beside / _REPLACED).rename(target)


@contextlib.contextmanager
def _quiet_tfds():
  """tfds speaks of downloads and shuffling that do not take place."""
  tfds.disable_progress_bar()
  verbosity = logging.get_verbosity()
  logging.set_verbosity(logging.WARNING)
  try:
    with contextlib.redirect_stdout(io.StringIO()):
      yield
  finally:
    logging.set_verbosity(verbosity)
    tfds.enable_progress_bar()
