"""The Kubernetes manifests of the example project say what the how-to says.

ingress-nginx ignores an annotation that it does not know and takes ``on`` for a
value that it does not understand, so a typing error is not noticed anywhere else.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from django_clientcert import conf
from django_clientcert.models import CertificateAuthority
from django_clientcert.wire import INGRESS_NGINX
from django_clientcert.x509.bundles import (
    holds_private_key,
    read_certificates,
    sort_bundle,
)

ROOT = Path(__file__).resolve().parents[2]
PROJECT = ROOT / "example_project"
MANIFESTS = PROJECT / "kubernetes"
HOWTO = ROOT / "docs" / "howto" / "kubernetes.md"
DESIGN = ROOT.parent / "shared" / "DESIGN.md"

# ingress-nginx 1.15.1, internal/ingress/annotations/authtls/main.go
PREFIX = "nginx.ingress.kubernetes.io/"
ANNOTATIONS = {
    "auth-tls-secret": r"[a-z0-9.-]+/[a-z0-9.-]+",
    "auth-tls-verify-client": r"on|off|optional|optional_no_ca",
    "auth-tls-verify-depth": r"[1-9][0-9]*",
    "auth-tls-error-page": r"(https?://)?[A-Za-z0-9.-]*(:[0-9]+)?/[A-Za-z0-9.-]*",
    "auth-tls-pass-certificate-to-upstream": r"true|false",
    "auth-tls-match-cn": r"CN=.+",
}
INGRESSES = {
    "ingress-on.yaml": "on",
    "ingress-optional.yaml": "optional",
    "ingress-optional-no-ca.yaml": "optional_no_ca",
}
SECRETS = {"secret-one-ca.yaml": (1, 0), "secret-several-cas.yaml": (2, 1)}

# What the files refer to and do not contain; the how-to says how to make them.
MADE_BY_HAND = {("Secret", "app-secrets"), ("Secret", "app-tls")}


def load(name: str) -> list[dict[str, Any]]:
    """Return the documents of a manifest."""
    text = (MANIFESTS / name).read_text(encoding="utf-8")
    return [one for one in yaml.safe_load_all(text) if one is not None]


def find(name: str, kind: str) -> dict[str, Any]:
    """Return the one document of *kind* in a manifest."""
    (found,) = (one for one in load(name) if one["kind"] == kind)
    return found


def all_documents() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the documents of every manifest with the name of its file."""
    for path in sorted(MANIFESTS.iterdir()):
        for document in load(path.name):
            yield path.name, document


def auth_tls(ingress: dict[str, Any]) -> dict[str, Any]:
    """Return the ``auth-tls-*`` annotations, without their prefix."""
    return {
        key.removeprefix(PREFIX): value
        for key, value in ingress["metadata"].get("annotations", {}).items()
        if "auth-tls" in key
    }


def pod() -> dict[str, Any]:
    """Return the specification of the application's pods."""
    spec: dict[str, Any] = find("app.yaml", "Deployment")["spec"]["template"]["spec"]
    return spec


def environment(*, verification: bool = False) -> dict[str, str]:
    """Return the variables that the Deployment takes from the ConfigMaps."""
    maps = {
        document["metadata"]["name"]: document["data"]
        for _, document in all_documents()
        if document["kind"] == "ConfigMap"
    }
    values: dict[str, str] = {}
    for source in pod()["containers"][0]["envFrom"]:
        reference = source.get("configMapRef")
        if reference and (verification or not reference.get("optional")):
            values.update(maps[reference["name"]])
    return values


def test_every_file_is_a_manifest_of_a_current_version() -> None:
    """Nothing uses an API that today's Kubernetes has removed."""
    versions = {(doc["kind"], doc["apiVersion"]) for _, doc in all_documents()}
    assert versions == {
        ("ConfigMap", "v1"),
        ("Deployment", "apps/v1"),
        ("Ingress", "networking.k8s.io/v1"),
        ("Namespace", "v1"),
        ("NetworkPolicy", "networking.k8s.io/v1"),
        ("PersistentVolumeClaim", "v1"),
        ("Secret", "v1"),
        ("Service", "v1"),
    }


@pytest.mark.parametrize("name", INGRESSES)
def test_annotations_are_known_and_understood(name: str) -> None:
    """Every ``auth-tls`` annotation has a name and a value that mean something."""
    ingress = find(name, "Ingress")
    for key, value in ingress["metadata"]["annotations"].items():
        assert key.startswith(PREFIX), key
        assert isinstance(value, str), key
    for key, value in auth_tls(ingress).items():
        assert re.fullmatch(ANNOTATIONS[key], value), key


@pytest.mark.parametrize(("name", "mode"), INGRESSES.items())
def test_each_ingress_has_its_mode_and_passes_the_certificate(
    name: str, mode: str
) -> None:
    """Where there is a secret, the certificate is passed too: nothing may be left."""
    assert auth_tls(find(name, "Ingress")) == {
        "auth-tls-secret": "example/client-ca",
        "auth-tls-verify-client": mode,
        "auth-tls-verify-depth": "1",
        "auth-tls-pass-certificate-to-upstream": "true",
    }


def test_no_other_ingress_lets_a_clients_headers_through() -> None:
    """Every Ingress that leads to the application has the annotations."""
    ingresses = {name for name, doc in all_documents() if doc["kind"] == "Ingress"}
    assert ingresses == set(INGRESSES)


@pytest.mark.parametrize("name", INGRESSES)
def test_ingress_serves_one_host_over_tls(name: str) -> None:
    """The annotations are the host's, and hold where TLS ends."""
    ingress = find(name, "Ingress")
    (rule,) = ingress["spec"]["rules"]
    (tls,) = ingress["spec"]["tls"]
    assert tls["hosts"] == [rule["host"]]
    assert environment()["CLIENTCERT_HOSTS"] == rule["host"]
    assert environment()["DJANGO_ALLOWED_HOSTS"] == rule["host"]
    assert ingress["spec"]["ingressClassName"] == "nginx"
    assert ingress["metadata"]["annotations"][f"{PREFIX}force-ssl-redirect"] == "true"


def test_the_three_are_alternatives() -> None:
    """Applying one replaces another: two for one host, and the older one wins."""
    names = {
        (one["metadata"]["namespace"], one["metadata"]["name"])
        for one in (find(name, "Ingress") for name in INGRESSES)
    }
    assert names == {("example", "app")}


@pytest.mark.parametrize("name", INGRESSES)
def test_the_annotated_secret_lies_in_the_same_namespace(name: str) -> None:
    """A secret of another namespace makes the controller answer 403."""
    ingress = find(name, "Ingress")
    namespace, secret = auth_tls(ingress)["auth-tls-secret"].split("/")
    assert namespace == ingress["metadata"]["namespace"]
    for file in SECRETS:
        metadata = find(file, "Secret")["metadata"]
        assert (metadata["namespace"], metadata["name"]) == (namespace, secret)


@pytest.mark.parametrize(("name", "counts"), SECRETS.items())
def test_secret_holds_a_bundle_that_the_application_can_use(
    name: str, counts: tuple[int, int]
) -> None:
    """The ``ca.crt`` of the secret is the bundle of an authority, without a key."""
    data = find(name, "Secret")["stringData"]
    assert set(data) == {"ca.crt"}
    assert not holds_private_key((MANIFESTS / name).read_bytes())
    trust = sort_bundle(read_certificates(data["ca.crt"]))
    assert (len(trust.anchors), len(trust.intermediates)) == counts
    CertificateAuthority(name="Partners", bundle=data["ca.crt"]).clean()


def test_the_application_mounts_the_bundle_that_nginx_uses() -> None:
    """What is added as an authority is the very file of the secret."""
    volume = {one["name"]: one for one in pod()["volumes"]}["client-ca"]
    assert volume["secret"]["secretName"] == "client-ca"
    assert [one["key"] for one in volume["secret"]["items"]] == ["ca.crt"]


@pytest.mark.parametrize("verification", [False, True])
def test_variables_are_settings_of_the_package_and_are_read(
    verification: bool,
) -> None:
    """A ``CLIENTCERT_`` variable is a setting, and the settings file reads it."""
    settings = (PROJECT / "example" / "settings.py").read_text(encoding="utf-8")
    for name in environment(verification=verification):
        assert f'"{name}"' in settings
        assert not name.startswith("CLIENTCERT_") or name in conf.NAMES


@pytest.mark.skipif(not DESIGN.exists(), reason="the design page is not here")
def test_variables_are_settings_of_the_design() -> None:
    """The design page has a row for every setting that is used."""
    rows = re.findall(r"(?m)^\| `(CLIENTCERT_\w+)` \|", DESIGN.read_text("utf-8"))
    names = environment(verification=True)
    assert {one for one in names if one.startswith("CLIENTCERT_")} <= set(rows)


def test_only_optional_no_ca_leaves_the_verification_to_the_application() -> None:
    """The setting travels with the Ingress that needs it."""
    for name in INGRESSES:
        maps = [one for one in load(name) if one["kind"] == "ConfigMap"]
        if name != "ingress-optional-no-ca.yaml":
            assert maps == []
            continue
        (only,) = maps
        assert only["data"] == {"CLIENTCERT_PROXY_VERIFIES": "false"}
    assert "CLIENTCERT_PROXY_VERIFIES" not in environment()
    assert environment(verification=True)["CLIENTCERT_PROXY_VERIFIES"] == "false"


@pytest.mark.parametrize("verification", [False, True])
def test_django_has_nothing_against_the_settings(
    tmp_path: Path, verification: bool
) -> None:
    """``check --deploy`` passes with the Deployment's variables."""
    result = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level=WARNING"],
        cwd=PROJECT,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("DJANGO_")},
            **environment(verification=verification),
            "DJANGO_SECRET_KEY": "0123456789" * 6,
            "EXAMPLE_DATA_FOLDER": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_every_reference_is_there_or_made_by_hand() -> None:
    """No pod waits for something that nobody has made."""
    made = {(doc["kind"], doc["metadata"]["name"]) for _, doc in all_documents()}
    wanted = {
        ("Secret", find(name, "Ingress")["spec"]["tls"][0]["secretName"])
        for name in INGRESSES
    }
    for container in [*pod()["initContainers"], *pod()["containers"]]:
        for source in container["envFrom"]:
            (field,) = source
            kind = {"configMapRef": "ConfigMap", "secretRef": "Secret"}[field]
            wanted.add((kind, source[field]["name"]))
        volumes = {one["name"] for one in pod()["volumes"]}
        assert {one["name"] for one in container["volumeMounts"]} == volumes
    for volume in pod()["volumes"]:
        if "secret" in volume:
            wanted.add(("Secret", volume["secret"]["secretName"]))
        if "persistentVolumeClaim" in volume:
            claim = volume["persistentVolumeClaim"]["claimName"]
            wanted.add(("PersistentVolumeClaim", claim))
    assert wanted - made == MADE_BY_HAND


def test_only_the_controller_reaches_the_application() -> None:
    """The policy covers the pods and their port, the Service adds no way around."""
    labels = find("app.yaml", "Deployment")["spec"]["template"]["metadata"]["labels"]
    (port,) = pod()["containers"][0]["ports"]
    policy = find("networkpolicy.yaml", "NetworkPolicy")["spec"]
    assert policy["podSelector"]["matchLabels"] == labels
    assert policy["policyTypes"] == ["Ingress"]
    assert policy["ingress"] == [
        {
            # One element: a list of two would let in either.
            "from": [
                {
                    "namespaceSelector": {
                        "matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}
                    },
                    "podSelector": {
                        "matchLabels": {
                            "app.kubernetes.io/name": "ingress-nginx",
                            "app.kubernetes.io/component": "controller",
                        }
                    },
                }
            ],
            "ports": [{"protocol": "TCP", "port": port["containerPort"]}],
        }
    ]
    service = find("app.yaml", "Service")["spec"]
    assert service["type"] == "ClusterIP"
    assert service["selector"] == labels
    assert [one["targetPort"] for one in service["ports"]] == [port["name"]]


def test_the_controller_clears_every_header_that_is_read() -> None:
    """The ConfigMap for the controller names the preset's headers, all empty."""
    headers = find("controller-headers.yaml", "ConfigMap")["data"]
    assert headers == dict.fromkeys(INGRESS_NGINX.names, "")


def test_the_howto_names_every_file_and_variable() -> None:
    """What is there is explained."""
    text = HOWTO.read_text(encoding="utf-8")
    for path in MANIFESTS.iterdir():
        assert path.name in text
    for name in (*environment(verification=True), "DJANGO_SECRET_KEY"):
        assert f"`{name}`" in text
    for _, name in MADE_BY_HAND:
        assert name in text
