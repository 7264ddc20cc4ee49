"""Export, import and comparison of everything that decisions depend on."""
