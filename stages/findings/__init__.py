"""What a study of many evolutions shows: its runs read, the effects tested, the controls compared."""
