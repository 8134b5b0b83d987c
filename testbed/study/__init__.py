"""The method over several seeds, with its controls: parameters of the runs, their findings, the tables."""
