"""Training through LLaMA-Factory: its configuration, a resumable run of it, and its curves."""
