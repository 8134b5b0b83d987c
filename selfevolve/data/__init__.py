"""What a dialogue is: the corpora's layouts, cleaning, statistics, split, leakage, contexts."""
