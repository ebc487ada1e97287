"""Reads PyTorch's .pth files without PyTorch, and without running their code.

A .pth file is a pickle, a program that may call anything.  Here its opcodes
are interpreted one by one, and what they may call is a short list: the makers
of dicts, tensors and parameters, each replaced by a description of what it
would make.  Both layouts are read: the zip of PyTorch 1.6 and later, and the
one before, several pickles and then the values.
"""

import math
import mmap
import pathlib
import pickletools
import struct
import zipfile
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fcn_jax.weights.named import from_named
from fcn_jax.weights.source import Source, WeightFileError

_MAGIC = 0x1950A86A20F9469CFC6C  # of the older layout
_PROTOCOL = 1001
_MAX_PICKLE = 2**26  # bytes: names and shapes, not values
_MAX_STEPS = 10_000_000  # a state dict has some 30 a tensor

# Class of a storage: numpy's type, which has no bfloat16.
_STORAGES = {
  "DoubleStorage": "<f8",
  "FloatStorage": "<f4",
  "HalfStorage": "<f2",
  "BFloat16Storage": "bfloat16",
  "LongStorage": "<i8",
  "IntStorage": "<i4",
  "ShortStorage": "<i2",
  "CharStorage": "|i1",
  "ByteStorage": "|u1",
  "BoolStorage": "|b1",
}


class _Refused(Exception):
  """What is wrong with a pickle, without the file's name."""


class _Storage(NamedTuple):
  dtype: str
  key: str
  count: int


class _Tensor(NamedTuple):
  storage: _Storage
  offset: int
  shape: tuple[int, ...]
  stride: tuple[int, ...]


def read_torch(path: pathlib.Path) -> Source:
  """Reads a state dict of torchvision's AlexNet or VGG-16, or by our names.

  Raises:
    WeightFileError: it is damaged, is no state dict, or asks for anything that
      is not needed to make one.
  """
  try:
    read = _read_zip if zipfile.is_zipfile(path) else _read_old
    tensors = read(path)
  except _Refused as refused:
    raise WeightFileError(f"{path}: {refused}") from None
  except (zipfile.BadZipFile, OSError, EOFError, struct.error) as error:
    raise WeightFileError(f"{path}: a damaged .pth file: {error}") from None
  return from_named(tensors, path, "PyTorch")


def _read_zip(path: pathlib.Path) -> dict[str, np.ndarray]:
  with zipfile.ZipFile(path) as archive:
    names = archive.namelist()
    [program, *more] = [n for n in names if n.endswith("/data.pkl")] or [""]
    if not program or more:
      raise _Refused("a zip archive without one data.pkl: no file of PyTorch's")
    root = program.removesuffix("data.pkl")
    if f"{root}constants.pkl" in names:
      raise _Refused(
        "a TorchScript program; save the model's state_dict() instead"
      )
    order = "little"
    if f"{root}byteorder" in names:
      order = _entry(archive, f"{root}byteorder", 16).decode("ascii", "replace")
    if order != "little":
      raise _Refused(f"its byte order is {order!r}; only little is read")
    state = _run(_entry(archive, program, _MAX_PICKLE), has_storages=True)

    def values(storage: _Storage) -> bytes:
      size = storage.count * _item_size(storage.dtype)
      found = _entry(archive, f"{root}data/{storage.key}", size)
      if len(found) != size:
        raise _Refused(
          f"storage {storage.key} has {len(found)} bytes instead of {size}"
        )
      return found

    return _arrays(state, values)


def _entry(archive: zipfile.ZipFile, name: str, largest: int) -> bytes:
  """An entry of an archive, which PyTorch never compresses."""
  try:
    info = archive.getinfo(name)
  except KeyError:
    raise _Refused(f"its archive lacks {name}") from None
  if info.compress_type != zipfile.ZIP_STORED:
    raise _Refused(f"{name} is compressed, as PyTorch never writes it")
  if info.file_size > largest:
    raise _Refused(f"{name} has {info.file_size} bytes; at most {largest}")
  return archive.read(info)


def _read_old(path: pathlib.Path) -> dict[str, np.ndarray]:
  if path.stat().st_size == 0:
    raise _Refused("the file is empty; copy it again")
  with (
    path.open("rb") as file,
    mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
  ):
    if _run(data) != _MAGIC or _run(data) != _PROTOCOL:
      raise _Refused("neither of PyTorch's two layouts")
    system = _run(data)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
      raise _Refused("its byte order is not little")
    state = _run(data, has_storages=True)
    keys = _run(data)
    if not isinstance(keys, list) or len(set(map(str, keys))) != len(keys):
      raise _Refused("its list of storages is damaged")
    declared = {
      tensor.storage.key: tensor.storage for tensor in _tensors(state).values()
    }
    places = {}
    for key in keys:
      storage = declared.get(key)
      if storage is None:
        raise _Refused("it lists a storage of no tensor, of unknown size")
      (count,) = struct.unpack("<q", data.read(8))
      size = count * _item_size(storage.dtype)
      if count != storage.count or size > len(data) - data.tell():
        raise _Refused(
          f"storage {key} claims {count} values, its tensors {storage.count}; "
          f"{len(data) - data.tell()} bytes are left"
        )
      places[key] = (data.tell(), size)
      data.seek(size, 1)

    def values(storage: _Storage) -> bytes:
      if storage.key not in places:
        raise _Refused(f"storage {storage.key} is missing")
      start, size = places[storage.key]
      return data[start : start + size]

    return _arrays(state, values)


def _tensors(state: Any) -> dict[str, _Tensor]:
  """The tensors of a state dict, or of one inside a checkpoint."""
  for key in ("state_dict", "model", "model_state_dict"):
    if isinstance(state, dict) and isinstance(state.get(key), dict):
      state = state[key]
  if not isinstance(state, dict):
    raise _Refused(
      "holds no state dict; save model.state_dict() instead of the model"
    )
  found = {k: v for k, v in state.items() if isinstance(v, _Tensor)}
  if not found or not all(isinstance(name, str) for name in found):
    raise _Refused("its state dict holds no tensors with names")
  return found


def _arrays(
  state: Any, values: Callable[[_Storage], bytes]
) -> dict[str, np.ndarray]:
  """The floating-point tensors of a state dict."""
  found: dict[str, np.ndarray] = {}
  storages: dict[str, _Storage] = {}
  for name, tensor in _tensors(state).items():
    storage = tensor.storage
    if storages.setdefault(storage.key, storage) != storage:
      raise _Refused(f"storage {storage.key} is described in two ways")
    if storage.dtype != "bfloat16" and np.dtype(storage.dtype).kind in "iub":
      continue  # counters
    last = tensor.offset + sum(
      (n - 1) * step
      for n, step in zip(tensor.shape, tensor.stride, strict=True)
    )
    # Storages are shared, but never so that there are more values than stored.
    claimed = math.prod(tensor.shape) + sum(x.size for x in found.values())
    held = sum(other.count for other in storages.values())
    if last >= storage.count or claimed > held:
      raise _Refused(
        f"{name} {tensor.shape} reaches beyond the {storage.count} values of "
        f"storage {storage.key}"
      )
    raw = values(storage)
    if storage.dtype == "bfloat16":
      wide = np.frombuffer(raw, "<u2").astype(np.uint32) << 16
      flat = wide.view(np.float32)
    else:
      flat = np.frombuffer(raw, storage.dtype)
    strides = [step * flat.itemsize for step in tensor.stride]
    view = np.lib.stride_tricks.as_strided(
      flat[tensor.offset :], tensor.shape, strides, writeable=False
    )
    found[name] = np.ascontiguousarray(view)
  return found


def _item_size(dtype: str) -> int:
  return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


# What a pickle may call, and what is made instead.


def _rebuild_tensor(storage, offset, shape, stride, *_) -> _Tensor:
  numbers = (offset, *shape, *stride)
  if (
    not isinstance(storage, _Storage)
    or not isinstance(shape, tuple)
    or not isinstance(stride, tuple)
    or len(shape) != len(stride)
    or not all(isinstance(n, int) and n >= 0 for n in numbers)
    or 0 in shape
  ):
    raise _Refused("a tensor of no valid shape")
  return _Tensor(storage, offset, shape, stride)


def _rebuild_parameter(tensor, *_) -> _Tensor:
  if not isinstance(tensor, _Tensor):
    raise _Refused("a parameter that is no tensor")
  return tensor


def _ordered_dict(*items) -> dict:
  return dict(*items)


_CALLS = {
  ("collections", "OrderedDict"): _ordered_dict,
  ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
  ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
  ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
}


class _Global(NamedTuple):
  module: str
  name: str


def _storage(given: Any) -> _Storage:
  """What a persistent id stands for."""
  if not isinstance(given, tuple) or len(given) not in (5, 6):
    raise _Refused("a reference that is no storage")
  kind, of_type, key, _, count = given[:5]
  if (
    kind != "storage"
    or not isinstance(of_type, _Global)
    or of_type.module != "torch"
    or of_type.name not in _STORAGES
    or not isinstance(key, str)
    or not isinstance(count, int)
    or count < 0
    or given[5:] not in ((), (None,))
  ):
    raise _Refused("a storage of a kind that is not known")
  return _Storage(_STORAGES[of_type.name], key, count)


_MARK = object()
_PUSHED = {  # opcodes that push their argument
  *("BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "BINFLOAT"),
  *("BINUNICODE", "SHORT_BINUNICODE", "UNICODE", "BINSTRING"),
  *("SHORT_BINSTRING", "STRING"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}


def _run(data: Any, has_storages: bool = False) -> Any:
  """What one pickle would make: numbers, strings, lists, dicts, tensors.

  Args:
    data: the pickle's bytes, or an open map of a file, read on from where it
      stands; lengths in it cannot ask for more than is there.
    has_storages: whether it may refer to storages.
  """
  stack: list[Any] = []
  memo: dict[int, Any] = {}
  try:
    for steps, (opcode, argument, _) in enumerate(pickletools.genops(data)):
      if steps > _MAX_STEPS:
        raise _Refused("a pickle of too many steps")
      if opcode.name == "STOP":
        (result,) = stack
        return result
      _step(opcode.name, argument, stack, memo, has_storages)
  except _Refused:
    raise
  except (
    *(ValueError, TypeError, IndexError, KeyError, AttributeError),
    *(RecursionError, OverflowError),
  ) as error:
    raise _Refused(
      f"no pickle that PyTorch wrote, or a damaged one [{error}]"
    ) from None
  raise _Refused("a pickle without an end")


def _step(name, argument, stack, memo, has_storages) -> None:
  """Interprets one opcode."""

  def to_mark() -> list:
    at = max(i for i, item in enumerate(stack) if item is _MARK)
    items = stack[at + 1 :]
    del stack[at:]
    return items

  if name in _PUSHED:
    stack.append(argument)
  elif name in _CONSTANTS:
    stack.append(_CONSTANTS[name])
  else:
    match name:
      case "PROTO" | "FRAME":
        pass
      case "MARK":
        stack.append(_MARK)
      case "EMPTY_DICT":
        stack.append({})
      case "EMPTY_LIST":
        stack.append([])
      case "EMPTY_TUPLE":
        stack.append(())
      case "DICT":
        items = to_mark()
        stack.append(dict(zip(items[::2], items[1::2], strict=True)))
      case "LIST":
        stack.append(to_mark())
      case "TUPLE":
        stack.append(tuple(to_mark()))
      case "TUPLE1" | "TUPLE2" | "TUPLE3":
        size = int(name[-1])
        items = tuple(stack[-size:])
        del stack[-size:]
        stack.append(items)
      case "SETITEM":
        value, key = stack.pop(), stack.pop()
        _as(dict, stack[-1])[key] = value
      case "SETITEMS":
        items = to_mark()
        pairs = zip(items[::2], items[1::2], strict=True)
        _as(dict, stack[-1]).update(pairs)
      case "APPEND":
        item = stack.pop()
        _as(list, stack[-1]).append(item)
      case "APPENDS":
        items = to_mark()
        _as(list, stack[-1]).extend(items)
      case "PUT" | "BINPUT" | "LONG_BINPUT":
        memo[argument] = stack[-1]
      case "MEMOIZE":
        memo[len(memo)] = stack[-1]
      case "GET" | "BINGET" | "LONG_BINGET":
        stack.append(memo[argument])
      case "GLOBAL":
        stack.append(_allowed(*argument.split(" ", 1)))
      case "STACK_GLOBAL":
        attribute, module = stack.pop(), stack.pop()
        stack.append(_allowed(module, attribute))
      case "REDUCE":
        arguments, called = _as(tuple, stack.pop()), stack.pop()
        if called not in _CALLS:
          raise _Refused("calls what is not needed to hold weights")
        stack.append(_CALLS[called](*arguments))
      case "BUILD":
        state = stack.pop()
        # OrderedDict's attributes: versions of modules, of no use here.
        if not isinstance(stack[-1], dict) or set(_as(dict, state)) != {
          "_metadata"
        }:
          raise _Refused("sets attributes of an object")
      case "BINPERSID":
        if not has_storages:
          raise _Refused("a storage where there is none")
        stack.append(_storage(stack.pop()))
      case _:
        raise _Refused(
          f"its pickle has the instruction {name}, which no state dict needs; "
          "save model.state_dict() instead of the model"
        )


def _as(kind: type, value: Any) -> Any:
  if not isinstance(value, kind):
    raise _Refused(f"a {type(value).__name__} in place of a {kind.__name__}")
  return value


def _allowed(module: Any, name: Any) -> _Global:
  """A name that a pickle asks for, if it is of no harm."""
  if (module, name) in _CALLS or (module == "torch" and name in _STORAGES):
    return _Global(module, name)
  raise _Refused(
    f"asks for {module}.{name}, which is not needed to hold weights: loading "
    "it would run code. Save model.state_dict() instead, or a .safetensors "
    "file"
  )
