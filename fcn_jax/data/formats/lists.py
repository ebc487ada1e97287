"""Lists of images, as people's tools write them."""

from collections.abc import Container, Mapping

from fcn_jax.data.files import File
from fcn_jax.files import DataError

MOST_LINES = 1_000_000


def read_list(file: File) -> list[str]:
  """The lines of a list that hold anything.

  Raises:
    DataError: not a text file, or of more than MOST_LINES lines.
  """
  text = file.text()
  if text.count("\n") > MOST_LINES:
    raise DataError(
      f"{file.name}: {text.count(chr(10))} lines, at most {MOST_LINES} of a "
      "list are read; is it another file?"
    )
  return [line.strip() for line in text.splitlines() if line.strip()]


def columns(line: str) -> list[str]:
  """Image and label of a line that names both; else the line as it is.

  >>> columns("/images/a.jpg /labels/a.png"), columns("a,b"), columns("a b c")
  (['/images/a.jpg', '/labels/a.png'], ['a', 'b'], ['a b c'])
  """
  for parts in (line.split("\t"), line.split(","), line.split()):
    parts = [part.strip() for part in parts]
    if len(parts) == 2 and all(parts):
      return parts
  return [line]


def known_as(path: str, known: Container[str]) -> str | None:
  """What a path of a list is called in `known`: it, or an end of it.

  >>> known_as("/data/VOC2012/JPEGImages/a.jpg", {"JPEGImages/a.jpg"})
  'JPEGImages/a.jpg'
  """
  rest = path.replace("\\", "/").removeprefix("./").lstrip("/")
  while rest:
    if rest in known:
      return rest
    _, _, rest = rest.partition("/")
  return None


def by_end(files: Mapping[str, File]) -> dict[str, File]:
  """Files by every end of their path that is whole names.

  >>> sorted(by_end({"images/train/a.jpg": File("a", "a")}))
  ['a.jpg', 'images/train/a.jpg', 'train/a.jpg']
  """
  found = {}
  for key, file in files.items():
    rest = key
    while rest:
      found.setdefault(rest, file)
      _, _, rest = rest.partition("/")
  return found
