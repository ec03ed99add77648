"""Tokens, proxies, tickets and who they speak for: exit codes 10 to 19."""

from __future__ import annotations

from septum.errors.base import SeptumError


class CredentialMissingError(SeptumError):
    """A variable that holds a credential is not set in this CI job."""

    code, exit_code = "E100", 10


class NoCredentialsHereError(CredentialMissingError):
    """The ref is not protected, and the component's CI jobs with credentials run on protected refs only."""

    code, exit_code = "E101", 10


class TokenRefusedError(SeptumError):
    """The issuer answered, and gave no token: wrong client, wrong secret, scope not allowed."""

    code, exit_code = "E110", 11


class TokenUnfitError(SeptumError):
    """The issuer's answer is not the token that was asked for: other issuer, audience, profile, or already expired."""

    code, exit_code = "E111", 12


class GitlabRefusedError(SeptumError):
    """GitLab does not let septum's token see what was asked for, or does not accept the token."""

    code, exit_code = "E114", 13


class RegistryRefusedError(SeptumError):
    """The container registry does not let this CI job see or push the image, or does not take its login."""

    code, exit_code = "E115", 13


class NotAuthorizedError(SeptumError):
    """The access point knows the identity, and does not let it submit: the token has too little scope."""

    code, exit_code = "E112", 13


class ProxyUnreadableError(SeptumError):
    """The proxy variable does not hold an X.509 proxy: broken base64, no certificate, no key, a user certificate."""

    code, exit_code = "E120", 14


class ProxyExpiredError(SeptumError):
    """The X.509 proxy has expired, or ends before the run can."""

    code, exit_code = "E121", 15


class AuthenticationError(SeptumError):
    """The access point did not accept the credential at all, or its host certificate was not accepted."""

    code, exit_code = "E113", 16


class IdentityError(SeptumError):
    """The credential is good and speaks for somebody else than the profile expects: subject, account, VO or role."""

    code, exit_code = "E122", 17


class KerberosError(SeptumError):
    """There is no Kerberos ticket: no `kinit`, a wrong password or keytab, no answer from the realm."""

    code, exit_code = "E130", 19


class CredentialExposedError(SeptumError):
    """A credential lies where others can read it: a file's mode, an artifact, a plan, a trace of the shell."""

    code, exit_code = "E140", 18
