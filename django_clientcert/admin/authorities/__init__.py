"""The screens of certificate authorities."""
