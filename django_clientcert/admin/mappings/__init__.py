"""The screens of certificate mappings."""
