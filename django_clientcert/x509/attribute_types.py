"""Attribute types of distinguished names: object identifiers and their names."""

from __future__ import annotations

STATE = "2.5.4.8"
COMMON_NAME = "2.5.4.3"
SERIAL_NUMBER = "2.5.4.5"
EMAIL_ADDRESS = "1.2.840.113549.1.9.1"
USER_ID = "0.9.2342.19200300.100.1.1"

# object identifier -> (short name, long name), as OpenSSL 3 has them. nginx prints
# the short name; an identifier that is not here is printed in dotted form.
OPENSSL_NAMES: dict[str, tuple[str, str]] = {
    "0.9.2342.19200300.100.1.1": ("UID", "userId"),
    "0.9.2342.19200300.100.1.2": ("textEncodedORAddress", "textEncodedORAddress"),
    "0.9.2342.19200300.100.1.3": ("mail", "rfc822Mailbox"),
    "0.9.2342.19200300.100.1.4": ("info", "info"),
    "0.9.2342.19200300.100.1.5": ("favouriteDrink", "favouriteDrink"),
    "0.9.2342.19200300.100.1.6": ("roomNumber", "roomNumber"),
    "0.9.2342.19200300.100.1.7": ("photo", "photo"),
    "0.9.2342.19200300.100.1.8": ("userClass", "userClass"),
    "0.9.2342.19200300.100.1.9": ("host", "host"),
    "0.9.2342.19200300.100.1.10": ("manager", "manager"),
    "0.9.2342.19200300.100.1.11": ("documentIdentifier", "documentIdentifier"),
    "0.9.2342.19200300.100.1.12": ("documentTitle", "documentTitle"),
    "0.9.2342.19200300.100.1.13": ("documentVersion", "documentVersion"),
    "0.9.2342.19200300.100.1.14": ("documentAuthor", "documentAuthor"),
    "0.9.2342.19200300.100.1.15": ("documentLocation", "documentLocation"),
    "0.9.2342.19200300.100.1.20": ("homeTelephoneNumber", "homeTelephoneNumber"),
    "0.9.2342.19200300.100.1.21": ("secretary", "secretary"),
    "0.9.2342.19200300.100.1.22": ("otherMailbox", "otherMailbox"),
    "0.9.2342.19200300.100.1.23": ("lastModifiedTime", "lastModifiedTime"),
    "0.9.2342.19200300.100.1.24": ("lastModifiedBy", "lastModifiedBy"),
    "0.9.2342.19200300.100.1.25": ("DC", "domainComponent"),
    "0.9.2342.19200300.100.1.26": ("aRecord", "aRecord"),
    "0.9.2342.19200300.100.1.27": ("pilotAttributeType27", "pilotAttributeType27"),
    "0.9.2342.19200300.100.1.28": ("mXRecord", "mXRecord"),
    "0.9.2342.19200300.100.1.29": ("nSRecord", "nSRecord"),
    "0.9.2342.19200300.100.1.30": ("sOARecord", "sOARecord"),
    "0.9.2342.19200300.100.1.31": ("cNAMERecord", "cNAMERecord"),
    "0.9.2342.19200300.100.1.37": ("associatedDomain", "associatedDomain"),
    "0.9.2342.19200300.100.1.38": ("associatedName", "associatedName"),
    "0.9.2342.19200300.100.1.39": ("homePostalAddress", "homePostalAddress"),
    "0.9.2342.19200300.100.1.40": ("personalTitle", "personalTitle"),
    "0.9.2342.19200300.100.1.41": ("mobileTelephoneNumber", "mobileTelephoneNumber"),
    "0.9.2342.19200300.100.1.42": ("pagerTelephoneNumber", "pagerTelephoneNumber"),
    "0.9.2342.19200300.100.1.43": ("friendlyCountryName", "friendlyCountryName"),
    "0.9.2342.19200300.100.1.44": ("uid", "uniqueIdentifier"),
    "0.9.2342.19200300.100.1.45": ("organizationalStatus", "organizationalStatus"),
    "0.9.2342.19200300.100.1.46": ("janetMailbox", "janetMailbox"),
    "0.9.2342.19200300.100.1.47": ("mailPreferenceOption", "mailPreferenceOption"),
    "0.9.2342.19200300.100.1.48": ("buildingName", "buildingName"),
    "0.9.2342.19200300.100.1.49": ("dSAQuality", "dSAQuality"),
    "0.9.2342.19200300.100.1.50": ("singleLevelQuality", "singleLevelQuality"),
    "0.9.2342.19200300.100.1.51": ("subtreeMinimumQuality", "subtreeMinimumQuality"),
    "0.9.2342.19200300.100.1.52": ("subtreeMaximumQuality", "subtreeMaximumQuality"),
    "0.9.2342.19200300.100.1.53": ("personalSignature", "personalSignature"),
    "0.9.2342.19200300.100.1.54": ("dITRedirect", "dITRedirect"),
    "0.9.2342.19200300.100.1.55": ("audio", "audio"),
    "0.9.2342.19200300.100.1.56": ("documentPublisher", "documentPublisher"),
    "1.2.643.3.131.1.1": ("INN", "INN"),
    "1.2.643.100.1": ("OGRN", "OGRN"),
    "1.2.643.100.3": ("SNILS", "SNILS"),
    "1.2.643.100.5": ("OGRNIP", "OGRNIP"),
    "1.2.840.113549.1.9.1": ("emailAddress", "emailAddress"),
    "1.2.840.113549.1.9.2": ("unstructuredName", "unstructuredName"),
    "1.2.840.113549.1.9.3": ("contentType", "contentType"),
    "1.2.840.113549.1.9.4": ("messageDigest", "messageDigest"),
    "1.2.840.113549.1.9.5": ("signingTime", "signingTime"),
    "1.2.840.113549.1.9.6": ("countersignature", "countersignature"),
    "1.2.840.113549.1.9.7": ("challengePassword", "challengePassword"),
    "1.2.840.113549.1.9.8": ("unstructuredAddress", "unstructuredAddress"),
    "1.2.840.113549.1.9.9": (
        "extendedCertificateAttributes",
        "extendedCertificateAttributes",
    ),
    "1.2.840.113549.1.9.20": ("friendlyName", "friendlyName"),
    "1.3.6.1.4.1.311.60.2.1.1": ("jurisdictionL", "jurisdictionLocalityName"),
    "1.3.6.1.4.1.311.60.2.1.2": ("jurisdictionST", "jurisdictionStateOrProvinceName"),
    "1.3.6.1.4.1.311.60.2.1.3": ("jurisdictionC", "jurisdictionCountryName"),
    "2.5.4.3": ("CN", "commonName"),
    "2.5.4.4": ("SN", "surname"),
    "2.5.4.5": ("serialNumber", "serialNumber"),
    "2.5.4.6": ("C", "countryName"),
    "2.5.4.7": ("L", "localityName"),
    "2.5.4.8": ("ST", "stateOrProvinceName"),
    "2.5.4.9": ("street", "streetAddress"),
    "2.5.4.10": ("O", "organizationName"),
    "2.5.4.11": ("OU", "organizationalUnitName"),
    "2.5.4.12": ("title", "title"),
    "2.5.4.13": ("description", "description"),
    "2.5.4.14": ("searchGuide", "searchGuide"),
    "2.5.4.15": ("businessCategory", "businessCategory"),
    "2.5.4.16": ("postalAddress", "postalAddress"),
    "2.5.4.17": ("postalCode", "postalCode"),
    "2.5.4.18": ("postOfficeBox", "postOfficeBox"),
    "2.5.4.19": ("physicalDeliveryOfficeName", "physicalDeliveryOfficeName"),
    "2.5.4.20": ("telephoneNumber", "telephoneNumber"),
    "2.5.4.21": ("telexNumber", "telexNumber"),
    "2.5.4.22": ("teletexTerminalIdentifier", "teletexTerminalIdentifier"),
    "2.5.4.23": ("facsimileTelephoneNumber", "facsimileTelephoneNumber"),
    "2.5.4.24": ("x121Address", "x121Address"),
    "2.5.4.25": ("internationaliSDNNumber", "internationaliSDNNumber"),
    "2.5.4.26": ("registeredAddress", "registeredAddress"),
    "2.5.4.27": ("destinationIndicator", "destinationIndicator"),
    "2.5.4.28": ("preferredDeliveryMethod", "preferredDeliveryMethod"),
    "2.5.4.29": ("presentationAddress", "presentationAddress"),
    "2.5.4.30": ("supportedApplicationContext", "supportedApplicationContext"),
    "2.5.4.31": ("member", "member"),
    "2.5.4.32": ("owner", "owner"),
    "2.5.4.33": ("roleOccupant", "roleOccupant"),
    "2.5.4.34": ("seeAlso", "seeAlso"),
    "2.5.4.35": ("userPassword", "userPassword"),
    "2.5.4.36": ("userCertificate", "userCertificate"),
    "2.5.4.37": ("cACertificate", "cACertificate"),
    "2.5.4.38": ("authorityRevocationList", "authorityRevocationList"),
    "2.5.4.39": ("certificateRevocationList", "certificateRevocationList"),
    "2.5.4.40": ("crossCertificatePair", "crossCertificatePair"),
    "2.5.4.41": ("name", "name"),
    "2.5.4.42": ("GN", "givenName"),
    "2.5.4.43": ("initials", "initials"),
    "2.5.4.44": ("generationQualifier", "generationQualifier"),
    "2.5.4.45": ("x500UniqueIdentifier", "x500UniqueIdentifier"),
    "2.5.4.46": ("dnQualifier", "dnQualifier"),
    "2.5.4.47": ("enhancedSearchGuide", "enhancedSearchGuide"),
    "2.5.4.48": ("protocolInformation", "protocolInformation"),
    "2.5.4.49": ("distinguishedName", "distinguishedName"),
    "2.5.4.50": ("uniqueMember", "uniqueMember"),
    "2.5.4.51": ("houseIdentifier", "houseIdentifier"),
    "2.5.4.52": ("supportedAlgorithms", "supportedAlgorithms"),
    "2.5.4.53": ("deltaRevocationList", "deltaRevocationList"),
    "2.5.4.54": ("dmdName", "dmdName"),
    "2.5.4.65": ("pseudonym", "pseudonym"),
    "2.5.4.72": ("role", "role"),
    "2.5.4.97": ("organizationIdentifier", "organizationIdentifier"),
    "2.5.4.98": ("c3", "countryCode3c"),
    "2.5.4.99": ("n3", "countryCode3n"),
    "2.5.4.100": ("dnsName", "dnsName"),
}

# What other programs write for the same types (Java, Windows, HAProxy, RFC 4519).
_OTHER_NAMES = {
    "s": STATE,
    "sp": STATE,
    "e": EMAIL_ADDRESS,
    "email": EMAIL_ADDRESS,
    "g": "2.5.4.42",
    "i": "2.5.4.43",
    "t": "2.5.4.12",
    "uid": USER_ID,
    "dnq": "2.5.4.46",
    "generation": "2.5.4.44",
}

# Surname for OpenSSL, serial number for Traefik
AMBIGUOUS_NAMES = frozenset({"sn"})

# lower-case name -> object identifier
ALIASES = {
    name.lower(): oid
    for oid, names in OPENSSL_NAMES.items()
    for name in names
    if name.lower() not in AMBIGUOUS_NAMES
} | _OTHER_NAMES

# The types that have a name in RFC 4514 (section 3): OpenSSL's short one in capitals
_IN_RFC4514 = frozenset(
    ALIASES[name] for name in ("cn", "l", "st", "o", "ou", "c", "street", "dc", "uid")
)


def openssl_name(oid: str) -> str | None:
    """Return the short name that OpenSSL prints for *oid*, or None."""
    return OPENSSL_NAMES.get(oid, (None, None))[0]


def display_name(oid: str) -> str | None:
    """Return the name shown for *oid*: RFC 4514's, else the long one, or None."""
    short, long = OPENSSL_NAMES.get(oid, (None, None))
    return short.upper() if short is not None and oid in _IN_RFC4514 else long
