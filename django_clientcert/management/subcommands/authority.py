"""Add, list and export certificate authorities.

An authority is a PKI that issues client certificates: its CA certificates, how
strictly its CRLs are applied, and a rule that assigns its certificates to
users.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError
from django.db import router, transaction
from django.db.models import Count
from django.utils import timezone

from django_clientcert.exceptions import ClientCertError
from django_clientcert.explaining.report import (
    describe_certificate,
    one_line,
    username_of,
)
from django_clientcert.models import CertificateAuthority
from django_clientcert.models.rules import describe_rule
from django_clientcert.trust.replacing import find_orphans
from django_clientcert.x509.bundles import sort_bundle, to_pem
from django_clientcert.x509.ca_problems import issuer_problem, problems, read_bundle
from django_clientcert.x509.paths import PROFILES
from django_clientcert.x509.text import some_of

from . import authority_export, authority_rule
from .console.arguments import AUTHORITY, JSON, Arguments, Subcommands
from .console.command import ClientCertCommand, UsageError
from .console.files import read_file
from .console.lookups import ADD_AUTHORITY, find_authority
from .console.text import show_crl, show_validity

_CRL_OPTIONS: Arguments = {
    "--revocation-policy POLICY": {
        "help": "off: ignore CRLs; if_loaded: refuse what a loaded CRL revokes "
        "(default); required: also refuse what no current CRL covers",
        "choices": CertificateAuthority.Policy.values,
    },
    "--crl-url URL ...": "the address from which crl fetch gets a CRL, http or https",
}
_ADDING: Arguments = {
    "bundle BUNDLE": "the CA certificates: PEM, DER or PKCS#7; - reads standard input",
    "--name NAME": {"help": "what to call the authority", "required": True},
    "--profile": {
        "help": "private: what company CAs issue (default); strict: certificates must "
        "state their usages and an alternative name",
        "choices": sorted(PROFILES),
    },
    **_CRL_OPTIONS,
    "--replace": "replace the certificates of the authority that has this name",
    "--dry-run": "change nothing; say who would lose their issuer",
}
_SETTING: Arguments = {
    **AUTHORITY,
    **_CRL_OPTIONS,
    "--no-crl-urls": "remove all addresses of CRLs",
}


def add_actions(actions: Subcommands) -> None:
    """Add the actions and their arguments."""
    actions.add("add", run_add, _ADDING)
    actions.add("set", run_set, _SETTING)
    actions.add_module("rule", authority_rule)
    actions.add_module("export", authority_export)
    actions.add("list", run_list, JSON)


def _set_crl_options(authority: CertificateAuthority, options: dict[str, Any]) -> None:
    if options["revocation_policy"] is not None:
        authority.revocation_policy = options["revocation_policy"]
    if options["crl_url"]:
        authority.crl_urls = "\n".join(options["crl_url"])


def run_set(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Change how an authority uses CRLs.

    Changes how strictly CRLs are applied and where they are fetched from. Options
    that are not given stay as they are.

    Example:
      manage.py clientcert authority set Partners \\
        --revocation-policy required \\
        --crl-url http://crl.partner.example/issuing.crl

    Exit status: 0 changed, 1 refused, 2 wrong usage.

    Raises:
        CommandError: the authority does not exist, or no option was given.
    """
    if not (
        options["revocation_policy"] or options["crl_url"] or options["no_crl_urls"]
    ):
        raise UsageError("Give --revocation-policy, --crl-url or --no-crl-urls.")
    authority = find_authority(options["name"])
    if options["no_crl_urls"]:
        authority.crl_urls = ""
    _set_crl_options(authority, options)
    authority.clean_crl_urls()
    authority.save(update_fields=["revocation_policy", "crl_urls"])
    command.say(f"Changed: authority “{authority}”.")
    command.say_lines(_crl_lines(_describe_crls(authority)))


def run_add(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Store the certificates of an authority.

    Use the file that is the proxy's ca.crt, with roots and intermediates in one
    file. Prints each certificate, with the problems that make it unusable.

    Example:
      manage.py clientcert authority add ca.crt --name Partners

    Exit status: 0 stored, 1 refused, 2 wrong usage.

    Raises:
        CommandError: the bundle cannot be used, or the name is taken.
    """
    certificates, left_out = read_file(options["bundle"], read_bundle)
    with transaction.atomic(using=router.db_for_write(CertificateAuthority)):
        existing = CertificateAuthority.objects.filter(name=options["name"]).first()
        if existing is not None and not options["replace"]:
            raise CommandError(
                f"An authority “{existing}” exists. Add --replace to replace its "
                "certificates."
            )
        authority = existing or CertificateAuthority(name=options["name"])
        authority.bundle = to_pem(certificates)
        if options["profile"] is not None:
            authority.profile = options["profile"]
        _set_crl_options(authority, options)
        orphans, seen = find_orphans(authority, certificates)
        authority.full_clean()
        if not options["dry_run"]:
            authority.save()
    if orphans or seen:
        listed = some_of(f"{row.pk} of {username_of(row.user)}" for row in orphans)
        command.warn(
            f"{len(orphans)} mappings and {seen} certificates accepted lately have no "
            f"issuer in the new bundle and are refused. Mappings: {listed or 'none'}."
        )
    if options["dry_run"]:
        command.say("Nothing was changed.")
        return
    command.say(
        f"{'Added' if existing is None else 'Replaced'}: authority “{authority}”, "
        f"profile {authority.profile}, {authority.mappings.count()} mappings."
    )
    for item in left_out:
        command.warn(f"Left out: {item}.")
    for number, certificate in enumerate(_describe_certificates(authority), 1):
        command.say_lines(_certificate_lines(f"{number}.", certificate))


def run_list(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """List the authorities and their certificates.

    Exit status: 0 listed, 1 the database cannot be used, 2 wrong usage.
    """
    authorities = CertificateAuthority.objects.annotate(mapping_count=Count("mappings"))
    command.list_rows(
        "authorities",
        [_describe(authority) for authority in authorities],
        _authority_lines,
        empty=f"No authorities. Add one: {ADD_AUTHORITY}",
    )


def _describe(authority: CertificateAuthority) -> dict[str, Any]:
    """Return *authority* as ``authority list --json`` prints it.

    ``mappings`` is their number; ``error``, why it cannot be used, or null;
    ``certificates``, each as ``describe_certificate()`` has it, with ``anchor``,
    whether paths may end there, and the verifier's objections among its
    ``problems``; ``unreadable``, a line on each that has no effect; ``rule``, its
    identity rule in a sentence, or null.
    """
    error = None
    certificates: list[dict[str, Any]] = []
    unreadable: list[str] = []
    try:
        certificates = _describe_certificates(authority)
        unreadable = authority.unreadable_certificates()
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
        "unreadable": unreadable,
        **_describe_crls(authority),
        "rule": describe_rule(authority) if authority.rule_identity else None,
    }


def _describe_crls(authority: CertificateAuthority) -> dict[str, Any]:
    return {
        "revocation_policy": authority.revocation_policy,
        "crl_urls": authority.crl_urls.split(),
        "revocation_lists": [
            {
                "label": one_line(str(row)),
                "expires_at": (end := row.crl_info().expires()).isoformat(),
                "stale": end < timezone.now(),
                "entries": row.entry_count,
            }
            for row in authority.revocation_lists.all()
        ],
    }


def _describe_certificates(authority: CertificateAuthority) -> list[dict[str, Any]]:
    """Return the facts of each certificate, in the order of the bundle.

    Raises:
        BundleError: the bundle cannot be read.
    """
    bundle = authority.certificates()
    anchors = sort_bundle(bundle).anchors
    profile = PROFILES.get(authority.profile)
    described = []
    for certificate in bundle:
        is_anchor = certificate in anchors
        messages: list[str | None] = []
        if profile is not None:
            messages += problems(
                certificate, is_anchor=is_anchor, at=timezone.now(), profile=profile
            )
        if not is_anchor:
            messages.append(issuer_problem(certificate, bundle))
        facts = describe_certificate(certificate)
        facts["problems"] += map(one_line, filter(None, messages))
        described.append({**facts, "anchor": is_anchor})
    return described


def _authority_lines(facts: dict[str, Any]) -> Iterator[str]:
    yield (
        f"{facts['name']} (id {facts['id']}, profile {facts['profile']}, "
        f"{facts['mappings']} mappings)"
    )
    if facts["error"] is not None:
        yield f"  CANNOT BE USED: {facts['error']}"
    for certificate in facts["certificates"]:
        yield from _certificate_lines("-", certificate)
    for item in facts["unreadable"]:
        yield f"  cannot be read, and has no effect: {item}"
    yield from _crl_lines(facts)
    if facts["rule"] is not None:
        yield f"  rule: {facts['rule']}"


def _crl_lines(facts: dict[str, Any]) -> Iterator[str]:
    yield f"  revocation policy: {facts['revocation_policy']}"
    for url in facts["crl_urls"]:
        yield f"    CRL from {one_line(url)}"
    for crl in facts["revocation_lists"]:
        yield f"    {crl['label']}, {show_crl(crl)}"


def _certificate_lines(mark: str, facts: dict[str, Any]) -> Iterator[str]:
    yield (
        f"  {mark} {facts['subject'] or '(no name)'}, "
        f"{'anchor' if facts['anchor'] else 'intermediate'}, {show_validity(facts)}"
    )
    for problem in facts["problems"]:
        yield f"     {problem}"
