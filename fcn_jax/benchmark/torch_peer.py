"""The same networks in PyTorch, for `peer`, which starts this.

A process of its own, so that its threads do not disturb: it makes ready, says
so in a line of JSON, then does one piece of work for each line it reads and
answers with the seconds that took.
"""

import argparse
import json
import sys
import time

import torch
import torch._inductor.config
import torch.nn.functional as F
from torch import nn

from fcn_jax import models
from fcn_jax.benchmark import memory
from fcn_jax.benchmark.peer import FORMS, GRAPHS
from fcn_jax.models import geometry
from fcn_jax.models import layers as d
from fcn_jax.models.ops import bilinear_kernel

CLASSES = 21


def as_product(conv: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
  """A convolution without padding or strides, as one product of matrices."""
  height, width = (n - conv.kernel_size[0] + 1 for n in x.shape[2:])
  columns = x
  if conv.kernel_size != (1, 1):
    columns = F.unfold(x, conv.kernel_size)
  weight = conv.weight.flatten(1)
  product = weight @ columns.reshape(len(x), weight.shape[1], -1)
  return product.unflatten(2, (height, width)) + conv.bias[:, None, None]


def shifted_norm(layer: d.LRN, x: torch.Tensor) -> torch.Tensor:
  """Local response normalisation, its window as a sum of shifted squares."""
  reach, channels = layer.size // 2, x.shape[1]
  padded = F.pad(x * x, (0, 0, 0, 0, reach, reach))
  shifted = [padded[:, i : i + channels] for i in range(layer.size)]
  scale = layer.k + layer.alpha / layer.size * sum(shifted)
  if layer.beta == 0.75:  # two roots are faster than a power
    root = scale.rsqrt()
    return x * root * root.sqrt()
  return x * scale.pow(-layer.beta)


class Upscore(nn.Module):
  """Bilinear upscoring as a product by rows and one by columns.

  On a GPU the transposed convolution of a channel at a time takes nearly all of
  a step.

  Args:
    kernel, stride: of the transposed convolution.
  """

  def __init__(self, kernel: int, stride: int):
    super().__init__()
    self.stride = stride
    on_axis = torch.from_numpy(bilinear_kernel(kernel))
    self.register_buffer("on_axis", on_axis)

  def matrix(self, cells: int) -> torch.Tensor:
    """[pixels, cells]: a column holds the kernel where its cell lies."""
    size, device = len(self.on_axis), self.on_axis.device
    pixels = torch.arange(self.stride * (cells - 1) + size, device=device)
    begin = self.stride * torch.arange(cells, device=device)
    place = pixels[:, None] - begin
    inside = (place >= 0) & (place < size)
    return torch.where(inside, self.on_axis[place.clamp(0, size - 1)], 0.0)

  def forward(self, x):
    rows, columns = map(self.matrix, x.shape[2:])
    return rows.to(x.dtype) @ x @ columns.T.to(x.dtype)


class Network(nn.Module):
  """A declared network, channels first.

  Args:
    layers: the declaration.
    by_hand: fully connected layers and upscoring as products of matrices, and
      normalisation as a sum of shifted squares, which is faster on some
      machines.
  """

  def __init__(self, layers: d.Layers, by_hand: bool = False):
    super().__init__()
    self.layers = layers
    self.by_hand = by_hand
    self.offsets = geometry.crop_offsets(layers)
    self.of_layer = nn.ModuleDict()
    channels = d.channels(layers)
    for layer, bottom in d.with_bottoms(layers):
      match layer:
        case d.Conv():
          self.of_layer[layer.name] = nn.Conv2d(
            channels[bottom],
            layer.features,
            layer.kernel,
            layer.stride,
            layer.pad,
            groups=layer.groups,
          )
        case d.Upscore() if by_hand:
          self.of_layer[layer.name] = Upscore(layer.kernel, layer.stride)
        case d.Upscore():
          classes = channels[bottom]
          up = nn.ConvTranspose2d(
            classes,
            classes,
            layer.kernel,
            layer.stride,
            groups=classes,
            bias=False,
          )
          up.weight.requires_grad_(False)
          self.of_layer[layer.name] = up

  def forward(self, image):
    found = {}
    for layer, bottom in d.with_bottoms(self.layers):
      x = found[bottom] if bottom else image
      match layer:
        case d.Conv():
          conv = self.of_layer[layer.name]
          is_product = self.by_hand and layer.name in ("fc6", "fc7")
          x = as_product(conv, x) if is_product else conv(x)
          x = F.relu(x) if layer.relu else x
        case d.MaxPool():
          x = F.max_pool2d(
            x, layer.kernel, layer.stride, layer.pad, ceil_mode=True
          )
        case d.LRN() if self.by_hand:
          x = shifted_norm(layer, x)
        case d.LRN():
          x = F.local_response_norm(
            x, layer.size, layer.alpha, layer.beta, layer.k
          )
        case d.Dropout():
          x = F.dropout(x, layer.rate, self.training)
        case d.Upscore():
          x = self.of_layer[layer.name](x)
        case d.Crop():
          height, width = found[layer.like].shape[2:]
          o = self.offsets[layer.name]
          x = x[:, :, o : o + height, o : o + width]
        case d.Scale():
          x = x * layer.factor
        case d.Sum():
          x = x + found[layer.other]
      found[layer.name] = x
    return x


class Peer:
  """A network, a batch, and what is done with them."""

  def __init__(self, options):
    torch.manual_seed(0)
    self.device = "cuda" if torch.cuda.is_available() else "cpu"
    self.half = options.precision == "bfloat16"
    torch.set_float32_matmul_precision(
      "high" if options.precision == "tf32" else "highest"
    )
    layers = models.declare(options.model, CLASSES)
    net = Network(layers, options.form.startswith("by hand"))
    net = net.to(self.device, memory_format=torch.channels_last)
    net.train(options.work == "step")
    # Weights are laid out once, which only prediction can have.
    torch._inductor.config.freezing = options.work == "forward"
    torch.backends.cudnn.benchmark = True
    mode = "reduce-overhead" if options.form == GRAPHS else "default"
    compiles = options.form != "eager"
    self.net = torch.compile(net, mode=mode) if compiles else net
    height, width = map(int, options.size.split("x"))
    image = torch.randn(options.batch, 3, height, width, device=self.device)
    self.image = image.to(memory_format=torch.channels_last)
    shape = (options.batch, height, width)
    self.label = torch.randint(0, CLASSES, shape, device=self.device)
    learned = [p for p in net.parameters() if p.requires_grad]
    self.optimizer = torch.optim.SGD(
      learned, 1e-10, momentum=0.9, weight_decay=5e-4, fused=True
    )
    self.work = {"forward": self.forward, "step": self.step}[options.work]

  def scores(self):
    with torch.autocast(self.device, torch.bfloat16, enabled=self.half):
      return self.net(self.image)

  def forward(self):
    with torch.no_grad():  # inference_mode would leave weights unfrozen
      self.scores()

  def step(self):
    self.optimizer.zero_grad(set_to_none=True)
    loss = F.cross_entropy(self.scores().float(), self.label, ignore_index=255)
    loss.backward()
    self.optimizer.step()

  def timed(self) -> float:
    began = time.perf_counter()
    self.work()
    if self.device == "cuda":
      torch.cuda.synchronize()
    return time.perf_counter() - began

  def peak_bytes(self) -> int:
    """Of the device, or of the whole process on a CPU."""
    if self.device == "cuda":
      return torch.cuda.max_memory_allocated()
    return memory.of_process()


def main() -> None:
  parser = argparse.ArgumentParser()
  parser.add_argument("--model", required=True)
  parser.add_argument("--size", default="375x500")
  parser.add_argument("--batch", type=int, default=1)
  parser.add_argument("--precision", default="float32")
  parser.add_argument("--work", choices=("forward", "step"), required=True)
  parser.add_argument("--form", choices=(*FORMS, GRAPHS), default="eager")
  options = parser.parse_args()
  answers = sys.stdout
  sys.stdout = sys.stderr  # what the compiler says
  peer = Peer(options)
  for _ in range(3):
    peer.timed()
  ready = {"version": torch.__version__, "threads": torch.get_num_threads()}
  print(json.dumps(ready), file=answers, flush=True)
  for line in sys.stdin:
    found = peer.peak_bytes() if line.strip() == "memory" else peer.timed()
    print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
  main()
