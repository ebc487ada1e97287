"""A model as a folder that can be handed on: safetensors, JSON, a README.

`fcn_jax.load` reads it as it reads a workdir.
"""

import dataclasses
import json
import pathlib

import numpy as np
from flax import nnx

from fcn_jax.files import making
from fcn_jax.models import Network
from fcn_jax.weights import checkpoints, safetensors_file


def write_folder(
  output: pathlib.Path,
  network: Network,
  card: checkpoints.ModelCard,
  step: int,
  mean_iu: float | None,
) -> None:
  """Writes model.safetensors, config.json and README.md into a new folder.

  Args:
    output: the folder; must not exist.
    network, card, step: as `checkpoints.load_model` gives them.
    mean_iu: on the validation set, where it was scored.
  """
  _, state = nnx.split(network)
  tensors = {
    ".".join(str(key) for key in path): np.asarray(value)
    for path, value in nnx.to_flat_state(state)
  }
  with making(output) as folder:
    safetensors_file.save(
      folder / checkpoints.SAFETENSORS, tensors, {"format": "fcn_jax"}
    )
    config = {"step": step, "card": dataclasses.asdict(card)}
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    (folder / "README.md").write_text(_readme(card, step, mean_iu, tensors))


def _readme(card, step: int, mean_iu: float | None, tensors) -> str:
  name = card.model["name"]
  score = "not scored" if mean_iu is None else f"{mean_iu:.4f}"
  data = card.config.get("data", {}).get("name", "none: converted weights")
  size = sum(array.size for array in tensors.values())
  classes = ", ".join(card.class_names)
  return f"""---
library_name: fcn_jax
pipeline_tag: image-segmentation
license: other
---

# {name}, {len(card.class_names)} classes

Semantic segmentation with a fully convolutional network, in JAX.

```python
import fcn_jax

net = fcn_jax.load("FOLDER")
result = net("photo.jpg")
result.save("labels.png")
```

| | |
|---|---|
| network | {name}, {size:,} numbers in float32 |
| mean IoU on the validation set | {score} |
| data | {data} |
| images | {card.resizing or "of any size, as they are"} |
| step | {step} |
| weights | {card.source or "unknown"} |
| classes | {classes} |

## Licence

The weights are under the terms of the data they were trained on ({data}) and
of the pretrained weights they started from; fill in what applies:

* data:
* pretrained weights:
* these weights:
"""
