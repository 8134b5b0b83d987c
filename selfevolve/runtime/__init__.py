"""How a program starts, fails, and publishes what it made."""
