"""More iterations than the paper's two: their runs, the tables and the plot, and rules for when to stop."""
