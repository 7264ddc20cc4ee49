"""Certificate revocation lists (RFC 5280, 5 and 6.3): pure, time is an argument.

``reading.read_crl()`` checks everything about a CRL that does not depend on a
certificate when it is imported. ``status.check_path()`` decides what the loaded CRLs
say about a path. Neither opens a file or a socket: the importer has the bytes, and the
caller has looked up the entries by their serial number.
"""
