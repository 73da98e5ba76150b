"""A small Sigstore on loopback: whoever tells who somebody is (OpenID Connect), the authority, and the transparency log.

It does what the clients of Sigstore rely on: certificates of ten minutes with the identity and issuer of a token and the signed
timestamp of a log of certificates (RFC 6962), and a log of signatures (Rekor) with proofs of inclusion and signed checkpoints. Of
version 1, the log signs the time itself; beside one of version 2, a timestamp authority does (RFC 3161, by openssl). All keys are made when it starts. It is a model of Sigstore for its clients, not evidence about it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import subprocess
import tempfile
import threading
import time
from datetime import datetime, timedelta, timezone
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

if TYPE_CHECKING:
    from typing_extensions import Self

ISSUER, GITHUB = "https://accounts.acme.test", "https://token.actions.githubusercontent.com"
_SHA256 = ec.ECDSA(hashes.SHA256())
_PEM, _DER = serialization.Encoding.PEM, serialization.Encoding.DER
_SPKI = serialization.PublicFormat.SubjectPublicKeyInfo
_ISSUER_V1, _ISSUER_V2 = "1.3.6.1.4.1.57264.1.1", "1.3.6.1.4.1.57264.1.8"
_TIMESTAMPS = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_ORIGIN = "rekor.acme.test"
_MINUTES = timedelta(minutes=10)


class SigstoreServices:
    """A context manager; `url` is the address of all services.

    Args:
        log_version: of Rekor.

    Attributes:
        refuse: paths -> status with which they are refused; 0 gives no answer before the end.
        seen: the path of each request.
        entries: what the log holds.
    """

    def __init__(self, log_version: int = 1) -> None:
        self._version = log_version
        self.refuse: dict[str, int] = {}
        self.seen: list[str] = []
        self.entries: list[bytes] = []
        self.lifetime = _MINUTES
        self._lock, self._end = threading.Lock(), threading.Event()
        self._codes: dict[str, str] = {}
        self._idp, self._certificates, self._log = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        self._root_key, self._authority_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self._root = _authority("root", self._root_key.public_key(), None, "root", self._root_key)
        self._authority = _authority("authority", self._authority_key.public_key(), self._root, "root", self._root_key)
        self._stamper_key = ec.generate_private_key(ec.SECP256R1())
        self._stamper = _authority(
            "timestamps", self._stamper_key.public_key(), self._root, "root", self._root_key, stamps=True
        )
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def trust_config(self) -> dict[str, Any]:
        """The client trust configuration, which a firm gives to those who sign and verify."""
        since = {"start": "2020-01-01T00:00:00Z"}
        service = {"majorApiVersion": 1, "validFor": since, "operator": "acme.test"}

        def log(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
            public = {"rawBytes": _b64(_spki(key)), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": since}
            name = {"keyId": _b64(_key_id(key))}
            return {"baseUrl": self.url, "hashAlgorithm": "SHA2_256", "publicKey": public, "logId": name}

        chain = [{"rawBytes": _b64(each.public_bytes(_DER))} for each in (self._authority, self._root)]
        authority = {
            "subject": {"organization": "acme.test", "commonName": "authority"},
            "uri": self.url,
            "certChain": {"certificates": chain},
            "validFor": since,
        }
        stamps = self._version > 1
        stamper = [{"rawBytes": _b64(each.public_bytes(_DER))} for each in (self._stamper, self._root)]
        return {
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": {
                "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                "tlogs": [log(self._log)],
                "certificateAuthorities": [authority],
                "ctlogs": [log(self._certificates)],
                "timestampAuthorities": [{**authority, "certChain": {"certificates": stamper}}] if stamps else [],
            },
            "signingConfig": {
                "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
                "caUrls": [{"url": self.url, **service}],
                "oidcUrls": [{"url": self.url, **service}],
                "rekorTlogUrls": [{"url": self.url, **service, "majorApiVersion": self._version}],
                "tsaUrls": [{"url": f"{self.url}/api/v1/timestamp", **service}] if stamps else [],
                "rekorTlogConfig": {"selector": "ANY"},
                "tsaConfig": {"selector": "ANY"},
            },
        }

    def token(self, *, issuer: str = ISSUER, ends_in: float = 300, audience: str = "sigstore", **claims: str) -> str:
        """A token of OpenID Connect; its claims are `sub`, `email`, or those of a job of GitHub Actions."""
        now = int(time.time())
        body = {"iss": issuer, "aud": audience, "iat": now - 600, "exp": int(now + ends_in), "sub": "nobody", **claims}
        text = ".".join(_url64(json.dumps(each).encode()) for each in ({"alg": "ES256", "typ": "JWT"}, body))
        r, s = utils.decode_dss_signature(self._idp.sign(text.encode(), _SHA256))
        return f"{text}.{_url64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def github_token(self, workflow: str) -> str:
        """The token of a job of GitHub Actions, whose workflow is `OWNER/REPO/.github/workflows/FILE@REF`."""
        return self.token(issuer=GITHUB, sub="repo:acme/models:ref:refs/heads/main", job_workflow_ref=workflow)

    def answer(self, address: str, body: bytes, token: str) -> tuple[int, Any] | None:
        """Status and content of the answer to a request; None for none."""
        parts = urlsplit(address)
        self.seen.append(parts.path)
        status = self.refuse.get(parts.path)
        if status == 0:
            self._end.wait()
            return None
        if status:
            return status, {"code": status, "message": "it is not to be"}
        query = {key: value[0] for key, value in parse_qs(parts.query).items()}
        try:
            return self._route(parts.path, query, body, token)
        except (ValueError, KeyError, InvalidSignature) as error:
            return 400, {"code": 3, "message": str(error) or type(error).__name__}

    def _route(self, path: str, query: dict[str, str], body: bytes, token: str) -> tuple[int, Any]:
        match path:
            case "/api/v2/signingCert":
                answer: tuple[int, Any] = 200, self._certify(json.loads(body), token)
            case "/api/v1/log/entries":
                answer = 201, self._log_entry(json.loads(body))
            case "/api/v2/log/entries":
                answer = 201, self._log_entry_of_version_2(json.loads(body))
            case "/api/v1/timestamp":
                answer = 201, self._stamped(body)
            case "/job-token":  # as GitHub Actions gives it to a job
                answer = 200, {"value": self.github_token(token)} if query["audience"] == "sigstore" else {}
            case "/.well-known/openid-configuration":
                answer = 200, {"authorization_endpoint": f"{self.url}/auth", "token_endpoint": f"{self.url}/token"}
            case "/auth" | "/token":
                answer = self._in_browser(path, query, body)
            case _:
                answer = 404, {"message": "no such service"}
        return answer

    def _in_browser(self, path: str, query: dict[str, str], body: bytes) -> tuple[int, Any]:
        """The login of a person: whoever comes is person@acme.test, without a password."""
        if path == "/auth":
            code = f"code-{len(self._codes)}"
            self._codes[code] = query["code_challenge"]
            return 302, f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"
        form = {key: value[0] for key, value in parse_qs(body.decode()).items()}
        challenge = _url64(hashlib.sha256(form["code_verifier"].encode()).digest())
        if self._codes.pop(form["code"]) != challenge:
            raise ValueError("another one has asked for this code")
        return 200, {"access_token": self.token(email="person@acme.test", sub="person@acme.test")}

    def _certify(self, request: dict[str, Any], token: str) -> dict[str, Any]:
        """As Fulcio does it: a certificate of the key that signed the request, for whom the token names."""
        claims = self._claims(token)
        asked = x509.load_pem_x509_csr(base64.b64decode(request["certificateSigningRequest"]))
        public = asked.public_key()
        if not asked.is_signature_valid or not isinstance(public, ec.EllipticCurvePublicKey):
            raise ValueError("the request is not signed with its key")
        builder = self._certificate(claims, public)
        bare = builder.sign(self._authority_key, hashes.SHA256())
        stamped = x509.UnrecognizedExtension(_TIMESTAMPS, self._timestamp(bare.tbs_certificate_bytes))
        signed = builder.add_extension(stamped, critical=False).sign(self._authority_key, hashes.SHA256())
        chain = [each.public_bytes(_PEM).decode() for each in (signed, self._authority, self._root)]
        return {"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}

    def _claims(self, token: str) -> dict[str, Any]:
        text, _, signature = token.rpartition(".")
        raw = base64.urlsafe_b64decode(signature + "==")
        numbers = (int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        self._idp.public_key().verify(utils.encode_dss_signature(*numbers), text.encode(), _SHA256)
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text.split(".")[1] + "=="))
        if claims["aud"] != "sigstore" or claims["exp"] < time.time():
            raise ValueError("the token is for another one, or of another time")
        return claims

    def _certificate(self, claims: dict[str, Any], public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        if claims["iss"] == GITHUB:
            name: x509.GeneralName = x509.UniformResourceIdentifier(f"https://github.com/{claims['job_workflow_ref']}")
        else:
            name = x509.RFC822Name(claims["email"])
        issuer, now = claims["iss"].encode(), datetime.now(timezone.utc)
        found: list[tuple[x509.ExtensionType, bool]] = [
            (_KEY_USAGE, True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False),
            (x509.SubjectKeyIdentifier.from_public_key(public), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(self._authority_key.public_key()), False),
            (x509.SubjectAlternativeName([name]), True),
            (x509.UnrecognizedExtension(ObjectIdentifier(_ISSUER_V1), issuer), False),
            (x509.UnrecognizedExtension(ObjectIdentifier(_ISSUER_V2), b"\x0c" + bytes([len(issuer)]) + issuer), False),
        ]
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self._authority.subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(seconds=2))
            .not_valid_after(now + self.lifetime)
        )
        for extension, critical in found:
            builder = builder.add_extension(extension, critical=critical)
        return builder

    def _timestamp(self, precertificate: bytes) -> bytes:
        """What the log of certificates says of one: a list of one signed timestamp (RFC 6962, 3.2 and 3.3), as DER."""
        now = int(time.time() * 1000)
        size = len(precertificate).to_bytes(3, "big")
        entry = struct.pack("!BBQH", 0, 0, now, 1) + _key_id(self._authority_key) + size + precertificate + b"\0\0"
        signature = self._certificates.sign(entry, _SHA256)
        stamp = b"\0" + _key_id(self._certificates) + struct.pack("!QHBBH", now, 0, 4, 3, len(signature)) + signature
        listed = struct.pack("!HH", len(stamp) + 2, len(stamp)) + stamp
        return b"\x04" + (bytes([len(listed)]) if len(listed) < 128 else bytes([0x81, len(listed)])) + listed

    def _log_entry(self, proposed: dict[str, Any]) -> dict[str, Any]:
        """As Rekor does it with a signed statement: it keeps digests, signature and certificate, and proves that it does."""
        content = proposed["spec"]["proposedContent"]
        envelope = json.loads(content["envelope"])
        payload = base64.b64decode(envelope["payload"])
        [signature] = envelope["signatures"]
        [verifier] = content["verifiers"]
        kind = envelope["payloadType"].encode()
        signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
        public = x509.load_pem_x509_certificate(base64.b64decode(verifier)).public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        public.verify(base64.b64decode(signature["sig"]), signed, _SHA256)
        body = {
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": _hashed(content["envelope"].encode()),
                "payloadHash": _hashed(payload),
                "signatures": [{"signature": signature["sig"], "verifier": verifier}],
            },
        }
        entry = _canonical(body)
        number, leaves, checkpoint = self._kept(entry)
        root, when = _root(leaves), int(time.time())
        promise = {"body": _b64(entry), "integratedTime": when, "logID": _key_id(self._log).hex(), "logIndex": number}
        proof = {
            "logIndex": number,
            "treeSize": len(leaves),
            "rootHash": root.hex(),
            "hashes": [each.hex() for each in _path(number, leaves)],
            "checkpoint": checkpoint,
        }
        set_ = _b64(self._log.sign(_canonical(promise), _SHA256))
        return {
            _hashed(entry)["value"]: {
                **promise,
                "verification": {"inclusionProof": proof, "signedEntryTimestamp": set_},
            }
        }

    def _log_entry_of_version_2(self, proposed: dict[str, Any]) -> dict[str, Any]:
        """The same, of the digest of a statement; the time is another one's matter."""
        asked = proposed["hashedRekordRequestV002"]
        verifier = asked["signature"]["verifier"]
        public = x509.load_der_x509_certificate(base64.b64decode(verifier["x509Certificate"]["rawBytes"])).public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        digest = base64.b64decode(asked["digest"])
        public.verify(
            base64.b64decode(asked["signature"]["content"]), digest, ec.ECDSA(utils.Prehashed(hashes.SHA256()))
        )
        data = {"algorithm": "SHA2_256", "digest": asked["digest"]}
        spec = {"hashedRekordV002": {"data": data, "signature": asked["signature"]}}
        entry = _canonical({"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": spec})
        number, leaves, checkpoint = self._kept(entry)
        proof = {
            "logIndex": str(number),
            "treeSize": str(len(leaves)),
            "rootHash": _b64(_root(leaves)),
            "hashes": [_b64(each) for each in _path(number, leaves)],
            "checkpoint": {"envelope": checkpoint},
        }
        return {
            "logIndex": str(number),
            "logId": {"keyId": _b64(_key_id(self._log))},
            "kindVersion": {"kind": "hashedrekord", "version": "0.0.2"},
            "inclusionProof": proof,
            "canonicalizedBody": _b64(entry),
        }

    def _kept(self, entry: bytes) -> tuple[int, list[bytes], str]:
        """Add an entry to the log: its number, the leaves of the tree with it, and the signed checkpoint of that."""
        with self._lock:
            self.entries.append(entry)
            number, leaves = len(self.entries) - 1, [hashlib.sha256(b"\0" + each).digest() for each in self.entries]
        note = f"{_ORIGIN} - 1\n{len(leaves)}\n{_b64(_root(leaves))}\n"
        signed_note = _b64(_key_id(self._log)[:4] + self._log.sign(note.encode(), _SHA256))
        return number, leaves, f"{note}\n\u2014 {_ORIGIN} {signed_note}\n"

    def _stamped(self, query: bytes) -> bytes:
        """What a timestamp authority answers."""
        with tempfile.TemporaryDirectory() as folder:
            private = self._stamper_key.private_bytes(
                _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            files = {
                "query": query,
                "key.pem": private,
                "stamper.pem": self._stamper.public_bytes(_PEM),
                "serial": b"01\n",
                "ts.cnf": _TIMESTAMP_AUTHORITY,
            }
            for name, data in files.items():
                (Path(folder) / name).write_bytes(data)
            command = ["openssl", "ts", "-reply", "-config", "ts.cnf", "-queryfile", "query", "-out", "reply"]
            subprocess.run(command, cwd=folder, check=True, timeout=60, capture_output=True)
            return (Path(folder) / "reply").read_bytes()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, services: SigstoreServices, *args: Any) -> None:
        self._services = services
        super().__init__(*args)

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, body: bytes) -> None:
        answer = self._services.answer(self.path, body, self.headers.get("Authorization", "").partition(" ")[2])
        if answer is None:
            self.close_connection = True
            return
        status, content = answer
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        if status == 302:
            self.send_header("Location", content)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        pass


_TIMESTAMP_AUTHORITY = b"""
[tsa]
default_tsa = one
[one]
serial = serial
signer_cert = stamper.pem
signer_key = key.pem
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256
ess_cert_id_alg = sha256
"""
_KEY_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
_AUTHORITY_USAGE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def _authority(
    name: str,
    public: ec.EllipticCurvePublicKey,
    issuer: x509.Certificate | None,
    issuer_name: str,
    key: ec.EllipticCurvePrivateKey,
    *,
    stamps: bool = False,
) -> x509.Certificate:
    """A certificate of an authority, that of timestamps included, which issues none."""
    now = datetime.now(timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_distinguished(name))
        .issuer_name(issuer.subject if issuer else _distinguished(issuer_name))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(_STAMPS if stamps else x509.BasicConstraints(True, 0 if issuer else 1), critical=True)
        .add_extension(_KEY_USAGE if stamps else _AUTHORITY_USAGE, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    if issuer:
        usage = ExtendedKeyUsageOID.TIME_STAMPING if stamps else ExtendedKeyUsageOID.CODE_SIGNING
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=stamps)
    return builder.sign(key, hashes.SHA256())


_STAMPS = x509.BasicConstraints(ca=False, path_length=None)


def _distinguished(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _root(leaves: list[bytes]) -> bytes:
    """The root of a Merkle tree (RFC 6962, 2.1)."""
    if len(leaves) == 1:
        return leaves[0]
    half = _half(leaves)
    return hashlib.sha256(b"\1" + _root(leaves[:half]) + _root(leaves[half:])).digest()


def _path(number: int, leaves: list[bytes]) -> list[bytes]:
    """What proves that a leaf is in the tree (RFC 6962, 2.1.1)."""
    if len(leaves) == 1:
        return []
    half = _half(leaves)
    if number < half:
        return [*_path(number, leaves[:half]), _root(leaves[half:])]
    return [*_path(number - half, leaves[half:]), _root(leaves[:half])]


def _half(leaves: list[bytes]) -> int:
    return int(1 << ((len(leaves) - 1).bit_length() - 1))


def _spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(_DER, _SPKI)


def _key_id(key: ec.EllipticCurvePrivateKey) -> bytes:
    return hashlib.sha256(_spki(key)).digest()


def _canonical(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _hashed(data: bytes) -> dict[str, str]:
    return {"algorithm": "sha256", "value": hashlib.sha256(data).hexdigest()}


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
