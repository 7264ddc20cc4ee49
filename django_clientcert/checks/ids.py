"""The id of every message, and an example of every setting."""

from __future__ import annotations

IDS = {
    "middleware_missing": "clientcert.E001",
    "middleware_order": "clientcert.E002",
    "backend_missing": "clientcert.E003",
    "trusted_proxies_unset": "clientcert.E004",
    "trusted_proxies_everybody": "clientcert.E005",
    "setting_unknown": "clientcert.E006",
    "setting_unusable": "clientcert.E007",
    "proxy_does_not_verify": "clientcert.E008",
    "remote_user": "clientcert.E009",
    "database_router": "clientcert.E010",
    # check --database
    "name_without_authority": "clientcert.E011",
    "authority_unusable": "clientcert.E012",
    "anchor_expired": "clientcert.W020",
    "inactive_users": "clientcert.W021",
    "crl_stale": "clientcert.W022",
    "crl_expiring": "clientcert.W023",
    "mapping_unreachable": "clientcert.W024",
    "rule_unusable": "clientcert.E014",
    "rule_field_not_unique": "clientcert.W025",
    "rule_allows_privileged": "clientcert.W026",
    "mapping_state": "clientcert.W027",
    # check --deploy
    "insecure_transport": "clientcert.W030",
    "every_host": "clientcert.W031",
    "wide_network": "clientcert.W032",
    "secure_unknown": "clientcert.W033",
    "header_size": "clientcert.W034",
    "underscores": "clientcert.W035",
    "gateway_identity_unset": "clientcert.W036",
}


# Values that can be used; the tests try each of them.
EXAMPLES = {
    "CLIENTCERT_PROXY": '"ingress-nginx"',
    "CLIENTCERT_TRUSTED_PROXIES": '["10.42.0.0/16"]',
    "CLIENTCERT_PROXY_VERIFIES": "False",
    "CLIENTCERT_HOSTS": '["api.example.com"]',
    "CLIENTCERT_PROXY_SECRET": '("X-Proxy-Secret", ["new secret", "old secret"])',
    "CLIENTCERT_REQUIRE_SECURE": "True",
    "CLIENTCERT_MAX_HEADER_BYTES": "16384",
    "CLIENTCERT_LAST_USED_INTERVAL": "900",
    "CLIENTCERT_INBOX_SIZE": "1000",
    "CLIENTCERT_NOTIFY_EMAILS": '["pki@example.com"]',
    "CLIENTCERT_SEEN_SIZE": "10000",
}
