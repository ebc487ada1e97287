"""fcn_jax.published: files known by their checksum."""

from fcn_jax.weights import published


def test_a_published_file_is_known_by_its_sha1():
  for name, file in published.FILES.items():
    assert len(bytes.fromhex(file.sha1)) == 20
    assert published.known_as(file.sha1) == (name, file.order)
    assert file.file.endswith(".caffemodel")
    assert all(url.startswith("http") for url in file.urls)
  assert published.known_as("0" * 40) == ("", "unknown")
