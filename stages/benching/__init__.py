"""Measuring side by side: rounds, the file of results, goals and the table."""
