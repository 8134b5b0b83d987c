"""Text generation: one interface, several engines, and the journal that makes them resumable.

Nothing here knows of emotional support.
"""
