# gunicorn that terminates TLS: CLIENTCERT_PROXY = "gunicorn"
# Nothing is read from a header. ASGI workers do not provide a certificate.
import ssl

bind = ":443"
certfile = "/etc/gunicorn/server.pem"
keyfile = "/etc/gunicorn/server.key"

# Ask for a certificate, and abort the handshake if it does not verify
ca_certs = "/etc/gunicorn/clients-ca.pem"
cert_reqs = ssl.CERT_OPTIONAL
