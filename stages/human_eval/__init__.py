"""The rating application: people talk with hidden models, or read their answers, and rate them (appendix F)."""
