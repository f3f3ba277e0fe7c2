"""Models as versioned, verified artefacts, and the networks that load them. Importing this package imports no torch."""
