"""What people's ratings say: an export of a rating study in, results with their certainty out.

This room knows the export's files alone, and nothing of the application that wrote them.
"""
