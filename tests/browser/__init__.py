"""The admin in a real browser, through a real nginx, with a client certificate."""
