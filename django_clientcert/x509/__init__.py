"""X.509 without Django: names, certificates, identities, paths and CRLs (RFC 5280).

Nothing here does I/O or reads the clock: bytes and times are arguments.
"""
