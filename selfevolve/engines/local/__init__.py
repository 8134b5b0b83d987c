"""The decoder that runs a model in this process."""
