"""The admin in a real browser, with a client certificate, through a real nginx."""
