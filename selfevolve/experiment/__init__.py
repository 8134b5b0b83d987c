"""One run: its parameters, the DVC stages that it needs, and the experiment that keeps it."""
