"""The pipeline: one file here is one verb, one DVC stage and one section of params.yaml."""
