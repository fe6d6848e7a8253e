"""Verifies the tokens on standard input, one a line, with PyJWT; knows the JWKS URL, the issuer and the audience.

How many seconds it keeps the keys may come last; PyJWT's own choice is 300.
"""

import json
import sys

import jwt

jwks_uri, issuer, audience, *lifespan = sys.argv[1:]
keys = jwt.PyJWKClient(jwks_uri, lifespan=float(lifespan[0]) if lifespan else 300)


def verify(token: str) -> dict:
    try:
        verified = jwt.decode_complete(
            token,
            keys.get_signing_key_from_jwt(token),
            algorithms=["ES256"],
            audience=audience,
            issuer=issuer,
            options={"require": ["exp", "iat", "sub", "aud", "iss", "jti", "client_id"]},
        )
    except jwt.PyJWTError as error:
        return {"refused": type(error).__name__}
    if verified["header"].get("typ") != "at+jwt":
        return {"refused": "typ"}
    return {"header": verified["header"], "claims": verified["payload"]}


for line in sys.stdin:
    print(json.dumps(verify(line.strip())))
