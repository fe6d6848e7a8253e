"""A mail server: files what it takes in a folder, as JSON, and refuses by the name of the recipient.

smtp_server.py FOLDER MODE, where MODE is plain, starttls or tls. The last two take mail from signet:open-sesame only,
with a certificate for localhost that is signed by FOLDER/ca.pem.
"""

import asyncio
import datetime
import email
import email.policy
import json
import pathlib
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

FOLDER, MODE = pathlib.Path(sys.argv[1]), sys.argv[2]


class Postman:
    def __init__(self):
        self.count = 0
        self.refused_for_now = set()

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody"):
            return f"550 5.1.1 <{address}> is not here"
        if address.startswith("later") and address not in self.refused_for_now:
            self.refused_for_now.add(address)
            return "451 4.3.0 come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        taken = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": MODE == "tls" or session.ssl is not None,
            "user": session.auth_data,
            "headers": [[name, str(value)] for name, value in mail.items()],
            "defects": [str(defect) for part in mail.walk() for defect in part.defects],
            "text": mail.get_body(("plain",)).get_content(),
            "html": mail.get_body(("html",)).get_content(),
        }
        self.count += 1
        draft = FOLDER / f"{self.count}.part"
        draft.write_text(json.dumps(taken))
        draft.rename(FOLDER / f"{self.count}.json")
        return "250 taken"


def authenticate(server, session, envelope, mechanism, credentials):
    good = (credentials.login, credentials.password) == (b"signet", b"open-sesame")
    return AuthResult(success=good, auth_data="signet" if good else None)


def signed(name, key, issuer, issuer_key, extension):
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - day).not_valid_after(now + day)
    return builder.add_extension(extension, critical=False).sign(issuer_key, hashes.SHA256())


def context():
    def named(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def pem(certificate):
        return certificate.public_bytes(serialization.Encoding.PEM)

    authority, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = signed(named("ca"), authority, named("ca"), authority, x509.BasicConstraints(ca=True, path_length=None))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    leaf = signed(named("localhost"), own, named("ca"), authority, names)
    secret = own.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (FOLDER / "own.pem").write_bytes(secret + pem(leaf))
    (FOLDER / "ca.pem").write_bytes(pem(root))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(FOLDER / "own.pem")
    return tls


async def serve():
    postman = Postman()
    options = {"hostname": "localhost", "enable_SMTPUTF8": True}
    tls = None if MODE == "plain" else context()
    if MODE != "plain":
        options |= {"authenticator": authenticate, "auth_required": True, "auth_require_tls": MODE == "starttls"}
    if MODE == "starttls":
        options |= {"tls_context": tls, "require_starttls": True}
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(postman, **options), "127.0.0.1", 0, ssl=tls if MODE == "tls" else None
    )
    port = server.sockets[0].getsockname()[1]
    # In the form that tests wait for; it speaks SMTP there.
    print(f"listening: http://127.0.0.1:{port}", flush=True)
    await server.serve_forever()


asyncio.run(serve())
