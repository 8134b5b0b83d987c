"""Servers with OpenAI's chat completions."""
