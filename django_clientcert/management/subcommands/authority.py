"""``clientcert authority``: the CAs that answer for names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import router, transaction
from django.db.models import Count
from django.utils import timezone

from django_clientcert.bundles import sort_bundle, to_pem
from django_clientcert.exceptions import ClientCertError
from django_clientcert.management.files import (
    read_certificate_file,
    refuse_private_keys,
)
from django_clientcert.management.text import (
    describe_certificate,
    one_line,
    show_validity,
)
from django_clientcert.models import CertificateAuthority
from django_clientcert.verification import PROFILES

try:
    from django_clientcert.admission import problems
except ImportError:
    def problems(*a, **k): return ()

if TYPE_CHECKING:
    from django_clientcert.certificates import ClientCertificate
    from django_clientcert.management.commands.clientcert import Command


def add_parser(subparsers: Any) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "authority",
        help="add and list certificate authorities",
        description="The certificate authorities that answer for names.",
    )
    actions = parser.add_subparsers(
        title="actions", dest="action", metavar="ACTION", required=True
    )
    add = actions.add_parser(
        "add",
        help="store the certificates of an authority",
        description=(
            "Store the certificates of an authority: the ca.crt of the proxy, roots\n"
            "and intermediates in one file. Says of each what stands in the way of\n"
            "its use."
        ),
        epilog=(
            "Example:\n"
            "  manage.py clientcert authority add ca.crt --name Partners\n"
            "\n"
            "Exit status: 0 stored, 1 refused, 2 wrong usage."
        ),
    )
    add.add_argument(
        "bundle",
        metavar="BUNDLE",
        help="PEM, DER or PKCS#7; - reads standard input",
    )
    add.add_argument("--name", required=True, help="what to call the authority")
    add.add_argument(
        "--profile",
        choices=sorted(PROFILES),
        help="private: what company CAs issue (default); strict: certificates must "
        "state their usages and an alternative name",
    )
    add.add_argument(
        "--replace",
        action="store_true",
        help="replace the certificates of the authority, if there is one of that name",
    )
    add.set_defaults(run=run_add)
    listing = actions.add_parser(
        "list",
        help="list the authorities",
        description="List the authorities and their certificates.",
        epilog="Exit status: 0 listed, 1 the database cannot be used, 2 wrong usage.",
    )
    listing.add_argument(
        "--json", action="store_true", help="one JSON object, for programs"
    )
    listing.set_defaults(run=run_list)


def run_add(command: Command, options: dict[str, Any]) -> None:
    """Store an authority.

    Raises:
        CommandError: the bundle cannot be used, or the name is taken.
    """
    refuse_private_keys(name=options["name"])
    certificates = read_certificate_file(options["bundle"])
    with transaction.atomic(using=router.db_for_write(CertificateAuthority)):
        existing = CertificateAuthority.objects.filter(name=options["name"]).first()
        if existing is not None and not options["replace"]:
            raise CommandError(
                f"There is an authority “{existing}” already. Add --replace to replace "
                "its certificates."
            )
        authority = existing or CertificateAuthority(name=options["name"])
        authority.bundle = to_pem(certificates)
        if options["profile"] is not None:
            authority.profile = options["profile"]
        try:
            authority.full_clean()
        except ValidationError as error:
            raise CommandError(one_line(" ".join(error.messages))) from error
        authority.save()
    command.say(
        f"{'Added' if existing is None else 'Replaced'}: authority “{authority}”, "
        f"profile {authority.profile}, {authority.mappings.count()} mappings."
    )
    for line in _certificate_lines(authority):
        command.say(line)


def run_list(command: Command, options: dict[str, Any]) -> None:
    """Print the authorities, as text or as one JSON object.

    The object has one key, ``authorities``: a list of objects with ``id``,
    ``name``, ``profile``, ``mappings`` (how many), ``usable``, ``error`` (why not,
    or null) and ``certificates``, each as ``describe_certificate()`` has it, with
    ``anchor``, whether paths may end there.
    """
    found = [
        _describe(authority)
        for authority in CertificateAuthority.objects.annotate(
            mapping_count=Count("mappings")
        )
    ]
    if options["json"]:
        command.say(json.dumps({"authorities": found}, indent=2))
        return
    for one in found:
        command.say(
            f"{one['name']} (id {one['id']}, profile {one['profile']}, "
            f"{one['mappings']} mappings)"
        )
        if one["error"] is not None:
            command.say(f"  CANNOT BE USED: {one['error']}")
        for each in one["certificates"]:
            command.say(
                f"  {'anchor' if each['anchor'] else 'intermediate':<12} "
                f"until {(each['not_after'] or '?')[:10]}  {each['subject']}"
            )
    if not found:
        command.say(
            "No authorities. Add one: manage.py clientcert authority add BUNDLE "
            "--name NAME"
        )


def _describe(authority: CertificateAuthority) -> dict[str, Any]:
    error = None
    described: list[dict[str, Any]] = []
    try:
        trust = authority.trust()
        described = [
            {**describe_certificate(one), "anchor": anchor}
            for some, anchor in ((trust.anchors, True), (trust.intermediates, False))
            for one in some
        ]
        authority.validator()
    except ClientCertError as problem:
        error = one_line(str(problem))
    return {
        "id": authority.pk,
        "name": str(authority),
        "profile": authority.profile,
        "mappings": authority.mapping_count,  # type: ignore[attr-defined]
        "usable": error is None,
        "error": error,
        "certificates": described,
    }


def _certificate_lines(authority: CertificateAuthority) -> list[str]:
    """Return what there is to say of each certificate."""
    certificates = authority.certificates()
    anchors = sort_bundle(certificates).anchors
    lines = []
    for number, certificate in enumerate(certificates, 1):
        is_anchor = certificate in anchors
        lines.append(
            f"  {number}. {one_line(str(certificate.subject)) or '(no name)'}, "
            f"{'anchor' if is_anchor else 'intermediate'}, "
            f"{show_validity(certificate)}"
        )
        lines += [
            f"     {problem}"
            for problem in _problems(authority, certificate, is_anchor=is_anchor)
        ]
    return lines


def _problems(
    authority: CertificateAuthority, certificate: ClientCertificate, *, is_anchor: bool
) -> tuple[str, ...]:
    """Return what the verifier cannot do with a certificate."""
    return problems(
        certificate,
        is_anchor=is_anchor,
        at=timezone.now(),
        profile=PROFILES[authority.profile],
    )
