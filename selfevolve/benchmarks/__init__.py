"""lm-evaluation-harness on a model in memory: which tasks, whose rows, what is reported."""
