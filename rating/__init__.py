"""People rate models: the application and the analysis."""
