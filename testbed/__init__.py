"""A mini world, a tiny backbone, and the study of controls."""
