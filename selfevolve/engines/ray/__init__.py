"""Workers on a Ray cluster, each with an engine of its own."""
