"""The packaged prompt templates of the content pipeline, one file for each type and stage."""
