"""Where parameters come from, and where they go."""

# What `model_export` writes, and for whom: known before JAX is imported.
EXPORTS = ("caffe", "onnx", "stablehlo", "safetensors")
PRESETS = ("jetson",)
