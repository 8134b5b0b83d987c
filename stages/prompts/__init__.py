"""What the models are asked: the prompts, the strategies, and the JSON of the reflection."""
