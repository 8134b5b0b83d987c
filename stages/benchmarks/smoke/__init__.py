"""Three small tasks in lm-eval's own format, so that the whole way can be walked in seconds."""
