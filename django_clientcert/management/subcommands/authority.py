"""``clientcert authority``: the CAs that answer for names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import router, transaction
from django.db.models import Count
from django.utils import timezone

from django_clientcert.admission import issuer_problem, problems
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

if TYPE_CHECKING:
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
            raise CommandError(" ".join(map(one_line, error.messages))) from error
        authority.save()
    command.say(
        f"{'Added' if existing is None else 'Replaced'}: authority “{authority}”, "
        f"profile {authority.profile}, {authority.mappings.count()} mappings."
    )
    for number, one in enumerate(_describe_certificates(authority), 1):
        _print_certificate(command, f"{number}.", one)


def run_list(command: Command, options: dict[str, Any]) -> None:
    """Print the authorities, as text or as one JSON object.

    The object has one key, ``authorities``: a list of objects with ``id``,
    ``name``, ``profile``, ``mappings`` (how many), ``usable``, ``error`` (why not,
    or null) and ``certificates``, each as ``describe_certificate()`` has it, with
    ``anchor``, whether paths may end there; its ``problems`` also say what the
    verifier cannot do with it.
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
            _print_certificate(command, "-", each)
    if not found:
        command.say(
            "No authorities. Add one: manage.py clientcert authority add BUNDLE "
            "--name NAME"
        )


def _describe(authority: CertificateAuthority) -> dict[str, Any]:
    error = None
    certificates: list[dict[str, Any]] = []
    try:
        certificates = _describe_certificates(authority)
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
        "certificates": certificates,
    }


def _describe_certificates(authority: CertificateAuthority) -> list[dict[str, Any]]:
    """Return what there is to say of each certificate, in the order of the bundle.

    Raises:
        BundleError: the bundle cannot be read.
    """
    bundle = authority.certificates()
    anchors = sort_bundle(bundle).anchors
    profile = PROFILES.get(authority.profile)
    described = []
    for one in bundle:
        is_anchor = one in anchors
        found: list[str | None] = []
        if profile is not None:
            found += problems(
                one, is_anchor=is_anchor, at=timezone.now(), profile=profile
            )
        if not is_anchor:
            found.append(issuer_problem(one, bundle))
        facts = describe_certificate(one)
        facts["problems"] += [one_line(each) for each in found if each is not None]
        described.append({**facts, "anchor": is_anchor})
    return described


def _print_certificate(command: Command, mark: str, facts: dict[str, Any]) -> None:
    """Print one certificate in a line, and below it what is wrong with it."""
    command.say(
        f"  {mark} {facts['subject'] or '(no name)'}, "
        f"{'anchor' if facts['anchor'] else 'intermediate'}, {show_validity(facts)}"
    )
    for problem in facts["problems"]:
        command.say(f"     {problem}")
