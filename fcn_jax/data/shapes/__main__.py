"""python -m fcn_jax.data.shapes: draws the world, or images alone."""

import argparse
import pathlib

from fcn_jax.data.shapes import write_images, write_mosaic, write_voc_tar


def main() -> None:
  parser = argparse.ArgumentParser(
    description="A small made-up world, written as a genuine VOC-style tar."
  )
  what = parser.add_mutually_exclusive_group(required=True)
  what.add_argument("--output", help="the VOC-style tar to write")
  what.add_argument("--images", help="the folder to write images alone to")
  what.add_argument("--mosaic", help="one large image, the TIFF to write")
  parser.add_argument("--side", type=int, default=20_000, help="of --mosaic")
  parser.add_argument("--count", type=int, default=12, help="of images alone")
  parser.add_argument("--seed", type=int, default=0)
  options = parser.parse_args()
  if options.images:
    write_images(options.images, options.count, options.seed)
    print(f"{options.images}: {options.count} images")
  elif options.mosaic:
    write_mosaic(options.mosaic, options.side, options.seed)
    size = pathlib.Path(options.mosaic).stat().st_size
    print(f"{options.mosaic}: {size / 2**20:.1f} MiB")
  else:
    path = pathlib.Path(options.output)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_voc_tar(path, options.seed)
    print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
  main()
