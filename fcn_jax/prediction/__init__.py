"""A trained network on people's images."""
