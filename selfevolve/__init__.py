"""The method as a library."""
