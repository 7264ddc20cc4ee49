"""``clientcert probe``: what is sent, how, and what the answers mean."""
