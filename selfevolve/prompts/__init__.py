"""The prompts as files, the messages made of them, and the JSON in the models' answers."""
