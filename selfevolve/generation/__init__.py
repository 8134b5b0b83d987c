"""Requests and responses, and the journal between them."""
