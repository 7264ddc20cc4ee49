# gunicorn that ends TLS itself: CLIENTCERT_PROXY = "gunicorn"
# Nothing is read from a header. Workers for ASGI hand over no certificate.
import ssl

bind = ":443"
certfile = "/etc/gunicorn/server.pem"
keyfile = "/etc/gunicorn/server.key"

# Ask for a certificate, and end the handshake of one that does not verify
ca_certs = "/etc/gunicorn/clients-ca.pem"
cert_reqs = ssl.CERT_OPTIONAL
