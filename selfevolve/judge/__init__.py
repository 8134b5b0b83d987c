"""LLM as judge: rubrics, verdicts, the ledger of paid answers, cost and limits, agreement with people."""
