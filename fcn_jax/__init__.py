"""Semantic segmentation with fully convolutional networks, in JAX."""
