"""A training run, as its workdir tells it."""
