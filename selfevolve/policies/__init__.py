"""Policies: a backbone and adapters on it; their templates and windows."""
