"""What is recorded about a request: the use of a certificate, or its refusal."""
