"""What the stages hand to each other: typed records, their files, and how a file is published."""
