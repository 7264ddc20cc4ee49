"""Requests of real TLS clients through a real nginx to real application servers."""
