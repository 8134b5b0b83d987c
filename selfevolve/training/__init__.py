"""Training through LLaMA-Factory: its configuration, a resumable run of it, its curves, what was kept."""
