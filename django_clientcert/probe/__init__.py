"""``manage.py clientcert probe``: which forged headers reach the application.

The command attacks the deployment with forged headers. Only the application can say
which of them arrived, so it answers a request that carries a token made with the
project's ``SECRET_KEY``, once, and within a minute. Anyone who can make such a token
could sign sessions too. All other requests get their usual response.
"""
