"""``clientcert authority``: the CAs that answer for names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import router, transaction
from django.db.models import Count
from django.utils import timezone

from django_clientcert.exceptions import ClientCertError
from django_clientcert.management.console.command import ClientCertCommand
from django_clientcert.management.console.files import (
    read_certificate_file,
    refuse_private_keys,
)
from django_clientcert.management.console.lookups import find_authority
from django_clientcert.management.console.text import (
    describe_certificate,
    one_line,
    show_iso,
    show_validity,
)
from django_clientcert.models import CertificateAuthority
from django_clientcert.models.rules import describe_rule
from django_clientcert.x509.bundles import sort_bundle, to_pem
from django_clientcert.x509.ca_problems import issuer_problem, problems
from django_clientcert.x509.paths import PROFILES

from . import authority_export, authority_rule


def add_parser(subparsers: Any) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "authority",
        help="add, list and export certificate authorities",
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
    _add_list_options(add)
    add.add_argument(
        "--replace",
        action="store_true",
        help="replace the certificates of the authority, if there is one of that name",
    )
    add.set_defaults(run=run_add)
    setting = actions.add_parser(
        "set",
        help="change what an authority asks of revocation lists",
        description=(
            "Change what an authority asks of revocation lists, and where they are\n"
            "fetched from. What is not given stays as it is."
        ),
        epilog=(
            "Example:\n"
            "  manage.py clientcert authority set Partners \\\n"
            "    --revocation-policy required \\\n"
            "    --crl-url http://crl.partner.example/issuing.crl\n"
            "\n"
            "Exit status: 0 changed, 1 refused, 2 wrong usage."
        ),
    )
    setting.add_argument("name", metavar="NAME", help="the authority")
    _add_list_options(setting)
    setting.add_argument(
        "--no-crl-urls", action="store_true", help="forget all addresses of lists"
    )
    setting.set_defaults(run=run_set)
    authority_rule.add_parser(actions)
    authority_export.add_parser(actions)
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


def _add_list_options(parser: Any) -> None:
    parser.add_argument(
        "--revocation-policy",
        choices=CertificateAuthority.Policy.values,
        metavar="POLICY",
        help="off: lists are not looked at; if_loaded: what they list is refused "
        "(default); required: refuse unless a current list clears the certificate",
    )
    parser.add_argument(
        "--crl-url",
        action="append",
        default=[],
        dest="crl_urls",
        metavar="URL",
        help="where crl fetch gets a revocation list, http or https; may be repeated",
    )


def _set_list_options(authority: CertificateAuthority, options: dict[str, Any]) -> None:
    if options["revocation_policy"] is not None:
        authority.revocation_policy = options["revocation_policy"]
    if options["crl_urls"]:
        authority.crl_urls = "\n".join(options["crl_urls"])


def run_set(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Change an authority's policy and addresses.

    Raises:
        CommandError: there is no such authority, or nothing that can be set.
    """
    refuse_private_keys(name=options["name"], list_url=" ".join(options["crl_urls"]))
    if not (
        options["revocation_policy"] or options["crl_urls"] or options["no_crl_urls"]
    ):
        raise CommandError(
            "Give --revocation-policy, --crl-url or --no-crl-urls.", returncode=2
        )
    authority = find_authority(options["name"])
    if options["no_crl_urls"]:
        authority.crl_urls = ""
    _set_list_options(authority, options)
    try:
        authority.clean_crl_urls()
    except ValidationError as error:
        raise CommandError(" ".join(map(one_line, error.messages))) from error
    authority.save(update_fields=["revocation_policy", "crl_urls"])
    command.say(f"Changed: authority “{authority}”.")
    for line in _list_lines(_describe_lists(authority)):
        command.say(f"  {line}")


def run_add(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Store an authority.

    Raises:
        CommandError: the bundle cannot be used, or the name is taken.
    """
    refuse_private_keys(name=options["name"], list_url=" ".join(options["crl_urls"]))
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
        _set_list_options(authority, options)
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


def run_list(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Print the authorities, as text or as one JSON object.

    The object has one key, ``authorities``: a list of objects with ``id``,
    ``name``, ``profile``, ``mappings`` (how many), ``usable``, ``error`` (why not,
    or null) and ``certificates``, each as ``describe_certificate()`` has it, with
    ``anchor``, whether paths may end there; its ``problems`` also say what the
    verifier cannot do with it. ``revocation_policy``, ``crl_urls`` and
    ``revocation_lists`` (``label``, ``expires_at``, ``stale``, ``entries``) say what
    it asks of lists, and ``rule`` is its identity rule in a sentence, or null.
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
        for line in _list_lines(one):
            command.say(f"  {line}")
        if one["rule"] is not None:
            command.say(f"  rule: {one['rule']}")
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
        **_describe_lists(authority),
        "rule": describe_rule(authority) if authority.rule_identity else None,
    }


def _describe_lists(authority: CertificateAuthority) -> dict[str, Any]:
    now = timezone.now()
    lists = []
    for row in authority.revocation_lists.all():
        end = row.crl_info().expires()
        lists.append(
            {
                "label": one_line(str(row)),
                "expires_at": end.isoformat(),
                "stale": end < now,
                "entries": row.entry_count,
            }
        )
    return {
        "revocation_policy": authority.revocation_policy,
        "crl_urls": authority.crl_urls.split(),
        "revocation_lists": lists,
    }


def _list_lines(facts: dict[str, Any]) -> Iterator[str]:
    """Yield what an authority asks of lists, and those that it has."""
    yield f"revocation lists: {facts['revocation_policy']}"
    for url in facts["crl_urls"]:
        yield f"  from {one_line(url)}"
    for one in facts["revocation_lists"]:
        state = "STALE since" if one["stale"] else "good until"
        yield (
            f"  {one['label']}, {one['entries']} entries, {state} "
            f"{show_iso(one['expires_at'])}"
        )


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


def _print_certificate(
    command: ClientCertCommand, mark: str, facts: dict[str, Any]
) -> None:
    """Print one certificate in a line, and below it what is wrong with it."""
    command.say(
        f"  {mark} {facts['subject'] or '(no name)'}, "
        f"{'anchor' if facts['anchor'] else 'intermediate'}, {show_validity(facts)}"
    )
    for problem in facts["problems"]:
        command.say(f"     {problem}")
