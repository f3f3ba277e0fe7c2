"""The deployable functions, one folder each, and the `skureel` command. No function imports another."""
