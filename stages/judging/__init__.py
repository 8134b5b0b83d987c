"""LLM as judge: rubrics, verdicts read from answers, cost, comparisons in both orders, agreement with people.

Nothing here knows of models, servers or prompts' placeholders; `stages.judge` brings them together.
"""
