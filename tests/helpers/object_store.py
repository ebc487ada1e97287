"""An object store in memory, under a scheme that epath takes to fsspec."""

import contextlib
from collections.abc import Iterator

import fsspec
from etils.epath import backend
from fsspec.implementations.memory import MemoryFileSystem


class Store(MemoryFileSystem):
  """Paths are BUCKET/KEY, as s3fs has them."""

  protocol = ("s3",)
  store: dict = {}  # noqa: RUF012
  pseudo_dirs = [""]  # noqa: RUF012
  cachable = False

  @classmethod
  def _strip_protocol(cls, path):
    return super()._strip_protocol(path.removeprefix("s3://"))

  def glob(self, path, **options):
    return [found.lstrip("/") for found in super().glob(path, **options)]

  def info(self, path, **options):
    found = super().info(path, **options)
    if found["type"] == "file":
      found["mtime"] = self.modified(path)
    return found

  def _open(self, path, mode="rb", **options):
    if "a" in mode or "+" in mode:
      raise NotImplementedError("nothing is added to an object")
    return super()._open(path, mode, **options)


@contextlib.contextmanager
def store() -> Iterator[dict]:
  """s3://... lies in the dict, by '/BUCKET/KEY'."""
  before = fsspec.registry.get("s3")
  fsspec.register_implementation("s3", Store, clobber=True)
  backend.fsspec_backend._get_filesystem.cache_clear()
  Store.store.clear()
  Store.pseudo_dirs[:] = [""]
  yield Store.store
  backend.fsspec_backend._get_filesystem.cache_clear()
  if before is not None:
    fsspec.register_implementation("s3", before, clobber=True)
