"""The rating application: people talk with hidden models, or read answers, and rate (appendix F)."""
