"""The screens of unknown certificates."""
