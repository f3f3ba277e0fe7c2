"""The `skureel` command. Not a function: the one folder here that is not deployed, and that may import every function.

Here: what an operator types, reads and is told, the demo, and what tells whether all is in order (`doctor`). Not here:
the work itself.
"""
